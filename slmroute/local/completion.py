"""What is asked of a model and what comes back, in terms that belong to neither wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Ask", "End", "Json", "Piece", "Refused", "Times"]

Json = Mapping[str, object]


class Refused(Exception):
    """A request is answered with an error.

    Args:
        status: The HTTP status.
        message: What Ollama would say.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Ask:
    """One generation, in the terms of llama.cpp's server.

    Attributes:
        path: Its endpoint.
        body: The request's body.
        alternatives: How many alternatives the client wants with each token's log-probability.
        truncate: Whether the oldest messages are dropped when the prompt does not fit in the window.
    """

    path: str
    body: Mapping[str, object] = field(repr=False)
    alternatives: int = 0
    truncate: bool = True


@dataclass(frozen=True, slots=True)
class End:
    """How a generation ended.

    Attributes:
        reason: ``stop`` or ``length``.
        prompt_tokens: The tokens of the prompt, those that were still in the cache included.
        cached_tokens: The prompt's tokens that were in the cache and not evaluated again.
        output_tokens: The tokens generated.
        prompt_ns: Nanoseconds that evaluating the prompt took.
        output_ns: Nanoseconds that generating took.
    """

    reason: str
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    prompt_ns: int = 0
    output_ns: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer; the last one has an ``end``.

    Attributes:
        text: The text.
        thinking: What the model thought before it answers.
        calls: The tool calls as Ollama writes them, all of them with the last piece.
        logprobs: The log-probabilities of its tokens, where they were asked for.
        end: How it ended.
    """

    text: str = field(default="", repr=False)
    thinking: str = field(default="", repr=False)
    calls: Sequence[Json] = field(default=(), repr=False)
    logprobs: Sequence[Json] = field(default=(), repr=False)
    end: End | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """How long an answer took.

    Attributes:
        total_ns: Nanoseconds since the request came in.
        load_ns: Nanoseconds until the model was there for it, the queue included.
    """

    total_ns: int
    load_ns: int
