"""The drivers of the flow: sync and async, whole answers and streams.

They differ in how they wait and in nothing else: each takes steps from a ``Run``, has the adapter's ``Performer`` call
the tiers, and leaves the record settled however it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from typing import Protocol, assert_never

from slmroute.ask import ajudge, ascore, asking, judge, score
from slmroute.attempt import Attempt
from slmroute.costs import counted_in
from slmroute.gate import Chunk, Gate
from slmroute.overheard import hear, listening
from slmroute.owned import Owned
from slmroute.run import Run
from slmroute.steps import ABORTED, Answer, Call, Classify, Decision, Failure, Judge, Reject, Reply, Step

__all__ = ["Performer", "adrive", "adrive_stream", "drive", "drive_stream"]


class Performer(Protocol):
    """What an adapter does for the drivers: call one tier, in its framework's own way."""

    def call(self, call: Call, /) -> Answer:
        """Have a tier answer."""
        ...

    async def acall(self, call: Call, /) -> Answer:
        """Have a tier answer, asynchronously."""
        ...

    def stream(self, call: Call, /) -> Generator[Chunk]:
        """Have a tier answer in chunks; closing the generator ends the tier's request."""
        ...

    def astream(self, call: Call, /) -> AsyncGenerator[Chunk]:
        """Have a tier answer in chunks, asynchronously."""
        ...

    def collect(self, call: Call, natives: Sequence[object], /) -> Answer:
        """Make one answer of a stream's chunks."""
        ...


def drive(run: Run, performer: Performer) -> Decision:
    """Drive one call to its answer.

    Args:
        run: The call; its ``record`` is there when this returns or raises.
        performer: Calls the tiers.
    """
    with run:
        step = run.advance()
        while step is not None:
            step = run.advance(_call(run, performer, step) if isinstance(step, Call) else _ask(run, step))
        assert run.decision is not None  # noqa: S101  the flow has ended
        return run.decision


async def adrive(run: Run, performer: Performer) -> Decision:
    """Drive one call to its answer, asynchronously; see ``drive``."""
    with run:
        step = run.advance()
        while step is not None:
            reply = await (_acall(run, performer, step) if isinstance(step, Call) else _aask(run, step))
            step = run.advance(reply)
        assert run.decision is not None  # noqa: S101  the flow has ended
        return run.decision


def drive_stream(run: Run, performer: Performer) -> Generator[object]:
    """Drive one call, yielding the chunks of the answer that is given and of no other.

    Args:
        run: The call; its ``record`` is there when the generator ends or is closed.
        performer: Calls the tiers.

    Yields:
        The adapter's own chunks.
    """
    with run:
        step = run.advance()
        while step is not None:
            reply = (yield from _stream(run, performer, step)) if isinstance(step, Call) else _ask(run, step)
            step = run.advance(reply)
        if (held := run.unshown()) is not None:
            yield from held.held


async def adrive_stream(run: Run, performer: Performer) -> AsyncGenerator[object]:
    """Drive one call, yielding chunks asynchronously; see ``drive_stream``."""
    with run:
        step = run.advance()
        while step is not None:
            if isinstance(step, Call):
                attempt = await run.abegin(step)
                if isinstance(attempt, Failure):
                    step = run.advance(attempt)
                    continue
                # An async generator cannot hand on a reply as `yield from` does: the box takes it.
                box: list[Reply] = []
                async with Owned(_astream(run, performer, step, attempt, box)) as natives:
                    async for native in natives:
                        yield native
                step = run.advance(box[0])
            else:
                step = run.advance(await _aask(run, step))
        if (held := run.unshown()) is not None:
            for native in held.held:
                yield native


def _ask(run: Run, step: Step) -> Reply:
    with asking(run):
        match step:
            case Classify():
                return score(run, step)
            case Judge():
                return judge(run, step)
            case Call() | Reject():
                raise AssertionError(step)
            case _:
                assert_never(step)


