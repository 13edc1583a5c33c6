"""What a fake server is told to say: good replies, and everything that can go wrong in place of one."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import cast

from slmroute.errors import ConfigError
from slmroute.steps import ToolCall

__all__ = ["Alternatives", "Entry", "Fault", "Reply", "Script", "Token", "split_evenly", "split_words"]

Alternatives = Mapping[str, float]
"""The log-probability of each token that could have stood in one place."""

BREAKS = ("die_after_chunks", "stall_after_chunks", "end_after_chunks", "error_line_after_chunks")
"""The settings of a fault in the middle of an answer."""

WORD = re.compile(r"\s*\S+(?:\s+\Z)?")


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a reply with what the model thought of it.

    Attributes:
        text: The token's text.
        logprob: Its log-probability.
        alternatives: Log-probabilities of the likeliest tokens in its place, itself included, likeliest first.
    """

    text: str = field(repr=False)
    logprob: float
    alternatives: tuple[tuple[str, float], ...] = field(repr=False)


@dataclass(frozen=True)
class Reply:
    """A good answer of a scripted model.

    Args:
        text: What it says. A structured answer is its JSON, written out.
        tool_calls: The tools it calls: ``ToolCall`` objects or pairs of name and arguments. Arguments are a mapping,
            or a string to send exactly that to OpenAI's clients, well-formed or not.
        input_tokens: The prompt's tokens; by default its words are counted.
        output_tokens: The answer's tokens; by default its chunks and tool calls are counted.
        cached_tokens: Those of the prompt read from a cache. Only OpenAI's wire reports them, as the next.
        reasoning_tokens: Those of the answer spent on reasoning.
        logprobs: The log-probability of each token, or a mapping from each token that could have stood in the place
            to its log-probability. Sent where the request asks for log-probabilities.
        finish: Why generation ended: ``stop``, ``length``, ``content_filter``.
        chunks: How a stream cuts the text; by default one chunk a log-probability, or one a word.
        first_delay_s: Seconds before the first byte.
        chunk_delay_s: Seconds between a stream's chunks.
        usage: Whether token counts are sent.
        hold: Nothing is sent before this event is set.
        hold_after: A number of chunks and an event: that many chunks of a stream are sent, and the rest once the
            event is set.

    Raises:
        ConfigError: Arguments contradict each other.

    Example:
        >>> Reply("Paris.", logprobs=[-0.1, -0.2], input_tokens=100, output_tokens=10).pieces
        ('Par', 'is.')
        >>> Reply(tool_calls=[("add", {"a": 1, "b": 2})]).steps
        1
    """

    text: str = field(default="", repr=False)
    tool_calls: Sequence[ToolCall | tuple[str, Mapping[str, object] | str]] = field(
        default=(), repr=False, kw_only=True
    )
    input_tokens: int | None = field(default=None, kw_only=True)
    output_tokens: int | None = field(default=None, kw_only=True)
    cached_tokens: int = field(default=0, kw_only=True)
    reasoning_tokens: int = field(default=0, kw_only=True)
    logprobs: Sequence[float | Alternatives] | None = field(default=None, repr=False, kw_only=True)
    finish: str = field(default="stop", kw_only=True)
    chunks: Sequence[str] | None = field(default=None, repr=False, kw_only=True)
    first_delay_s: float = field(default=0.0, kw_only=True)
    chunk_delay_s: float = field(default=0.0, kw_only=True)
    usage: bool = field(default=True, kw_only=True)
    hold: threading.Event | None = field(default=None, repr=False, kw_only=True)
    hold_after: tuple[int, threading.Event] | None = field(default=None, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.chunks is not None:
            whole = "".join(self.chunks)
            if self.text and self.text != whole:
                raise ConfigError(
                    "Reply(chunks=) must join to its text; leave the text out to have it taken from them."
                )
            object.__setattr__(self, "text", whole)
            if self.logprobs and len(self.logprobs) != len(self.chunks):
                raise ConfigError(
                    f"Reply(logprobs=) has {len(self.logprobs)} tokens for {len(self.chunks)} chunks: give as many of "
                    "both, or leave chunks= out."
                )
        if self.logprobs is not None and {} in self.logprobs:
            raise ConfigError("Reply(logprobs=) has an empty mapping: name at least the token itself.")
        if self.hold_after is not None and not 0 <= self.hold_after[0] <= self.steps:
            raise ConfigError(
                f"Reply(hold_after=({self.hold_after[0]}, ...)) must be from 0 to {self.steps}, its number of chunks."
            )

    @property
    def pieces(self) -> tuple[str, ...]:
        """The text as a stream cuts it."""
        if self.chunks is not None:
            return tuple(self.chunks)
        words = split_words(self.text)
        if not self.logprobs or len(self.logprobs) == len(words):
            return words
        return split_evenly(self.text, len(self.logprobs))

    @property
    def calls(self) -> tuple[tuple[str, Mapping[str, object] | str], ...]:
        """The tool calls as pairs of name and arguments."""
        return tuple(
            # A ToolCall without arguments stands for a model that wrote broken JSON.
            (call.name, "{" if call.arguments is None else call.arguments) if isinstance(call, ToolCall) else call
            for call in self.tool_calls
        )

    @property
    def steps(self) -> int:
        """How many chunks a stream of it has: those of the text and one a tool call."""
        return len(self.pieces) + len(self.tool_calls)

    @property
    def tokens(self) -> tuple[Token, ...] | None:
        """The tokens with their log-probabilities, or None when the script has none.

        Those of a reply that has no text are what a model writes to call its tools.
        """
        if not self.logprobs:
            return None
        texts = self.pieces
        if self.tool_calls and not self.text:
            written = "".join(json.dumps({"name": name, "arguments": given}) for name, given in self.calls)
            texts = split_evenly(written, len(self.logprobs))
        return tuple(token_of(text, given) for text, given in zip(texts, self.logprobs, strict=True))


@dataclass(frozen=True, repr=False)
class Fault:
    """What a scripted model does in place of a good answer.

    Without any of the switches it is an error with an HTTP status, in the words of the wire it is sent on.

    Args:
        status: The HTTP status.
        code: OpenAI's code of the error, for example ``context_length_exceeded`` (with status 400); by default the
            one that goes with the status.
        body: The body to send in place of the wire's own: text, bytes, or a mapping for JSON.
        headers: Headers to send with it. A 429 has ``Retry-After: 1`` unless it is given here.
        refuse: The server stops listening, as one that is down: as long as this stands next in the script of any
            model, every connection to the server is refused. ``FakeServer.script`` brings it up again.
        die_before_first: The connection breaks before the first byte of the answer.
        die_after_chunks: The connection breaks after this many chunks of ``reply``.
        stall_after_chunks: Nothing more comes after this many chunks, until the client hangs up.
        end_after_chunks: The answer ends in good order after this many chunks, but without its end, as when a proxy
            loses the server behind it.
        error_line_after_chunks: After this many chunks and HTTP status 200 an error comes in the stream.
        garbage: HTTP status 200 and a body that is not JSON.
        reset: Whether a connection that breaks is reset; otherwise it is closed, as when a process is killed.
        reply: The answer that is broken off.

    Raises:
        ConfigError: Two faults at once, or a fault after more chunks than ``reply`` has.

    Example:
        >>> Fault(429, headers={"Retry-After": "20"})
        Fault(status=429)
        >>> Fault(die_after_chunks=2, reply=Reply("one two three"))
        Fault(die_after_chunks=2)
    """

    status: int = 500
    code: str | None = field(default=None, kw_only=True)
    body: str | bytes | Mapping[str, object] | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True)
    refuse: bool = field(default=False, kw_only=True)
    die_before_first: bool = field(default=False, kw_only=True)
    die_after_chunks: int | None = field(default=None, kw_only=True)
    stall_after_chunks: int | None = field(default=None, kw_only=True)
    end_after_chunks: int | None = field(default=None, kw_only=True)
    error_line_after_chunks: int | None = field(default=None, kw_only=True)
    garbage: bool = field(default=False, kw_only=True)
    reset: bool = field(default=True, kw_only=True)
    reply: Reply = field(default=Reply("The quick brown fox jumps over the lazy dog."), kw_only=True)

    def __post_init__(self) -> None:
        breaks = {name: cast("int | None", getattr(self, name)) for name in BREAKS}
        for setting, steps in breaks.items():
            if steps is not None and not 0 <= steps <= self.reply.steps:
                raise ConfigError(
                    f"Fault({setting}={steps}) must be from 0 to {self.reply.steps}, the number of chunks of its "
                    "reply=: give it a longer one."
                )
        given = [setting for setting, steps in breaks.items() if steps is not None]
        given += [name for name in ("refuse", "die_before_first", "garbage") if getattr(self, name)]
        if len(given) > 1:
            raise ConfigError(f"Fault({'=, '.join(given)}=) asks for several faults at once: give one of them.")

    def __repr__(self) -> str:
        hidden = ("body", "headers", "reply")
        pairs = [
            (each.name, getattr(self, each.name), each.default) for each in fields(self) if each.name not in hidden
        ]
        return f"Fault({', '.join(f'{name}={value!r}' for name, value, default in pairs if value != default)})"

    @property
    def after_chunks(self) -> int | None:
        """After how many chunks the answer breaks off, or None when it is not broken off in the middle."""
        return next((steps for name in BREAKS if (steps := cast("int | None", getattr(self, name))) is not None), None)

    @property
    def breaks_off(self) -> bool:
        """Whether the answer begins well, where it is streamed, and is no whole one all the same."""
        return self.garbage or self.after_chunks is not None


Entry = Reply | Fault | Callable[[Mapping[str, object]], Reply | Fault]
"""One answer of a script; a callable is given the request's body. It runs in the server's thread and must not wait."""

Script = Entry | Sequence[Entry]
"""The answers of a model in order; the last one is given again and again."""


def split_words(text: str) -> tuple[str, ...]:
    """Cut a text before each word but the first; the pieces join to the text again."""
    return tuple(WORD.findall(text)) or ((text,) if text else ())


def split_evenly(text: str, parts: int) -> tuple[str, ...]:
    """Cut a text into this many pieces, one or more, of about the same length; they join to the text again."""
    cuts = [len(text) * part // parts for part in range(parts + 1)]
    return tuple(text[start:end] for start, end in itertools.pairwise(cuts))


def token_of(text: str, given: float | Alternatives) -> Token:
    """Read one entry of ``Reply.logprobs`` for the token with this text."""
    if not isinstance(given, Mapping):
        return Token(text, given, ((text, given),))
    ranked = tuple(sorted(given.items(), key=lambda pair: -pair[1]))
    return Token(text, given.get(text, ranked[0][1]), ranked)
