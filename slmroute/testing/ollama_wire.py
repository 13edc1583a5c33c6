"""Ollama's wire: chat and generate, streamed as lines of JSON or not, the model list, and its error bodies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, cast

from slmroute.steps import Usage
from slmroute.testing.openai_wire import logprob_body
from slmroute.testing.script import Fault, Reply, Token
from slmroute.testing.wire import Frames, Json, encode, members

__all__ = ["VERSION", "OllamaWire", "error", "loaded", "model_card", "model_list", "not_found"]

VERSION = "0.12.6"

LEAST_NS = 1_000_000

BY_STATUS: dict[int, str] = {
    400: "invalid request",
    401: "unauthorized",
    404: "model '{model}' not found",
    429: "too many requests",
    500: "llama runner process has terminated: exit status 2",
    503: "server busy, please try again.  maximum pending requests exceeded",
}

BY_CODE: dict[str, str] = {"context_length_exceeded": "the input length exceeds the context length"}

DETAILS: Json = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "8.0B",
    "quantization_level": "Q4_K_M",
}


def error(message: str) -> bytes:
    """Write an error body."""
    return encode({"error": message})


def not_found(model: str) -> bytes:
    """Write the error body for a model that is not pulled."""
    return error(BY_STATUS[404].format(model=model))


def model_list(names: Sequence[str]) -> bytes:
    """Write the answer of ``GET /api/tags``."""
    tagged = [name if ":" in name else f"{name}:latest" for name in names]
    models = [
        {
            "name": name,
            "model": name,
            "modified_at": moment(),
            "size": 4_920_753_328,
            "digest": "46e0c10c039e019119339687c3c1757cc81b9da49709a3b3924863ba87ca666e",
            "details": DETAILS,
        }
        for name in tagged
    ]
    return encode({"models": models})


def model_card(window: int, capabilities: Sequence[str]) -> bytes:
    """Write the answer of ``POST /api/show``."""
    return encode(
        {
            "modelfile": "FROM llama",
            "parameters": "",
            "template": "{{ .Prompt }}",
            "details": DETAILS,
            "model_info": {
                "general.architecture": "llama",
                "general.parameter_count": 8_030_261_312,
                "llama.context_length": window,
            },
            "capabilities": list(capabilities),
            "modified_at": moment(),
        }
    )


def loaded(model: str, body: Json, chat: bool) -> bytes:
    """Write the answer to a request without a prompt, which loads the model, or unloads it."""
    reason = "unload" if body.get("keep_alive") == 0 else "load"
    content: Json = {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
    return encode({"model": model, "created_at": moment(), **content, "done": True, "done_reason": reason}) + b"\n"


@dataclass(frozen=True, slots=True)
class OllamaWire:
    """One request to ``/api/chat`` or ``/api/generate``.

    Attributes:
        model: The model asked for.
        body: The request's body.
        chat: Whether it is a chat.
    """

    media_type: ClassVar[str] = "application/x-ndjson"
    model: str
    body: Json = field(repr=False)
    chat: bool = True

    @property
    def stream(self) -> bool:
        """Whether the answer is to be streamed, which it is unless the request says no."""
        return self.body.get("stream") is not False

    def complaint(self) -> Fault | None:
        """Find content that is no text, and arguments of tool calls that are no object."""
        for message in members(self.body.get("messages")):
            content = message.get("content")
            if content is not None and not isinstance(content, str):
                return invalid(
                    "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string"
                )
            for call in members(message.get("tool_calls")):
                function = call.get("function")
                if not isinstance(function, dict) or not isinstance(cast("Json", function).get("arguments"), dict):
                    return invalid(
                        "json: cannot unmarshal string into Go struct field "
                        "ChatRequest.messages.tool_calls.function.arguments"
                    )
        top = self.body.get("top_logprobs")
        if isinstance(top, int) and not 0 <= top <= 20:
            return invalid("top_logprobs must be between 0 and 20")
        return None

    def whole(self, reply: Reply, usage: Usage | None) -> bytes:
        """Write an answer in one object."""
        calls = [called(name, arguments) for name, arguments in reply.calls]
        text = reply.text + "".join(call for call in calls if isinstance(call, str))
        parsed = [call for call in calls if not isinstance(call, str)]
        return encode(self._part(text, parsed, reply.tokens) | self._end(reply, usage))

    def frames(self, reply: Reply, usage: Usage | None) -> Frames:
        """Write an answer in lines."""
        chunks = (line(part | {"done": False}) for part in self._parts(reply))
        return Frames(b"", chunks, line(self._part("", (), None) | self._end(reply, usage)))

    def reported(self, usage: Usage) -> Usage | None:
        """Give the tokens in and out, which are all that Ollama tells of."""
        return Usage(usage.input_tokens, usage.output_tokens)

    def error_body(self, fault: Fault) -> bytes:
        """Write the body of an HTTP error."""
        message = BY_CODE.get(fault.code or "") or BY_STATUS.get(fault.status) or "unexpected error"
        return error(message.format(model=self.model))

    def error_frame(self, fault: Fault) -> bytes:
        """Write an error line."""
        return self.error_body(fault) + b"\n"

    def garbage(self) -> bytes:
        """Write half an object."""
        return b'{"model":"\n'

    def _parts(self, reply: Reply) -> Iterator[dict[str, object]]:
        tokens = reply.tokens
        for place, piece in enumerate(reply.pieces):
            yield self._part(piece, (), tokens[place : place + 1] if tokens else None)
        for name, arguments in reply.calls:
            call = called(name, arguments)
            yield self._part(call, (), None) if isinstance(call, str) else self._part("", (call,), None)

    def _part(self, text: str, calls: Sequence[Json], tokens: Sequence[Token] | None) -> dict[str, object]:
        part: dict[str, object] = {"model": self.model, "created_at": moment()}
        if self.chat:
            part["message"] = {"role": "assistant", "content": text} | ({"tool_calls": list(calls)} if calls else {})
        else:
            part["response"] = text
        if tokens is not None and self.body.get("logprobs") is True:
            wanted = self.body.get("top_logprobs")
            top = wanted if isinstance(wanted, int) else 0
            part["logprobs"] = [
                logprob_body(token.text, token.logprob)
                | ({"top_logprobs": [logprob_body(*pair) for pair in token.alternatives[:top]]} if top else {})
                for token in tokens
            ]
        return part

    def _end(self, reply: Reply, usage: Usage | None) -> dict[str, object]:
        counts = {} if usage is None else {"prompt_eval_count": usage.input_tokens, "eval_count": usage.output_tokens}
        return {
            "done": True,
            "done_reason": reply.finish,
            "total_duration": 3 * LEAST_NS,
            "load_duration": LEAST_NS,
            "prompt_eval_duration": LEAST_NS,
            "eval_duration": LEAST_NS,
            # Ollama leaves out what is zero.
            **{name: count for name, count in counts.items() if count},
        }


def invalid(message: str) -> Fault:
    """Make the fault for a request that is malformed."""
    return Fault(400, body={"error": message})


def line(value: Json) -> bytes:
    """Write a line of a stream."""
    return encode(value) + b"\n"


def moment() -> str:
    """Give the time as Ollama writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def called(name: str, arguments: Mapping[str, object] | str) -> Json | str:
    """Write a tool call; where the arguments are no JSON object it is text, since Ollama parses what a model writes."""
    value: object = arguments
    if isinstance(arguments, str):
        try:
            value = json.loads(arguments)
        except ValueError:
            value = None
    if not isinstance(value, Mapping):
        return f'{{"name": {json.dumps(name)}, "parameters": {arguments}'
    return {"function": {"name": name, "arguments": dict(cast("Json", value))}}
