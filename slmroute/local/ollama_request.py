"""Ollama's requests, checked as Ollama checks them and put in llama.cpp's terms."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import cast

from slmroute.local.completion import Ask, Json, Refused
from slmroute.local.json_grammar import grammar_of
from slmroute.local.llama_wire import CHAT, COMPLETION, members
from slmroute.local.model_file import ModelFile

__all__ = ["alternatives", "chat_ask", "generate_ask", "keep_alive_s", "model_name"]

MOST_ALTERNATIVES = 20

DEFAULTS: Json = {
    "n_predict": -1,
    "n_keep": 4,
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repeat_last_n": 64,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "seed": -1,
}
"""Ollama's defaults, which are not llama.cpp's."""

INTEGERS: Mapping[str, str | None] = {
    "num_predict": "n_predict",
    "num_keep": "n_keep",
    "top_k": "top_k",
    "repeat_last_n": "repeat_last_n",
    "seed": "seed",
    "num_ctx": None,
    "num_batch": None,
    "num_gpu": None,
    "main_gpu": None,
    "num_thread": None,
    "draft_num_predict": None,
}
"""Options in llama.cpp's terms; None for those that are settled when the model is loaded."""

FLOATS = frozenset(
    {"temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty", "frequency_penalty"}
)

UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"([\d.]+)(ns|us|µs|ms|s|m|h)")

GO_KINDS: Mapping[type, str] = {
    bool: "bool",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def model_name(body: Json, *, also: str = "model") -> str:
    """Give the model that a request names, empty where it names none.

    Args:
        body: The request.
        also: Another key that may name it.

    Raises:
        Refused: The name is not a text.
    """
    name = body.get("model") or body.get(also) or ""
    if not isinstance(name, str):
        raise wrong_type(name, "model", "string")
    return name


def keep_alive_s(body: Json) -> float | None:
    """Read how long the model is to stay in memory.

    Returns:
        Seconds, below zero for ever; None where the request does not say.

    Raises:
        Refused: It is not a duration.
    """
    value = body.get("keep_alive")
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if value >= 0 else -1.0
    if not isinstance(value, str):
        raise Refused(400, f"Unsupported type: '{GO_KINDS.get(type(value), 'nil')}'")
    sign, unsigned = (-1.0, value[1:]) if value.startswith("-") else (1.0, value.removeprefix("+"))
    if unsigned == "0":
        return 0.0
    parts = DURATION.findall(unsigned)
    if not parts or "".join(map("".join, parts)) != unsigned:
        trouble = "missing unit in duration" if re.fullmatch(r"[\d.]+", unsigned) else "invalid duration"
        raise Refused(400, f'time: {trouble} "{value}"')
    try:
        seconds = sum(float(amount) * UNITS_S[unit] for amount, unit in parts)
    except ValueError:
        raise Refused(400, f'time: invalid duration "{value}"') from None
    return seconds if sign > 0 else -1.0


def alternatives(body: Json) -> int:
    """Read how many alternatives each token's log-probability is to come with.

    Raises:
        Refused: It is not a number from 0 to 20.
    """
    value = body.get("top_logprobs") or 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(value, "top_logprobs", "int")
    if not 0 <= value <= MOST_ALTERNATIVES:
        raise Refused(400, "top_logprobs must be between 0 and 20")
    return value


def chat_ask(body: Json, file: ModelFile) -> Ask:
    """Read a request to ``/api/chat`` that has messages.

    Raises:
        Refused: It is not one, or asks for what the model cannot do.
    """
    asked: dict[str, object] = {
        "messages": [message(each, file) for each in entries(body, "messages")],
        "cache_prompt": True,
        **options(body),
        **thinking(body, file),
    }
    tools = entries(body, "tools")
    if tools:
        needs("tools", file)
        asked["tools"] = tools
    wanted = alternatives(body)
    if body.get("logprobs") is True:
        asked |= {"logprobs": True, "top_logprobs": max(wanted, 1)}
    schema = schema_of(body)
    if schema is not None:
        asked |= structure(schema, asked, thinks=thinks(body, file))
    return Ask(CHAT, asked, wanted, body.get("truncate") is not False)


def generate_ask(body: Json, file: ModelFile) -> Ask:
    """Read a request to ``/api/generate`` that has a prompt.

    Raises:
        Refused: It is not one, or asks for what the model cannot do.
    """
    prompt = string(body, "prompt")
    system, template = string(body, "system"), string(body, "template")
    if string(body, "suffix"):
        needs("insert", file)
    if body.get("raw") is not True:
        if template:
            raise Refused(400, "template is not supported: this server uses the chat template of the model's file")
        system_message = [{"role": "system", "content": system}] if system else []
        user = {"role": "user", "content": prompt, "images": body.get("images")}
        return chat_ask({**body, "messages": [*system_message, user], "tools": None}, file)
    if system or template or body.get("context"):
        raise Refused(400, "raw mode does not support template, system, or context")
    if body.get("images"):
        needs("vision", file)
    asked: dict[str, object] = {"prompt": prompt, "cache_prompt": True, **options(body)}
    wanted = alternatives(body)
    if body.get("logprobs") is True:
        asked["n_probs"] = max(wanted, 1)
    schema = schema_of(body)
    if schema is not None:
        # Not left to llama.cpp: without a chat it takes a schema that makes no sense for none.
        asked["grammar"] = grammar_of({"type": "object"} if isinstance(schema, str) else schema)
        if asked["grammar"] is None:
            raise Refused(500, "invalid JSON schema in format")
    return Ask(COMPLETION, asked, wanted, body.get("truncate") is not False)


def structure(wanted: Json | str, asked: dict[str, object], *, thinks: bool) -> Json:
    """Have the answer of a chat follow a schema.

    Tools are then only told of, as by Ollama: the answer is an object, and calls none.

    Args:
        wanted: The schema, or ``json`` for any object.
        asked: What else is asked; tools are put where only the model's template sees them, for llama.cpp takes none
            beside a grammar.
        thinks: Whether the model may think first, which no grammar of ours permits.
    """
    schema = {"type": "object"} if isinstance(wanted, str) else wanted
    grammar = None if thinks else grammar_of(schema)
    if grammar is None:
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "schema", "schema": schema}}}
    told = {"tools": asked.pop("tools")} if "tools" in asked else {}
    return {"grammar": grammar, "chat_template_kwargs": {**members(asked.get("chat_template_kwargs")), **told}}


