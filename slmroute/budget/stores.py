"""Where it is counted what was spent: in this process, or, together with other processes, on a server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import RLock
from typing import Final, Protocol

from slmroute.budget.limits import Charge

__all__ = ["Hold", "MemoryStore", "Store", "Taken"]

KEPT_WINDOWS: Final = 1_000
LONGEST_WINDOW_S: Final = 32 * 86_400
SHORT: Final = "|minute"


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of asking for a hold.

    Attributes:
        refused: Which of the charges does not fit, by its place; None when all do, and are held.
        used: How much of each limit others have taken: spent, or held by calls that run.
        spent: The part of it that is spent.
    """

    refused: int | None
    used: tuple[int, ...]
    spent: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """What a call asks a store to hold.

    Attributes:
        hold_id: The hold.
        charges: What it holds.
        known: What is known to have been counted for each. Where the store has less, it has lost what it was told
            before, and counts this from now on.
    """

    hold_id: str
    charges: Sequence[Charge]
    known: Sequence[int]


class Store(Protocol):
    """Counts meters. Its methods may wait for a server."""

    outages: tuple[type[Exception], ...]
    """What it raises when its server cannot be asked."""

    def hold(self, holds: Sequence[Hold]) -> Iterable[Taken]:
        """Make holds as if one after another: of each all charges if they all fit into their limits, or none.

        What came of each is given as soon as the server has said it; who stops reading may not have asked for the rest.
        """
        ...

    def settle(self, hold_ids: Sequence[str], charges: Sequence[Charge]) -> None:
        """Drop holds, and count what was really taken in their place, whether it fits or not.

        What could not be settled is given again before anything else is.
        """
        ...

    def close(self) -> None:
        """Close the connection; it is opened again when needed."""
        ...


class MemoryStore:
    """Counts in this process alone. What it counted is gone when the process ends.

    Where processes share a server, it remembers what that has last said of the others, for when it cannot be asked, and
    what it must know by now, for when it has lost that.
    """

    outages: tuple[type[Exception], ...] = ()

    def __init__(self) -> None:
        self._counted: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._elsewhere: dict[tuple[str, int], int] = {}
        self._known: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._held: dict[str, tuple[Charge, ...]] = {}
        self._holds: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._forget_over = KEPT_WINDOWS
        self._lock = RLock()  # a call can end while the garbage collector runs

    def hold(self, hold_id: str, charges: Sequence[Charge]) -> Taken:
        """Hold all charges if they all fit into their limits, or none of them."""
        with self._lock:
            used = tuple(self.used(charge) + self._elsewhere.get(charge.window, 0) for charge in charges)
            spent = tuple(self.spent(charge) for charge in charges)
            for place, (charge, already) in enumerate(zip(charges, used, strict=True)):
                if already + charge.amount > charge.limit:
                    return Taken(place, used, spent)
            self._held[hold_id] = tuple(charges)
            for charge in charges:
                self._holds[charge.window] += charge.amount
            return Taken(None, used, spent)

    def settle(self, hold_ids: Sequence[str], charges: Sequence[Charge]) -> None:
        """See ``Store``."""
        with self._lock:
            for hold_id in hold_ids:
                for charge in self._held.pop(hold_id, ()):
                    self._holds[charge.window] -= charge.amount
                    if not self._holds[charge.window]:
                        del self._holds[charge.window]
            for charge in charges:
                self._counted[charge.window] += charge.amount
            if charges and len(self._counted) > self._forget_over:
                self._forget(max(charge.start for charge in charges))
                self._forget_over = max(KEPT_WINDOWS, 2 * len(self._counted))

    def used(self, charge: Charge) -> int:
        """Give what this process has counted and holds in a charge's window."""
        return self._counted.get(charge.window, 0) + self._holds.get(charge.window, 0)

    def spent(self, charge: Charge) -> int:
        """Give what is spent in a charge's window: counted here, and by others as far as it is known."""
        return self._counted.get(charge.window, 0) + self._elsewhere.get(charge.window, 0)

    def learn(self, charges: Sequence[Charge], spent: Sequence[int]) -> None:
        """Note what a server says is spent in all, this process's part of it included."""
        with self._lock:
            for charge, amount in zip(charges, spent, strict=True):
                # It may not know yet all that is counted here: then the others' part comes out too small, never too
                # large, and as that only grows, the most that was seen is the nearest.
                others = amount - self._counted.get(charge.window, 0)
                if others > self._elsewhere.get(charge.window, 0):
                    self._elsewhere[charge.window] = others
                self._known[charge.window] = max(self._known[charge.window], amount)

    def told(self, charges: Sequence[Charge]) -> None:
        """Note that a server has counted charges."""
        with self._lock:
            for charge in charges:
                self._known[charge.window] += charge.amount

    def known(self, charges: Sequence[Charge]) -> list[int]:
        """Give what a server has said to be spent in the windows of charges, and was told since."""
        with self._lock:
            return [self._known.get(charge.window, 0) for charge in charges]

    def close(self) -> None:
        """See ``Store``."""

    def _forget(self, now: int) -> None:
        """Forget windows that are over; the longest is a month, and calls that began in one may still run."""
        for windows in (self._counted, self._elsewhere, self._known):
            for window in list(windows):
                if window[1] < now - (3_600 if window[0].endswith(SHORT) else LONGEST_WINDOW_S):
                    del windows[window]
