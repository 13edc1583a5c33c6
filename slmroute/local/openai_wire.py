"""OpenAI's wire as Ollama speaks it: requests put in Ollama's terms, and answers written in OpenAI's."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, cast

from slmroute.local.completion import Ask, End, Json, Piece, Refused, Times
from slmroute.local.llama_wire import members, objects
from slmroute.local.model_file import ModelFile
from slmroute.local.ollama_answer import encode
from slmroute.local.ollama_request import chat_ask

__all__ = ["OpenAIAnswer", "error", "model_list", "model_of", "openai_ask"]

KINDS = {400: "invalid_request_error", 404: "not_found_error"}

SAME = ("seed", "frequency_penalty", "presence_penalty")
"""The options that have the same name on both wires."""


def openai_ask(body: Json, file: ModelFile) -> Ask:
    """Read a chat completion.

    Raises:
        Refused: It is not one, or asks for what the model cannot do.
    """
    translated: dict[str, object] = {
        "model": body.get("model"),
        "messages": [in_ollamas_terms(each) for each in objects(body.get("messages"))],
        "options": options(body),
        "format": schema_of(body),
        "tools": body.get("tools"),
        "logprobs": body.get("logprobs"),
        "top_logprobs": body.get("top_logprobs"),
    }
    effort = body.get("reasoning_effort")
    if effort is not None:
        translated["think"] = False if effort == "none" else effort
    if not translated["messages"]:
        raise Refused(400, "[] is too short - 'messages'")
    return with_choice(chat_ask(translated, file), body.get("tool_choice"))


def with_choice(ask: Ask, choice: object) -> Ask:
    """Have the model call a tool, or none, where the client says so."""
    tools = list(objects(ask.body.get("tools")))
    if not tools or choice in (None, "auto"):
        return ask
    if isinstance(choice, dict):
        name = members(members(cast("object", choice)).get("function")).get("name")
        chosen = [each for each in tools if members(each.get("function")).get("name") == name]
        if not chosen:
            raise Refused(400, f"tool_choice names no tool of the request: {json.dumps(name)}")
        return replace(ask, body={**ask.body, "tools": chosen, "tool_choice": "required"})
    return replace(ask, body={**ask.body, "tool_choice": choice})


def options(body: Json) -> Json:
    """Put the settings in Ollama's terms; without them the temperature and ``top_p`` are 1, as OpenAI's are."""
    found: dict[str, object] = {"temperature": body.get("temperature", 1.0), "top_p": body.get("top_p", 1.0)}
    found |= {key: body[key] for key in SAME if body.get(key) is not None}
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if limit is not None:
        found["num_predict"] = limit
    stop = body.get("stop")
    if stop is not None:
        found["stop"] = [stop] if isinstance(stop, str) else stop
    return found


def schema_of(body: Json) -> object:
    """Read the format of the answer."""
    wanted = members(body.get("response_format"))
    if wanted.get("type") == "json_object":
        return "json"
    return members(wanted.get("json_schema")).get("schema") if wanted.get("type") == "json_schema" else None


def in_ollamas_terms(message: Json) -> Json:
    """Put a message in Ollama's terms."""
    put = {**message, "content": plain(message.get("content"))}
    if put.get("role") == "developer":
        put["role"] = "system"
    if put.get("name"):
        put["tool_name"] = put["name"]
    calls = [ollama_call(each) for each in objects(message.get("tool_calls"))]
    return {**put, "tool_calls": calls}


def ollama_call(call: Json) -> Json:
    """Put a tool call of the history in Ollama's terms, where arguments are an object."""
    function = members(call.get("function"))
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except ValueError:
            raise Refused(400, "invalid tool call arguments") from None
    return {"id": call.get("id"), "function": {"name": function.get("name"), "arguments": arguments}}


def plain(content: object) -> object:
    """Put the parts of a content together, which can only be texts."""
    if not isinstance(content, list):
        return content
    texts: list[str] = []
    for part in cast("list[object]", content):
        inside = members(part)
        if inside.get("type") != "text" or not isinstance(inside.get("text"), str):
            raise Refused(400, "invalid message format")
        texts.append(cast("str", inside["text"]))
    return "".join(texts)