def thinks(body: Json, file: ModelFile) -> bool:
    """Whether the model may think first."""
    return "thinking" in file.capabilities and body.get("think") is not False


def options(body: Json) -> dict[str, object]:
    """Read the options; like Ollama it looks over those it does not know.

    Raises:
        Refused: One has the wrong type.
    """
    given = body.get("options")
    if given is None:
        return dict(DEFAULTS)
    if not isinstance(given, dict):
        raise wrong_type(given, "options", "map[string]interface {}")
    found = dict(DEFAULTS)
    for name, value in cast("Json", given).items():
        if value is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name in INTEGERS:
            if not number:
                raise Refused(500, f'option "{name}" must be of type integer')
            if INTEGERS[name] is not None:
                found[str(INTEGERS[name])] = int(cast("float", value))
            # Ollama takes -2, which once meant what fits in the window, for -1.
            found["n_predict"] = max(-1, cast("int", found["n_predict"]))
        elif name in FLOATS:
            if not number:
                raise Refused(500, f'option "{name}" must be of type float32')
            found[name] = value
        elif name == "stop":
            found[name] = stops(value)
    return found


def stops(value: object) -> Sequence[str]:
    """Read where the answer is to stop."""
    if not isinstance(value, list):
        raise Refused(500, 'option "stop" must be of type array')
    texts = [each for each in cast("list[object]", value) if isinstance(each, str)]
    if len(texts) != len(cast("list[object]", value)):
        raise Refused(500, 'option "stop" must be of an array of strings')
    # llama.cpp would stop at an empty one before the first token.
    return [each for each in texts if each]


def thinking(body: Json, file: ModelFile) -> Json:
    """Read whether the model is to think first."""
    think = body.get("think")
    if not think:
        return {} if think is None else {"chat_template_kwargs": {"enable_thinking": False}}
    if "thinking" not in file.capabilities:
        raise Refused(400, f'"{model_name(body)}" does not support thinking')
    effort = {"reasoning_effort": think} if isinstance(think, str) else {}
    return {"chat_template_kwargs": {"enable_thinking": True, **effort}}


def schema_of(body: Json) -> Json | str | None:
    """Read the format: a schema, ``json`` for any object, or None."""
    value = body.get("format")
    if value is None or value == "":
        return None
    if value == "json":
        return "json"
    if isinstance(value, dict):
        return cast("Json", value)
    raise Refused(500, f'invalid format: {json.dumps(value)}; expected "json" or a valid JSON Schema object')


def message(value: Json, file: ModelFile) -> Json:
    """Put a message in llama.cpp's terms, which are OpenAI's."""
    if value.get("images"):
        needs("vision", file)
    content = value.get("content")
    if content is not None and not isinstance(content, str):
        raise wrong_type(content, "messages.content", "string")
    role = value.get("role")
    if not isinstance(role, str) or role not in {"system", "user", "assistant", "tool"}:
        raise Refused(400, f"invalid role: {json.dumps(role)}")
    put: dict[str, object] = {"role": role, "content": content or ""}
    if value.get("tool_call_id"):
        put["tool_call_id"] = value["tool_call_id"]
    if value.get("tool_name"):
        put["name"] = value["tool_name"]
    calls = [tool_call(each, place) for place, each in enumerate(entries(value, "tool_calls"))]
    return {**put, "tool_calls": calls} if calls else put


def tool_call(value: Json, place: int) -> Json:
    """Put a tool call of the history in OpenAI's terms, where arguments are a text."""
    inside = members(value.get("function"))
    arguments = inside.get("arguments", {})
    if not isinstance(arguments, dict):
        raise wrong_type(arguments, "messages.tool_calls.function.arguments", "map[string]interface {}")
    called = {"name": inside.get("name"), "arguments": json.dumps(arguments)}
    return {"id": value.get("id") or f"call_{place}", "type": "function", "function": called}


def needs(capability: str, file: ModelFile) -> None:
    """Refuse what the model cannot do, in Ollama's words."""
    if capability not in file.capabilities:
        raise Refused(400, f"{file.full_name} does not support {capability}")


def entries(body: Json, key: str) -> Sequence[Json]:
    """Read an array of objects."""
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong_type(value, key, "[]api")
    found = cast("list[object]", value)
    for each in found:
        if not isinstance(each, dict):
            raise wrong_type(each, key, "api")
    return cast("list[Json]", found)


def string(body: Json, key: str) -> str:
    """Read a text, empty where there is none."""
    value = body.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong_type(value, key, "string")
    return value


def wrong_type(value: object, key: str, wanted: str) -> Refused:
    """Say as Go does that a value has the wrong type."""
    kind = GO_KINDS.get(type(value), "value")
    return Refused(400, f"json: cannot unmarshal {kind} into Go struct field {key} of type {wanted}")
