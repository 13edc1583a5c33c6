"""Counting for one process: in memory at once, and on a shared server in the background where there is one."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitedInVain
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from slmroute.background import Background
from slmroute.budget.limits import Charge
from slmroute.budget.stores import Hold, MemoryStore, Store, Taken

__all__ = ["Counting"]

ANSWER_S: Final = 3.0
"""How long a call waits for a server that says nothing before it goes by what this process knows."""
OPENING_S: Final = 15.0
"""The same for the first calls to a database that is yet to be made, or migrated: that takes longer."""
AWAY_S: Final = 5.0
"""How long calls leave a server alone that could not be asked."""
AGAIN_S: Final = 0.1
"""How long ``flush`` does so."""
AT_ONCE: Final = 500
"""How many calls a server is asked for, or told of, at once at most."""
MOST_UNSETTLED: Final = 20
"""How many times that many calls a server is told of in full after an outage; of further ones what they have spent."""

logger = logging.getLogger("slmroute.budget")


@dataclass(frozen=True, slots=True)
class Asked:
    """A hold that a call waits for; the answer is None when the server could not be asked."""

    hold_id: str
    charges: Sequence[Charge]
    answer: Future[Taken | None]


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What a server is yet to be told.

    Attributes:
        hold_ids: The holds to be dropped.
        charges: What was taken.
        calls: How many calls took it.
    """

    hold_ids: Sequence[str]
    charges: Sequence[Charge]
    calls: int


Work = Asked | Unsettled | Callable[[], object]


