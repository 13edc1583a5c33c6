"""Plays the tiers of a router without any framework: for trying a policy, and for those who write an adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from slmroute.errors import ConfigError
from slmroute.gate import Chunk
from slmroute.steps import Answer, Call, ToolCall, Usage
from slmroute.testing.clock import FakeClock
from slmroute.testing.script import Reply

__all__ = ["BreaksOff", "FakePerformer", "Move"]


@dataclass(frozen=True)
class BreaksOff:
    """An answer that breaks off: in a stream after some chunks, and otherwise at once.

    Attributes:
        reply: What would have been said.
        after_chunks: How many chunks of it come.
        error: What is raised then.
    """

    reply: Reply
    after_chunks: int
    error: Exception = field(repr=False)


Move = Reply | BreaksOff | Exception
"""What a tier does when it is called: it answers, breaks off in the midst of it, or raises."""


class FakePerformer:
    """Does a router's calls as a script says; see ``drive.Performer``.

    Args:
        script: What each tier does, by its name: its moves in order, the last one again and again.
        clock: Moved by a reply's ``first_delay_s`` and ``chunk_delay_s``; nothing really waits.
        at_step: Called before each call and each chunk, for tests that break in there.

    Attributes:
        calls: The calls so far.
        open: How many streams are open now.

    Example:
        >>> from slmroute import Policy, RouteRequest, Tier
        >>> from slmroute.drive import drive
        >>> from slmroute.engine import Engine
        >>> from slmroute.run import Run
        >>> policy = Policy.build([Tier("small", "ollama:a"), Tier("frontier", "ollama:b")], classify=False)
        >>> performer = FakePerformer({"small": ConnectionError(), "frontier": Reply("Paris.")})
        >>> drive(Run(Engine(policy), RouteRequest.from_text("Where?")), performer).tier.name
        'frontier'
    """

    def __init__(
        self,
        script: Mapping[str, Move | Sequence[Move]],
        clock: FakeClock | None = None,
        at_step: Callable[[], None] | None = None,
    ) -> None:
        self._script = {
            name: [moves] if isinstance(moves, Reply | BreaksOff | Exception) else list(moves)
            for name, moves in script.items()
        }
        self._clock = clock
        self._at_step = at_step
        self._replies: dict[int, Reply] = {}
        self.calls: list[Call] = []
        self.open = 0

    def call(self, call: Call) -> Answer:
        """See ``drive.Performer``."""
        reply, error, _ = self._next(call)
        self._wait(reply.first_delay_s)
        if error is not None:
            raise error
        return answer_of(reply, reply.pieces)

    async def acall(self, call: Call) -> Answer:
        """See ``drive.Performer``."""
        reply, error, _ = self._next(call)
        self._wait(reply.first_delay_s)
        await asyncio.sleep(0)
        if error is not None:
            raise error
        return answer_of(reply, reply.pieces)

    def stream(self, call: Call) -> Generator[Chunk]:
        """See ``drive.Performer``."""
        reply, error, after = self._next(call)
        with self._opened():
            for chunk in chunks_of(reply)[:after]:
                self._wait(reply.chunk_delay_s)
                yield chunk
            if error is not None:
                raise error

    async def astream(self, call: Call) -> AsyncGenerator[Chunk]:
        """See ``drive.Performer``."""
        reply, error, after = self._next(call)
        with self._opened():
            for chunk in chunks_of(reply)[:after]:
                self._wait(reply.chunk_delay_s)
                await asyncio.sleep(0)
                yield chunk
            if error is not None:
                raise error

    def collect(self, call: Call, natives: Sequence[object]) -> Answer:
        """See ``drive.Performer``."""
        return answer_of(self._replies[id(call)], natives)

    def _next(self, call: Call) -> tuple[Reply, Exception | None, int | None]:
        moves = self._script.get(call.tier.name)
        if not moves:
            raise ConfigError(f"FakePerformer has no move for tier {call.tier.name!r}: give its script one.")
        move = moves.pop(0) if len(moves) > 1 else moves[0]
        reply = move if isinstance(move, Reply) else move.reply if isinstance(move, BreaksOff) else Reply()
        self._replies[id(call)] = reply
        self.calls.append(call)
        if isinstance(move, BreaksOff):
            return reply, move.error, move.after_chunks
        return (reply, move, 0) if isinstance(move, Exception) else (reply, None, None)

    def _wait(self, seconds: float) -> None:
        if self._clock is not None:
            self._clock.advance(seconds)
        if self._at_step is not None:
            self._at_step()

    @contextmanager
    def _opened(self) -> Generator[None]:
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1


def chunks_of(reply: Reply) -> list[Chunk]:
    """Cut a reply into the chunks of a stream: its text, then its tool calls."""
    tokens = reply.tokens
    logprobs = [()] * len(reply.pieces) if tokens is None else [(token.logprob,) for token in tokens]
    texts = [Chunk(text, text, logprob) for text, logprob in zip(reply.pieces, logprobs, strict=True)]
    return [*texts, *(Chunk(call, tool_call=True) for call in reply.calls)]


def answer_of(reply: Reply, natives: Sequence[object]) -> Answer:
    """Make an answer of a reply's chunks: all of them, or the first ones of a stream that was broken off."""
    pieces = [native for native in natives if isinstance(native, str)]
    whole, tokens = len(pieces) == len(reply.pieces), reply.tokens
    calls = [
        ToolCall(name, dict(arguments) if isinstance(arguments, Mapping) else None)
        for name, arguments in (reply.calls if whole else ())
    ]
    usage = None
    if whole and reply.usage and reply.input_tokens is not None:
        written = max(1, reply.steps) if reply.output_tokens is None else reply.output_tokens
        usage = Usage(reply.input_tokens, written, reply.cached_tokens, 0, reply.reasoning_tokens)
    return Answer(
        text="".join(pieces),
        tool_calls=tuple(calls),
        usage=usage,
        logprobs=None if tokens is None else tuple(token.logprob for token in tokens[: len(pieces)]),
        finish=reply.finish if whole else None,
        native="".join(pieces),
    )
