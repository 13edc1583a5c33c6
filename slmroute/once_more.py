"""Performers of calls that a tier may refuse for what only the router asked of it: it is then asked once more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Generator
from typing import Protocol

from slmroute.availability import lacked_ability, refuses_logprobs
from slmroute.gate import Chunk
from slmroute.owned import Owned
from slmroute.run import Run
from slmroute.steps import Answer, Call

__all__ = ["OnceMore"]


class Known(Protocol):
    """What a framework's models are known not to do, for further calls.

    Attributes:
        no_logprobs: The names of tiers whose servers are known to refuse requests for log-probabilities.
    """

    no_logprobs: set[str]

    def note_lacking(self, name: str, ability: str) -> None:
        """Note that a tier's server has said that its model lacks an ability."""
        ...


class OnceMore(ABC):
    """Has tiers answer in the framework's own way, and once more where one refuses what only we asked for.

    Args:
        run: The call in progress.
        known: Where it is kept what a tier refuses.
    """

    def __init__(self, run: Run, known: Known) -> None:
        self.run = run
        self._known = known
        # The tiers that are asked for log-probabilities which the user did not ask for.
        self._unasked: set[str] = set()

    def learn(self, call: Call, error: Exception) -> bool:
        """Note what an error says that a tier cannot do; gives whether to ask it once more, without log-probabilities.

        What is refused so is refused before anything is generated.
        """
        name = call.tier.name
        if (ability := lacked_ability(error)) is not None:
            self._known.note_lacking(name, ability)
        if name not in self._unasked or not refuses_logprobs(error):
            return False
        self._known.no_logprobs.add(name)
        self._unasked.discard(name)
        return True

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
                async with Owned(self._astream(call)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except self.run.engine.availability_errors as error:
                if again or not self.learn(call, error):
                    raise
                again = True
            else:
                return