@dataclass(slots=True)
class OpenAIAnswer:
    """How one chat completion is answered.

    Attributes:
        model: The model's name as the client wrote it.
        ask: What it asked.
        stream: Whether the answer goes out piece by piece.
        include_usage: Whether a stream is to end with the usage.
    """

    media_type: ClassVar[str] = "text/event-stream"
    model: str
    ask: Ask = field(repr=False)
    stream: bool
    include_usage: bool
    _head: Mapping[str, object] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._head = {
            "id": f"chatcmpl-{secrets.randbelow(10**12)}",
            "object": "chat.completion.chunk" if self.stream else "chat.completion",
            "created": int(time.time()),
            "model": self.model,
            "system_fingerprint": "fp_ollama",
        }

    @property
    def opening(self) -> bytes:
        """The first event, which says who speaks."""
        return self._event({"role": "assistant", "content": ""})

    def frame(self, piece: Piece) -> bytes:
        """Write a piece that is not the last."""
        delta: dict[str, object] = {"content": piece.text}
        if piece.thinking:
            delta["reasoning"] = piece.thinking
        return self._event(delta, piece.logprobs)

    def closing(self, piece: Piece, times: Times) -> bytes:  # noqa: ARG002 - OpenAI's wire tells no times
        """Write the last piece, why it ended, and the usage."""
        written = b""
        if piece.text or piece.logprobs:
            written += self.frame(replace(piece, calls=()))
        if piece.calls:
            written += self._event({"tool_calls": list(map(openai_call, piece.calls))})
        written += self._event({}, finish=finish_of(piece))
        if self.include_usage:
            written += sse({**self._head, "choices": list[Json](), "usage": usage_of(piece.end)})
        return written + b"data: [DONE]\n\n"

    def whole(self, piece: Piece, times: Times) -> bytes:  # noqa: ARG002 - OpenAI's wire tells no times
        """Write all pieces in one."""
        message: dict[str, object] = {"role": "assistant", "content": piece.text}
        if piece.thinking:
            message["reasoning"] = piece.thinking
        if piece.calls:
            message["tool_calls"] = list(map(openai_call, piece.calls))
        choice = {"index": 0, "message": message, "finish_reason": finish_of(piece), **probabilities(piece.logprobs)}
        return encode({**self._head, "choices": [choice], "usage": usage_of(piece.end)})

    def error_frame(self, message: str) -> bytes:
        """Write an error in the middle of a stream."""
        return b"data: " + error(500, message) + b"\n\n"

    def _event(self, delta: Json, logprobs: Sequence[Json] = (), finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, **probabilities(logprobs)}
        return sse({**self._head, "choices": [choice]})


def sse(event: Json) -> bytes:
    """Write a server-sent event."""
    return b"data: " + encode(event) + b"\n\n"


def probabilities(logprobs: Sequence[Json]) -> Json:
    """Write log-probabilities as OpenAI does, where every token has a list of alternatives."""
    if not logprobs:
        return {}
    return {"logprobs": {"content": [complete(each) for each in logprobs]}}


def complete(entry: Json) -> Json:
    """Write a token with everything that OpenAI's clients expect."""
    return {"bytes": None, "top_logprobs": list[Json](), **entry}


def openai_call(call: Json) -> Json:
    """Write a tool call as OpenAI does."""
    function = members(call["function"])
    called = {"name": function["name"], "arguments": json.dumps(function["arguments"], ensure_ascii=False)}
    return {"id": call["id"], "index": function["index"], "type": "function", "function": called}


def finish_of(piece: Piece) -> str:
    """Give OpenAI's word for why generation ended."""
    reason = "stop" if piece.end is None else piece.end.reason
    return "tool_calls" if piece.calls and reason == "stop" else reason


def usage_of(end: End | None) -> Json:
    """Write the usage."""
    found = End("stop") if end is None else end
    return {
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": found.output_tokens,
        "total_tokens": found.prompt_tokens + found.output_tokens,
        "prompt_tokens_details": {"cached_tokens": found.cached_tokens},
    }


def error(status: int, message: str) -> bytes:
    """Write an error."""
    kind = KINDS.get(status, "api_error")
    return encode({"error": {"message": message, "type": kind, "param": None, "code": None}})


def model_list(file: ModelFile) -> bytes:
    """Write the list of models, which has one."""
    return encode({"object": "list", "data": [model_entry(file, file.name)]})


def model_of(file: ModelFile, name: str) -> bytes:
    """Write what the model is, under the name that the client wrote."""
    return encode(model_entry(file, name))


def model_entry(file: ModelFile, name: str) -> Json:
    """Describe the model."""
    return {"id": name, "object": "model", "created": int(file.modified_at.timestamp()), "owned_by": "library"}
