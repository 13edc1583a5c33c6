"""Azure's wire: OpenAI's chat completions, under the name of a deployment."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator

from slmroute.steps import Usage
from slmroute.testing import Fault, Reply
from slmroute.testing.openai_wire import OpenAIWire
from tests.langchain.providers.loopback import Asked, Json


class AzureWire:
    def model(self, asked: Asked) -> str:
        found = re.fullmatch(r"/openai/deployments/([^/]+)/chat/completions", asked.path)
        assert found, asked.path
        return found[1]

    def streams(self, asked: Asked) -> bool:
        return bool(asked.body.get("stream"))

    def whole(self, model: str, reply: Reply) -> Json:
        content: Json = json.loads(_wire(model).whole(reply, _usage(reply)))
        return content

    def events(self, model: str, reply: Reply) -> Iterator[bytes]:
        frames = _wire(model).frames(reply, _usage(reply))
        yield frames.opening
        yield from frames.chunks
        yield frames.closing

    def error(self, fault: Fault) -> Json:
        content: Json = json.loads(_wire("").error_body(fault))
        return content

    def error_event(self, fault: Fault) -> bytes:
        return _wire("").error_frame(fault)


def _wire(model: str) -> OpenAIWire:
    return OpenAIWire(model, {"stream_options": {"include_usage": True}}, itertools.count(1))


def _usage(reply: Reply) -> Usage:
    return Usage(
        reply.input_tokens or 0, reply.output_tokens or 0, reply.cached_tokens, reasoning_tokens=reply.reasoning_tokens
    )
