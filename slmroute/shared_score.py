"""One score for the calls of a scope that are made at the same time: the first asks the classifier, the others wait."""

from __future__ import annotations

import asyncio
import threading
import weakref
from concurrent.futures import Future
from typing import Final

from slmroute.run import Run
from slmroute.steps import Scored

__all__ = ["SharedScore"]

LONGEST_WAIT_S: Final = 5.0
"""After this a call asks the classifier itself: the one that it waits for may in turn be waiting for its thread."""

_taking_over = threading.Lock()
"""Of the calls that find the deciding one gone, one is to decide in its place."""


class SharedScore:
    """What the classifier says of the call that decides for a scope. Bound to no event loop, and safe across threads.

    Args:
        run: That call.
    """

    def __init__(self, run: Run) -> None:
        self._run = weakref.ref(run)
        self._thread = threading.get_ident()
        self._outcome: Future[Scored | None] = Future()
        self._outcome.set_running_or_notify_cancel()  # from now on, nobody who stops waiting can cancel it

    def is_of(self, run: Run) -> bool:
        """Whether a call is the one that asks the classifier."""
        return self._run() is run

    @property
    def given_up(self) -> bool:
        """Whether the call that was to ask the classifier has ended without a score, so that another has to."""
        return self._outcome.done() and self._outcome.result() is None

    def tell(self, scored: Scored | None) -> None:
        """Say what came of it; None where the call was given up."""
        if not self._outcome.done():
            self._outcome.set_result(scored)

    def wait(self, at_most_s: float | None) -> Scored | None:
        """Wait for the score; None where it is not to be had, or this thread would wait for itself.

        Args:
            at_most_s: Seconds that the call has for it, or None where it has no deadline.
        """
        if not self._outcome.done() and self._thread == threading.get_ident():
            return None
        try:
            return self._outcome.result(_limit_s(at_most_s))
        except TimeoutError:
            return None

    async def await_(self, at_most_s: float | None) -> Scored | None:
        """Do what ``wait`` does without holding up the event loop."""
        try:
            async with asyncio.timeout(_limit_s(at_most_s)):
                return await asyncio.wrap_future(self._outcome)
        except TimeoutError:
            return None

    @classmethod
    def of(cls, run: Run) -> SharedScore | None:
        """Give the score that a call shares, its own where no other call is deciding; None where it is in no scope."""
        context, number = run.context, run.engine.number
        if context.scope is None:
            return None
        own = cls(run)
        with _taking_over:
            found: SharedScore = context.scoring.setdefault(number, own)
            if found is not own and found._is_over:
                context.scoring[number] = found = own
        return found

    @property
    def _is_over(self) -> bool:
        """Whether the call that was to decide has ended without: had it been answered, its tier would be known."""
        leader = self._run()
        return self.given_up or leader is None or leader.record is not None


def _limit_s(at_most_s: float | None) -> float:
    return LONGEST_WAIT_S if at_most_s is None else min(at_most_s, LONGEST_WAIT_S)
