"""Google's wire: Gemini's generateContent, streamed as server-sent events or not, and its errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from slmroute.testing import Fault, Reply
from tests.langchain.providers.loopback import Asked, Json, sse

FINISH_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}

ERRORS = {
    400: ("INVALID_ARGUMENT", "Invalid JSON payload received."),
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    403: ("PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key."),
    404: ("NOT_FOUND", "models/no-such-model is not found for API version v1beta"),
    429: ("RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details."),
    500: ("INTERNAL", "An internal error has occurred. Please retry."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
}
BY_CODE = {
    "too_long": (
        "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "bad_key": ("INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
}


@dataclass(frozen=True)
class Blocked(Reply):
    """No answer at all, because of what was asked."""


class GoogleWire:
    def model(self, asked: Asked) -> str:
        found = re.fullmatch(r"/v1beta/models/([^:]+):(generateContent|streamGenerateContent)", asked.path)
        assert found, asked.path
        return found[1]

    def streams(self, asked: Asked) -> bool:
        return asked.path.endswith(":streamGenerateContent")

    def whole(self, model: str, reply: Reply) -> Json:
        parts: list[Json] = [{"text": reply.text}] if reply.text else []
        return self._part(model, reply, [*parts, *self._calls(reply)], last=True)

    def events(self, model: str, reply: Reply) -> Iterator[bytes]:
        parts: list[Json] = [*({"text": piece} for piece in reply.pieces), *self._calls(reply)] or [{"text": ""}]
        for place, part in enumerate(parts):
            yield sse(self._part(model, reply, [part], last=place == len(parts) - 1))

    def error(self, fault: Fault) -> Json:
        status, message = BY_CODE[fault.code] if fault.code else ERRORS[fault.status]
        error: Json = {"code": fault.status, "message": message, "status": status}
        if fault.code == "bad_key":
            kind = "type.googleapis.com/google.rpc.ErrorInfo"
            error["details"] = [{"@type": kind, "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
        return {"error": error}

    def error_event(self, fault: Fault) -> bytes:
        return sse(self.error(fault))

    def _part(self, model: str, reply: Reply, parts: list[Json], *, last: bool) -> Json:
        if isinstance(reply, Blocked):
            usage: Json = {"promptTokenCount": reply.input_tokens, "totalTokenCount": reply.input_tokens}
            return {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage, "modelVersion": model}
        candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if last:
            candidate["finishReason"] = FINISH_REASONS[reply.finish]
        prompt, output = reply.input_tokens or 0, reply.output_tokens or 0
        # The counts grow from chunk to chunk; reasoning is counted beside the answer.
        usage = {"promptTokenCount": prompt, "totalTokenCount": prompt}
        if reply.cached_tokens:
            usage["cachedContentTokenCount"] = reply.cached_tokens
        if last:
            usage["candidatesTokenCount"] = output - reply.reasoning_tokens
            usage["totalTokenCount"] = prompt + output
            if reply.reasoning_tokens:
                usage["thoughtsTokenCount"] = reply.reasoning_tokens
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "r1"}

    def _calls(self, reply: Reply) -> list[Json]:
        return [{"functionCall": {"name": name, "args": arguments}} for name, arguments in reply.calls]
