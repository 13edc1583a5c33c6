"""Counting for one process: in memory at once, and on a shared server in the background where there is one."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitedInVain
from dataclasses import dataclass, replace
from typing import Final

from slmroute.background import Background
from slmroute.budget.limits import Charge
from slmroute.budget.stores import MemoryStore, Store, Taken

__all__ = ["Counting"]

ANSWER_S: Final = 3.0
"""How long a call waits for the server before it goes by what this process knows."""
OPENING_S: Final = 15.0
"""The same for the first calls to a database that is yet to be made, or migrated: that takes longer."""
AWAY_S: Final = 5.0
"""How long calls leave a server alone that could not be asked."""
AGAIN_S: Final = 0.1
"""How long ``flush`` does so."""
MOST_UNSETTLED: Final = 10_000
"""How many calls are told a server one by one after an outage; further ones are told as one."""

logger = logging.getLogger("slmroute.budget")

Work = Callable[[], object]


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


class Counting:
    """Counts for one process.

    What is asked of a shared server is asked by one thread, in order, so that a hold is always made before it is
    dropped, whatever happens to the call meanwhile. While the server cannot be asked, what this process has counted
    itself decides, with what others had spent when it last could, and what was spent is told to the server later. Once
    it has kept a call waiting in vain, it is asked, but not waited for, until it says something again. One that has
    lost its data is told again what this process knows to have been spent.

    Args:
        shared: The store on the server; None to count in memory alone.
        made: Whether the server's database is known to be ready. If not, the first calls wait longer.
        outage: Why it could not be asked just now, if so: it is left alone for a while, as after a call.
    """

    def __init__(self, shared: Store | None, *, made: bool = True, outage: str | None = None) -> None:
        self.memory = MemoryStore()
        self._shared = shared
        self._worker = Background[Work]("slmroute-budget", self._work, self._end, self._late)
        self._unsettled: deque[Unsettled] = deque()
        self._untold = 0
        self._untold_lock = threading.RLock()  # a call can end while the garbage collector runs
        self._told_late = False
        self._away_until = 0.0
        self._silent = False
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
            try:
                told = asked.result(self._patience_s)
            except WaitedInVain:
                self._in_vain()
        return (own, False) if told is None else (told, True)

    async def ahold(self, hold_id: str, charges: Sequence[Charge]) -> tuple[Taken, bool]:
        """Hold all charges or none, without holding up the event loop."""
        own = self.memory.hold(hold_id, charges)
        if self._shared is None:
            return own, True
        asked, told = self._ask(hold_id, charges), None
        if not self._silent:
            try:
                told = await asyncio.wait_for(asyncio.wrap_future(asked), self._patience_s)
            except TimeoutError:
                self._in_vain()
        return (own, False) if told is None else (told, True)

    def settle(self, hold_ids: Sequence[str], charges: Sequence[Charge]) -> None:
        """Drop holds and count what was taken, without waiting for anything."""
        self.memory.settle(hold_ids, charges)
        if self._shared is not None:
            owed = Unsettled(hold_ids, charges, int(any(charge.amount for charge in charges)))
            self._owe(owed.calls)
            self._worker.put(lambda: self._settle(owed))

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

    def _ask(self, hold_id: str, charges: Sequence[Charge]) -> Future[Taken | None]:
        future = Future[Taken | None]()

        def ask() -> bool:
            if not future.set_running_or_notify_cancel():
                return False
            try:
                future.set_result(self._hold(hold_id, charges))
            except BaseException as error:  # noqa: BLE001  handed to the call that waits
                future.set_exception(error)
            return True

        self._worker.put(ask)
        return future

    def _in_vain(self) -> None:
        """Note that a call was kept waiting, so that no other is until the server says something."""
        self._silent = True
        self._complain("no answer")

    def _hold(self, hold_id: str, charges: Sequence[Charge]) -> Taken | None:
        store = self._shared
        if store is None or time.monotonic() < self._away_until:
            return None
        try:
            self._settle_late(store)
            taken = store.hold(hold_id, charges, self.memory.known(charges))
        except store.outages as error:
            self._away(store, error)
            return None
        self._made = True
        self.memory.learn(charges, taken.spent)
        self._back()
        return taken

    def _settle(self, owed: Unsettled) -> None:
        store = self._shared
        if len(self._unsettled) >= MOST_UNSETTLED:
            last = self._unsettled.pop()
            # What these hold ends by itself.
            owed = Unsettled(last.hold_ids, _together(last.charges, owed.charges), last.calls + owed.calls)
        self._unsettled.append(owed)
        if store is not None and (time.monotonic() >= self._away_until or self._worker.stopping.is_set()):
            self._settle_unsettled()

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

    def _work(self, batch: Sequence[Work]) -> None:
        for work in batch:
            # Whatever came of it, unless the server was not even asked.
            self._silent = work() is False and self._silent

    def _late(self, _: int) -> None:
        if self._untold and not self._told_late:
            self._told_late = True
            logger.warning("what %d calls have spent could not be told to the budget's store in time", self._untold)


def _together(charges: Sequence[Charge], further: Sequence[Charge]) -> tuple[Charge, ...]:
    """Add charges up, so that each window has one."""
    found = {charge.window: charge for charge in charges}
    for charge in further:
        known = found.get(charge.window)
        found[charge.window] = charge if known is None else replace(known, amount=known.amount + charge.amount)
    return tuple(found.values())
