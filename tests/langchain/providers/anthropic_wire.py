"""Anthropic's wire: messages, streamed as server-sent events or not, and its errors."""

from __future__ import annotations

import json
from collections.abc import Iterator

from slmroute.testing import Fault, Reply
from tests.langchain.providers.loopback import Asked, Billed, Json, sse

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}

ERRORS = {
    400: ("invalid_request_error", "messages: field required"),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "model: no-such-model"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit of 50 requests per minute."),
    500: ("api_error", "Internal server error"),
    503: ("api_error", "Service unavailable"),
    529: ("overloaded_error", "Overloaded"),
}
TOO_LONG = ("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")


class AnthropicWire:
    def model(self, asked: Asked) -> str:
        assert asked.path == "/v1/messages"
        return str(asked.body["model"])

    def streams(self, asked: Asked) -> bool:
        return bool(asked.body.get("stream"))

    def whole(self, model: str, reply: Reply) -> Json:
        message = self._head(model, reply)
        message["content"] = [
            *([{"type": "text", "text": reply.text}] if reply.text else []),
            *(
                {"type": "tool_use", "id": f"toolu_{place}", "name": name, "input": arguments}
                for place, (name, arguments) in enumerate(reply.calls)
            ),
        ]
        message["stop_reason"] = self._stop_reason(reply)
        message["usage"]["output_tokens"] = reply.output_tokens
        return message

    def events(self, model: str, reply: Reply) -> Iterator[bytes]:
        yield sse({"type": "message_start", "message": self._head(model, reply)}, "message_start")
        place = 0
        if reply.text:
            yield self._start(place, {"type": "text", "text": ""})
            for piece in reply.pieces:
                yield self._delta(place, {"type": "text_delta", "text": piece})
            yield self._stop(place)
            place += 1
        for name, arguments in reply.calls:
            yield self._start(place, {"type": "tool_use", "id": f"toolu_{place}", "name": name, "input": {}})
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            for half in (text[: len(text) // 2], text[len(text) // 2 :]):
                yield self._delta(place, {"type": "input_json_delta", "partial_json": half})
            yield self._stop(place)
            place += 1
        ending = {"stop_reason": self._stop_reason(reply), "stop_sequence": None}
        usage = {**self._usage(reply), "output_tokens": reply.output_tokens}
        yield sse({"type": "message_delta", "delta": ending, "usage": usage}, "message_delta")
        yield sse({"type": "message_stop"}, "message_stop")

    def error(self, fault: Fault) -> Json:
        kind, message = TOO_LONG if fault.code == "too_long" else ERRORS[fault.status]
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}

    def error_event(self, fault: Fault) -> bytes:
        return sse(self.error(fault), "error")

    def _head(self, model: str, reply: Reply) -> Json:
        usage = {**self._usage(reply), "output_tokens": 1, "service_tier": "standard"}
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": []}
        return {**head, "stop_reason": None, "stop_sequence": None, "usage": usage}

    def _usage(self, reply: Reply) -> Json:
        written = reply.cache_write_tokens if isinstance(reply, Billed) else 0
        # What was read from the cache or written to it is not in input_tokens here.
        fresh = (reply.input_tokens or 0) - reply.cached_tokens - written
        return {
            "input_tokens": fresh,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": reply.cached_tokens,
            "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        }

    def _stop_reason(self, reply: Reply) -> str:
        return "tool_use" if reply.tool_calls and reply.finish == "stop" else STOP_REASONS[reply.finish]

    def _start(self, place: int, block: Json) -> bytes:
        start = {"type": "content_block_start", "index": place, "content_block": block}
        return sse(start, "content_block_start")

    def _delta(self, place: int, delta: Json) -> bytes:
        return sse({"type": "content_block_delta", "index": place, "delta": delta}, "content_block_delta")

    def _stop(self, place: int) -> bytes:
        return sse({"type": "content_block_stop", "index": place}, "content_block_stop")
