"""When the model is in memory: loaded when asked, kept for a while, put out when nobody asks any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta

from slmroute.local.completion import Ask, Json, Piece, Refused
from slmroute.local.llama_wire import TooLong, objects, text
from slmroute.local.process import RunnerProcess, RunnerSettings
from slmroute.local.tally import Tally

__all__ = ["FOREVER_S", "Engine"]

FOREVER_S = -1.0
"""The time to keep a model that is never put out."""

FAR = timedelta(days=365 * 100)

BUSY = "server busy, please try again.  maximum pending requests exceeded"


class Engine:
    """Answers with a model that it loads and puts out; everything happens in one event loop.

    Args:
        settings: How to load the model.
        keep_alive_s: Seconds that it stays after a request that does not say so itself; below zero for ever.
        queue: How many requests may wait for a place.
        tally: Told of loads and answers.
    """

    def __init__(self, settings: RunnerSettings, keep_alive_s: float, queue: int, tally: Tally) -> None:
        self.settings = settings
        self._default_s = keep_alive_s
        self._most = settings.parallel + queue
        self._tally = tally
        self._places = asyncio.Semaphore(settings.parallel)
        self._runner: RunnerProcess | None = None
        self._loading: asyncio.Task[RunnerProcess] | None = None
        self._users = 0
        self._keep_alive_s = keep_alive_s
        self._timer: asyncio.TimerHandle | None = None
        self._expires_at: datetime | None = None
        self._endings: set[asyncio.Task[None]] = set()

    @property
    def runner(self) -> RunnerProcess | None:
        """The process that has the model in memory, or None."""
        return self._runner if self._runner is not None and self._runner.alive else None

    @property
    def expires_at(self) -> datetime:
        """When the model will be put out."""
        return self._expires_at or datetime.now(UTC) + kept_for(self._keep_alive_s)

    @asynccontextmanager
    async def use(self, keep_alive_s: float | None = None) -> AsyncGenerator[RunnerProcess]:
        """Have the model in memory for the length of a block.

        Args:
            keep_alive_s: Seconds that it stays afterwards; None for the default.

        Raises:
            Refused: Too many requests wait, or the model cannot be loaded.
        """
        if self._users >= self._most:
            raise Refused(503, BUSY)
        self._users += 1
        self._stop_timer()
        try:
            async with self._places:
                yield await self._ready()
        finally:
            self._users -= 1
            self._keep_alive_s = self._default_s if keep_alive_s is None else keep_alive_s
            if not self._users:
                self._start_timer()

    async def generate(self, runner: RunnerProcess, ask: Ask) -> AsyncGenerator[Piece]:
        """Generate; where the prompt does not fit, the oldest messages are left out as Ollama leaves them out.

        Yields:
            The pieces of the answer.

        Raises:
            Refused: The model refuses, or its process dies.
        """
        while True:
            try:
                async with aclosing(runner.generate(ask)) as pieces:
                    async for piece in pieces:
                        if piece.end is not None:
                            self._tally.answer(piece.end)
                        yield piece
            except TooLong as error:
                shorter = without_oldest(ask, error)
                if shorter is None:
                    raise
                ask = shorter
            else:
                return

    def put_out(self) -> None:
        """Free the memory, now or when the last request is answered."""
        self._keep_alive_s = 0.0
        if not self._users:
            self._stop_timer()
            self._expire()

    async def close(self) -> None:
        """Free everything."""
        self._stop_timer()
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])
        self._expire()
        while self._endings:
            await asyncio.wait(set(self._endings))

    async def _ready(self) -> RunnerProcess:
        if self.runner is not None:
            return self.runner
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(self._load())
            self._loading.add_done_callback(seen)
        # A client that hangs up does not stop the load: the next one finds the model there.
        return await asyncio.shield(self._loading)

    async def _load(self) -> RunnerProcess:
        try:
            self._expire()
            self._runner = await RunnerProcess.start(self.settings)
            self._tally.load()
            return self._runner
        finally:
            self._loading = None

    def _start_timer(self) -> None:
        self._expires_at = datetime.now(UTC) + kept_for(self._keep_alive_s)
        if self._keep_alive_s == 0:
            self._expire()
        elif self._keep_alive_s > 0:
            self._timer = asyncio.get_running_loop().call_later(self._keep_alive_s, self._expire)

    def _stop_timer(self) -> None:
        self._expires_at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            ending = asyncio.get_running_loop().create_task(runner.close())
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)


def seen(loading: asyncio.Task[RunnerProcess]) -> None:
    """Take note of a failure, also when every client that waited for the load has gone."""
    if not loading.cancelled():
        loading.exception()


def kept_for(keep_alive_s: float) -> timedelta:
    """Give the time that a model stays; at most a hundred years, for dates end."""
    return FAR if keep_alive_s < 0 else min(timedelta(seconds=min(keep_alive_s, 1e9)), FAR)


def without_oldest(ask: Ask, error: TooLong) -> Ask | None:
    """Leave out the oldest messages that are not the system's; None where only the last one is left.

    No more than what is surely too much goes at a time, half of the excess by the number of characters, and one
    message at least.
    """
    messages = list(objects(ask.body.get("messages")))
    droppable = [place for place, message in enumerate(messages[:-1]) if message.get("role") != "system"]
    if not ask.truncate or not droppable:
        return None
    lengths = [len(text(message.get("content"))) for message in messages]
    surely = sum(lengths) * (error.tokens - error.window) / max(1, error.tokens) / 2
    dropped: set[int] = set()
    gone = 0
    for place in droppable:
        if dropped and gone + lengths[place] > surely:
            break
        dropped.add(place)
        gone += lengths[place]
    kept: list[Json] = [message for place, message in enumerate(messages) if place not in dropped]
    return Ask(ask.path, {**ask.body, "messages": kept}, ask.alternatives, ask.truncate)
