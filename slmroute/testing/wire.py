"""What the two wires have in common: how one request wants to be answered, and how a reply is cut into frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, cast

from slmroute.steps import Usage
from slmroute.testing.script import Fault, Reply, split_words

__all__ = ["Frames", "Json", "Wire", "encode", "members", "usage_of"]

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Frames:
    """A streamed answer.

    Attributes:
        opening: What is sent with the head.
        chunks: The reply's chunks, written as they are asked for, so that a long reply keeps no other waiting.
        closing: What ends it: the reason, the usage, the mark of the end.
    """

    opening: bytes = field(repr=False)
    chunks: Iterable[bytes] = field(repr=False)
    closing: bytes = field(repr=False)


class Wire(Protocol):
    """One generation request on one of the wires."""

    media_type: ClassVar[str]
    """The media type of a stream."""

    @property
    def stream(self) -> bool:
        """Whether the answer is to be streamed."""
        ...

    def complaint(self) -> Fault | None:
        """Say what the real server would refuse about the request."""
        ...

    def whole(self, reply: Reply, usage: Usage | None) -> bytes:
        """Write an answer that is not streamed."""
        ...

    def frames(self, reply: Reply, usage: Usage | None) -> Frames:
        """Write a streamed answer."""
        ...

    def reported(self, usage: Usage) -> Usage | None:
        """Give the part of a reply's usage that the answer tells of."""
        ...

    def error_body(self, fault: Fault) -> bytes:
        """Write the body of an HTTP error."""
        ...

    def error_frame(self, fault: Fault) -> bytes:
        """Write an error that comes in the middle of a stream."""
        ...

    def garbage(self) -> bytes:
        """Write a body that is not what it says it is."""
        ...


def encode(value: Json) -> bytes:
    """Write JSON as the servers do, without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def members(value: object) -> list[Json]:
    """Give the objects in a JSON array; nothing when it is no array."""
    if not isinstance(value, list):
        return []
    return [cast("Json", each) for each in cast("list[object]", value) if isinstance(each, dict)]


def usage_of(reply: Reply, body: Json) -> Usage:
    """Give the tokens of a reply to a request; what the script leaves open is counted in words and chunks."""
    words = sum(len(split_words(text)) for text in prompt_texts(body))
    return Usage(
        input_tokens=words if reply.input_tokens is None else reply.input_tokens,
        output_tokens=max(1, reply.steps) if reply.output_tokens is None else reply.output_tokens,
        cached_tokens=reply.cached_tokens,
        reasoning_tokens=reply.reasoning_tokens,
    )


def prompt_texts(body: Json) -> list[str]:
    """Give the texts of a request's prompt, whichever wire it came on."""
    contents: list[object] = [message.get("content") for message in members(body.get("messages"))]
    contents += [body.get("prompt"), body.get("system")]
    for content in tuple(contents):
        contents += [part.get("text") for part in members(content)]
    return [content for content in contents if isinstance(content, str)]