async def _aask(run: Run, step: Step) -> Reply:
    with asking(run):
        match step:
            case Classify():
                return await ascore(run, step)
            case Judge():
                return await ajudge(run, step)
            case Call() | Reject():
                raise AssertionError(step)
            case _:
                assert_never(step)


def _call(run: Run, performer: Performer, call: Call) -> Reply:
    attempt = run.begin(call)
    if isinstance(attempt, Failure):
        return attempt
    try:
        with _within(attempt):
            answer = performer.call(call)
    except run.engine.availability_errors as error:
        return run.failed(attempt, error)
    return run.answered(attempt, answer)


async def _acall(run: Run, performer: Performer, call: Call) -> Reply:
    attempt = await run.abegin(call)
    if isinstance(attempt, Failure):
        return attempt
    limit = asyncio.timeout(run.remaining_s)
    try:
        async with limit:
            with _within(attempt):
                answer = await performer.acall(call)
    except run.engine.availability_errors as error:
        return run.cut(attempt, error) if limit.expired() else run.failed(attempt, error)
    return run.answered(attempt, answer)


def _stream(run: Run, performer: Performer, call: Call) -> Generator[object, None, Reply]:
    attempt = run.begin(call)
    if isinstance(attempt, Failure):
        return attempt
    gate = Gate(call, run.request, run.policy.escalation)
    late = False
    try:
        with closing(performer.stream(call)) as chunks:
            while True:
                # It must not span a yield: it would then hold for what the caller does meanwhile.
                with _within(attempt):
                    chunk = next(chunks, None)
                if chunk is None:
                    break
                late = run.out_of_time
                to_show = None if late else _take(run, gate, attempt, chunk)
                if to_show is None:
                    break
                yield from to_show
    except run.engine.availability_errors as error:
        return run.failed(attempt, error)
    return run.cut(attempt) if late else _collected(run, performer, call, attempt)


async def _astream(
    run: Run, performer: Performer, call: Call, attempt: Attempt, box: list[Reply]
) -> AsyncGenerator[object]:
    gate = Gate(call, run.request, run.policy.escalation)
    limit, late = asyncio.timeout(None), False
    try:
        async with Owned(performer.astream(call)) as chunks:
            while True:
                # The limit must not span a yield: it would then cut whatever the caller does meanwhile.
                limit = asyncio.timeout(run.remaining_s)
                async with limit:
                    with _within(attempt):
                        chunk = await anext(chunks, None)
                if chunk is None:
                    break
                late = run.out_of_time
                to_show = None if late else _take(run, gate, attempt, chunk)
                if to_show is None:
                    break
                for native in to_show:
                    yield native
    except run.engine.availability_errors as error:
        box.append(run.cut(attempt, error) if limit.expired() else run.failed(attempt, error))
        return
    box.append(run.cut(attempt) if late else _collected(run, performer, call, attempt))


def _within(attempt: Attempt) -> AbstractContextManager[object]:
    """Have what is routed within a tier's call be a part of it, and of no classifier's or judge's that makes it."""
    counted = counted_in((attempt.within,))
    if hear() is None:
        return counted
    both = ExitStack()
    both.enter_context(listening([]))
    both.enter_context(counted)
    return both


def _take(run: Run, gate: Gate, attempt: Attempt, chunk: Chunk) -> Sequence[object] | None:
    """Take a chunk; gives the chunks to show now, or None when the stream is to be broken off."""
    run.saw_chunk(attempt, chunk)
    if attempt.shown:
        return (chunk.native,)
    match gate.feed(chunk):
        case "hold":
            return ()
        case "abort":
            attempt.aborted = True
            attempt.confidence = gate.confidence
            return None
        case "commit":
            attempt.confidence = gate.confidence
            run.show(attempt)
            return tuple(attempt.held)


def _collected(run: Run, performer: Performer, call: Call, attempt: Attempt) -> Answer:
    answer = performer.collect(call, attempt.held)
    if attempt.aborted:
        answer = replace(answer, finish=ABORTED)
    return run.answered(attempt, answer)
