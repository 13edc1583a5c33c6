"""OpenAI's wire: chat completions, streamed as server-sent events or not, and its error bodies."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json import dumps
from typing import ClassVar

from slmroute.steps import Usage
from slmroute.testing.script import Fault, Reply, Token
from slmroute.testing.wire import Frames, Json, encode, members

__all__ = ["OpenAIWire", "error", "model_entry", "model_list", "not_found"]

SERVER_ERROR = ("server_error", None, "The server had an error while processing your request. Sorry about that!")

BY_STATUS: dict[int, tuple[str, str | None, str]] = {
    401: (
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
    ),
    403: (
        "request_forbidden",
        "unsupported_country_region_territory",
        "Country, region, or territory not supported",
    ),
    404: (
        "invalid_request_error",
        "model_not_found",
        "The model `{model}` does not exist or you do not have access to it.",
    ),
    429: (
        "requests",
        "rate_limit_exceeded",
        "Rate limit reached for {model} in organization org-fake on requests per min (RPM): Limit 3, Used 3, "
        "Requested 1. Please try again in 20s. Visit https://platform.openai.com/account/rate-limits to learn more.",
    ),
    503: ("server_error", None, "The engine is currently overloaded, please try again later"),
}

BY_CODE: dict[str, tuple[str, str]] = {
    "context_length_exceeded": (
        "invalid_request_error",
        "This model's maximum context length is {window} tokens. However, your messages resulted in {tokens} tokens. "
        "Please reduce the length of the messages.",
    ),
    "insufficient_quota": (
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "content_filter": (
        "invalid_request_error",
        "The response was filtered due to the prompt triggering the content management policy.",
    ),
}


def error(
    message: str, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> bytes:
    """Write an error body."""
    return encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def not_found(model: str) -> bytes:
    """Write the error body for a model that is not there."""
    kind, code, message = BY_STATUS[404]
    return error(message.format(model=model), kind, code=code)


def model_list(names: Sequence[str]) -> bytes:
    """Write the answer of ``GET /v1/models``."""
    return encode({"object": "list", "data": [model_entry(name) for name in names]})


def model_entry(name: str) -> Json:
    """Describe a model."""
    return {"id": name, "object": "model", "created": 1_767_225_600, "owned_by": "system"}


@dataclass(frozen=True, slots=True)
class OpenAIWire:
    """One chat completion.

    Attributes:
        model: The model asked for.
        body: The request's body.
        ids: Numbers that are given to nothing else on this server.
        window: The model's context window in tokens.
    """

    media_type: ClassVar[str] = "text/event-stream; charset=utf-8"
    model: str
    body: Json = field(repr=False)
    ids: Iterator[int] = field(repr=False)
    window: int = 128_000

    @property
    def stream(self) -> bool:
        """Whether the answer is to be streamed."""
        return self.body.get("stream") is True

    def complaint(self) -> Fault | None:
        """Find tool messages that answer no call, calls without an id, and calls without an answer."""
        asked: set[str] = set()
        messages = members(self.body.get("messages"))
        if not messages:
            return invalid("Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages")
        for place, message in enumerate(messages):
            if message.get("role") == "tool":
                if message.get("tool_call_id") not in asked:
                    return invalid(
                        "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
                        "'tool_calls'.",
                        f"messages.[{place}].role",
                    )
                asked.discard(str(message["tool_call_id"]))
                continue
            if asked:
                break
            for number, call in enumerate(members(message.get("tool_calls"))):
                if not isinstance(call.get("id"), str):
                    param = f"messages[{place}].tool_calls[{number}].id"
                    return invalid(f"Invalid type for '{param}': expected a string.", param)
                asked.add(str(call["id"]))
        if asked:
            unanswered = ", ".join(sorted(asked))
            return invalid(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                f"'tool_call_id'. The following tool_call_ids did not have response messages: {unanswered}",
                "messages",
            )
        return None

    def whole(self, reply: Reply, usage: Usage | None) -> bytes:
        """Write a chat completion."""
        message: dict[str, object] = {"role": "assistant", "content": reply.text, "refusal": None, "annotations": []}
        if reply.tool_calls:
            message["tool_calls"] = [call[0] | {"function": call[1]} for call in self._calls(reply)]
            message["content"] = reply.text or None
        answer: dict[str, object] = self._head("chat.completion")
        answer["choices"] = [
            {
                "index": 0,
                "message": message,
                "logprobs": self._logprobs(reply.tokens),
                "finish_reason": finish_of(reply),
            }
        ]
        if usage is not None:
            answer["usage"] = usage_body(usage)
        return encode(answer)

    def frames(self, reply: Reply, usage: Usage | None) -> Frames:
        """Write a chat completion in chunks."""
        head = self._head("chat.completion.chunk")
        if self._includes_usage:
            head["usage"] = None

        def event(delta: Json, logprobs: Json | None = None, finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
            choices: list[Json] = [choice]
            return sse(head | {"choices": choices})

        def chunks() -> Iterator[bytes]:
            tokens = reply.tokens
            for place, piece in enumerate(reply.pieces):
                yield event({"content": piece}, self._logprobs(tokens[place : place + 1] if tokens else None))
            for place, (call, function) in enumerate(self._calls(reply)):
                yield b"".join(event({"tool_calls": [each]}) for each in fragments(place, call, function))

        closing = event({}, finish=finish_of(reply))
        if usage is not None and self._includes_usage:
            closing += sse(head | {"choices": list[Json](), "usage": usage_body(usage)})
        content = None if reply.tool_calls and not reply.text else ""
        opening = event({"role": "assistant", "content": content, "refusal": None})
        return Frames(opening, chunks(), closing + b"data: [DONE]\n\n")

    def reported(self, usage: Usage) -> Usage | None:
        """Give the usage, or None for a stream that was not asked to include it."""
        return usage if not self.stream or self._includes_usage else None

    def error_body(self, fault: Fault) -> bytes:
        """Write the body of an HTTP error."""
        kind, code, message = BY_STATUS.get(fault.status, SERVER_ERROR)
        if fault.status not in BY_STATUS and fault.status < 500:
            kind, message = "invalid_request_error", "We could not parse your request."
        if fault.code is not None:
            code = fault.code
            kind, message = BY_CODE.get(code, (kind, message))
        tokens = self.window + 1
        return error(
            message.format(model=self.model, window=self.window, tokens=tokens),
            kind,
            "messages" if code == "context_length_exceeded" else None,
            code,
        )

    def error_frame(self, fault: Fault) -> bytes:
        """Write an error event."""
        return b"data: " + self.error_body(fault) + b"\n\n"

    def garbage(self) -> bytes:
        """Write half an object."""
        broken = b'{"id":"chatcmpl-'
        return b"data: " + broken + b"\n\n" if self.stream else broken

    @property
    def _includes_usage(self) -> bool:
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True  # pyright: ignore[reportUnknownMemberType]

    def _head(self, kind: str) -> dict[str, object]:
        return {
            "id": f"chatcmpl-{next(self.ids):08d}",
            "object": kind,
            "created": int(time.time()),
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": "fp_fake",
        }

    def _calls(self, reply: Reply) -> list[tuple[dict[str, object], dict[str, str]]]:
        return [
            (
                {"id": f"call_{next(self.ids):024d}", "type": "function"},
                {"name": name, "arguments": arguments if isinstance(arguments, str) else dumps(dict(arguments))},
            )
            for name, arguments in reply.calls
        ]

    def _logprobs(self, tokens: Sequence[Token] | None) -> Json | None:
        if tokens is None or self.body.get("logprobs") is not True:
            return None
        wanted = self.body.get("top_logprobs")
        top = wanted if isinstance(wanted, int) else 0
        return {
            "content": [
                logprob_body(token.text, token.logprob)
                | {"top_logprobs": [logprob_body(*pair) for pair in itertools.islice(token.alternatives, top)]}
                for token in tokens
            ],
            "refusal": None,
        }


def invalid(message: str, param: str) -> Fault:
    """Make the fault for a request that is malformed."""
    return Fault(
        400, body={"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}}
    )


def sse(data: Json) -> bytes:
    """Write a server-sent event."""
    return b"data: " + encode(data) + b"\n\n"


def fragments(place: int, call: Json, function: Mapping[str, str]) -> Iterator[Json]:
    """Cut a tool call as a stream does: the name first, then the arguments in two halves."""
    yield {"index": place, **call, "function": {**function, "arguments": ""}}
    arguments = function["arguments"]
    for part in (arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]):
        if part:
            yield {"index": place, "function": {"arguments": part}}


def finish_of(reply: Reply) -> str:
    """Give OpenAI's word for why generation ended."""
    return "tool_calls" if reply.tool_calls and reply.finish == "stop" else reply.finish


def usage_body(usage: Usage) -> Json:
    """Write the usage."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def logprob_body(text: str, logprob: float) -> dict[str, object]:
    """Write a token with its log-probability."""
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "surrogatepass"))}