class Counting:
    """Counts for one process.

    What is asked of a shared server is asked by one thread, and all that waits at once, so that many calls take hardly
    longer than one. A hold is always made before it is dropped, whatever happens to the call meanwhile. While the
    server cannot be asked, what this process has counted itself decides, with what others had spent when it last could,
    and what was spent is told to the server later. Once it has said nothing for too long while a call waited, it is
    asked, but not waited for, until it says something again. One that has lost its data is told again what this process
    knows to have been spent.

    Args:
        shared: The store on the server; None to count in memory alone.
        made: Whether the server's database is known to be ready. If not, the first calls wait longer.
        outage: Why it could not be asked just now, if so: it is left alone for a while, as after a call.
    """

    def __init__(self, shared: Store | None, *, made: bool = True, outage: str | None = None) -> None:
        self.memory = MemoryStore()
        self._shared = shared
        self._worker = Background[Work]("slmroute-budget", self._work, self._end, self._late, batch=AT_ONCE)
        self._unsettled: deque[Unsettled] = deque()
        self._untold = 0
        self._untold_lock = threading.RLock()  # a call can end while the garbage collector runs
        self._told_late = False
        self._away_until = 0.0
        self._silent = False
        self._heard_at = 0.0
        self._complained = False
        self._made = made
        if outage is not None:
            self._leave_alone(outage)

    def hold(self, hold_id: str, charges: Sequence[Charge]) -> tuple[Taken, bool]:
        """Hold all charges or none; gives what came of it, and whether the server had its say."""
        own = self.memory.hold(hold_id, charges)
        if self._shared is None:
            return own, True
        asked, told = self._ask(hold_id, charges), None
        if not self._silent:
            patience_s, since = self._patience_s, time.monotonic()
            while not asked.done() and (left_s := self._left_s(since, patience_s)) > 0:
                with suppress(WaitedInVain):
                    asked.exception(left_s)
            told = self._told(asked)
        return (own, False) if told is None else (told, True)

    async def ahold(self, hold_id: str, charges: Sequence[Charge]) -> tuple[Taken, bool]:
        """Hold all charges or none, without holding up the event loop."""
        own = self.memory.hold(hold_id, charges)
        if self._shared is None:
            return own, True
        asked, told = self._ask(hold_id, charges), None
        if not self._silent:
            patience_s, since = self._patience_s, time.monotonic()
            waiting = asyncio.wrap_future(asked)
            try:
                while not asked.done() and (left_s := self._left_s(since, patience_s)) > 0:
                    await asyncio.wait([waiting], timeout=left_s)
                told = self._told(asked)
            finally:
                # A call that waits no longer need not be asked for. An error is raised above.
                _ = waiting.cancel() or waiting.exception()
        return (own, False) if told is None else (told, True)

    def settle(self, hold_ids: Sequence[str], charges: Sequence[Charge]) -> None:
        """Drop holds and count what was taken, without waiting for anything."""
        self.memory.settle(hold_ids, charges)
        if self._shared is not None:
            owed = Unsettled(hold_ids, charges, int(any(charge.amount for charge in charges)))
            self._owe(owed.calls)
            self._worker.put(owed)

    def flush(self, timeout_s: float) -> bool:
        """Wait until the server knows all that was settled, asking it again if need be; False when time ran out."""
        until = time.monotonic() + timeout_s
        while self._worker.flush(max(until - time.monotonic(), 0.0)):
            if not self._unsettled:
                return True
            if time.monotonic() + AGAIN_S >= until:
                break
            time.sleep(AGAIN_S)
            self._worker.put(self._settle_unsettled)
        return False

    def stop(self) -> None:
        """End the thread, without waiting for it."""
        self._worker.stop()

    @property
    def _patience_s(self) -> float:
        return ANSWER_S if self._made else OPENING_S

    def _left_s(self, since: float, patience_s: float) -> float:
        """How much longer a call waits: the server may be at work for others first, and is heard of then."""
        return max(since, self._heard_at) + patience_s - time.monotonic()

    def _ask(self, hold_id: str, charges: Sequence[Charge]) -> Future[Taken | None]:
        asked = Asked(hold_id, charges, Future())
        self._worker.put(asked)
        return asked.answer

    def _told(self, answer: Future[Taken | None]) -> Taken | None:
        """Give the answer, or, if there is none yet, have no other call wait until the server says something."""
        if answer.done():
            return answer.result()
        self._silent = True
        self._complain("no answer")
        return None

    def _work(self, batch: Sequence[Work]) -> None:
        """Tell the server what was spent, then make the holds that calls wait for.

        A hold that is dropped already is not made: its call no longer waits. So each is dropped after it was made.
        """
        asked: dict[str, Asked] = {}
        settled: list[Unsettled] = []
        given_up = 0
        for work in batch:
            if isinstance(work, Asked):
                if work.answer.set_running_or_notify_cancel():
                    asked[work.hold_id] = work
                else:
                    given_up += 1
            elif isinstance(work, Unsettled):
                settled.append(work)
                for hold_id in work.hold_ids:
                    if (over := asked.pop(hold_id, None)) is not None:
                        over.answer.set_result(None)
            else:
                work()
        if settled:
            self._keep(_all_of(settled))
        if asked:
            self._answer(asked.values())
        elif settled and (time.monotonic() >= self._away_until or self._worker.stopping.is_set()):
            self._settle_unsettled()
        # Whatever came of it, unless the server was not even asked.
        self._silent = given_up == len(batch) and self._silent

    def _answer(self, asked: Collection[Asked]) -> None:
        try:
            taken = self._hold(asked)
        except BaseException as error:  # noqa: BLE001  handed to the calls that wait
            for one in asked:
                one.answer.set_exception(error)
            return
        for one, came in zip(asked, taken, strict=True):
            one.answer.set_result(came)

    def _hold(self, asked: Collection[Asked]) -> Sequence[Taken | None]:
        store = self._shared
        if store is None or time.monotonic() < self._away_until:
            return [None] * len(asked)
        try:
            self._settle_late(store)
            taken: list[Taken] = []
            for came in store.hold([Hold(one.hold_id, one.charges, self.memory.known(one.charges)) for one in asked]):
                self._heard_at = time.monotonic()
                taken.append(came)
        except store.outages as error:
            self._away(store, error)
            return [None] * len(asked)
        self._made = True
        for one, came in zip(asked, taken, strict=True):
            self.memory.learn(one.charges, came.spent)
        self._back()
        return taken

    def _keep(self, owed: Unsettled) -> None:
        """Note what the server is to be told, together with others.

        The first stays as it is: it may have been told without an answer, and is then told again as the same.
        """
        if len(self._unsettled) > 1:
            full = len(self._unsettled) >= MOST_UNSETTLED
            if full or len(self._unsettled[-1].hold_ids) < AT_ONCE:
                # Where there are too many, what they hold ends by itself.
                owed = _all_of([self._unsettled.pop(), replace(owed, hold_ids=()) if full else owed])
        self._unsettled.append(owed)

    def _settle_unsettled(self) -> None:
        store = self._shared
        assert store is not None  # noqa: S101  nothing is left unsettled without one
        try:
            self._settle_late(store)
        except store.outages as error:
            self._away(store, error)
        else:
            self._back()

    def _settle_late(self, store: Store) -> None:
        while self._unsettled:
            owed = self._unsettled[0]
            store.settle(owed.hold_ids, owed.charges)
            self._heard_at = time.monotonic()
            self.memory.told(owed.charges)
            self._unsettled.popleft()
            self._owe(-owed.calls)

    def _owe(self, calls: int) -> None:
        with self._untold_lock:
            self._untold += calls

    def _away(self, store: Store, error: Exception) -> None:
        self._made = True  # or away, which is not waited for any longer
        store.close()
        self._leave_alone(type(error).__name__)

    def _leave_alone(self, why: str) -> None:
        self._away_until = time.monotonic() + AWAY_S
        self._complain(why)

    def _complain(self, why: str) -> None:
        if not self._complained:
            self._complained = True
            logger.warning(
                "the budget's store cannot be asked (%s): until it can, this process goes by what it has spent itself "
                "and what it knows of others",
                why,
            )

    def _back(self) -> None:
        self._away_until = 0.0
        if self._complained:
            self._complained = False
            logger.warning("the budget's store can be asked again")

    def _end(self) -> None:
        if self._unsettled:
            self._settle_unsettled()  # the last chance
        if self._shared is not None:
            self._shared.close()
        self._late(len(self._unsettled))

    def _late(self, _: int) -> None:
        if self._untold and not self._told_late:
            self._told_late = True
            logger.warning("what %d calls have spent could not be told to the budget's store in time", self._untold)


def _all_of(owed: Sequence[Unsettled]) -> Unsettled:
    """Add up what is owed, so that each window has one charge."""
    charges: dict[tuple[str, int], Charge] = {}
    for charge in (charge for one in owed for charge in one.charges):
        known = charges.get(charge.window)
        charges[charge.window] = charge if known is None else replace(known, amount=known.amount + charge.amount)
    hold_ids = [hold_id for one in owed for hold_id in one.hold_ids]
    return Unsettled(hold_ids, tuple(charges.values()), sum(one.calls for one in owed))
