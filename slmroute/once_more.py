"""Performers of calls that a tier may refuse for what only the router asked of it: it is then asked once more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing

from slmroute.gate import Chunk
from slmroute.run import Run
from slmroute.steps import Answer, Call

__all__ = ["OnceMore"]


class OnceMore(ABC):
    """Has tiers answer in the framework's own way, and once more where ``learn`` says so.

    Args:
        run: The call in progress.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @abstractmethod
    def learn(self, call: Call, error: Exception) -> bool:
        """Take note of a tier's error; gives whether it is to be asked once more, otherwise than before."""

    @abstractmethod
    def _call(self, call: Call) -> Answer:
        """Have a tier answer."""

    @abstractmethod
    async def _acall(self, call: Call) -> Answer:
        """Have a tier answer, asynchronously."""

    @abstractmethod
    def _stream(self, call: Call) -> Generator[Chunk]:
        """Have a tier answer in chunks."""

    @abstractmethod
    def _astream(self, call: Call) -> AsyncGenerator[Chunk]:
        """Have a tier answer in chunks, asynchronously."""

    def call(self, call: Call) -> Answer:
        """See ``drive.Performer``."""
        try:
            return self._call(call)
        except self.run.engine.availability_errors as error:
            if not self.learn(call, error):
                raise
        return self._call(call)

    async def acall(self, call: Call) -> Answer:
        """See ``drive.Performer``."""
        try:
            return await self._acall(call)
        except self.run.engine.availability_errors as error:
            if not self.learn(call, error):
                raise
        return await self._acall(call)

    def stream(self, call: Call) -> Generator[Chunk]:
        """See ``drive.Performer``."""
        try:
            yield from self._stream(call)
        except self.run.engine.availability_errors as error:
            if not self.learn(call, error):
                raise
        else:
            return
        yield from self._stream(call)

    async def astream(self, call: Call) -> AsyncGenerator[Chunk]:
        """See ``drive.Performer``."""
        again = False
        while True:
            try:
                # One that is only dropped would end its run and its request some time later.
                async with aclosing(self._astream(call)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except self.run.engine.availability_errors as error:
                if again or not self.learn(call, error):
                    raise
                again = True
            else:
                return
