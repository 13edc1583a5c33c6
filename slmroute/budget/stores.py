"""Where it is counted what was spent: in this process, or, together with other processes, on a server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import RLock
from typing import Final, Protocol

from slmroute.budget.limits import Charge

__all__ = ["MemoryStore", "Store", "Taken"]

KEPT_WINDOWS: Final = 1_000
LONGEST_WINDOW_S: Final = 32 * 86_400
SHORT: Final = "|minute"


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of asking for a hold.

    Attributes:
        refused: Which of the charges does not fit, by its place; None when all do, and are held.
        used: How much of each limit others have taken: spent, or held by calls that run.
    """

    refused: int | None
    used: tuple[int, ...]


class Store(Protocol):
    """Counts meters. Every method is one transaction; they may wait for a server."""

    outages: tuple[type[Exception], ...]
    """What it raises when its server cannot be asked."""

    def hold(self, hold_id: str, charges: Sequence[Charge]) -> Taken:
        """Hold all charges if they all fit into their limits, or none of them."""
        ...

    def settle(self, hold_ids: Sequence[str], charges: Sequence[Charge]) -> None:
        """Drop holds, and count what was really taken in their place, whether it fits or not."""
        ...

    def close(self) -> None:
        """Close the connection; it is opened again when needed."""
        ...


class MemoryStore:
    """Counts in this process alone. What it counted is gone when the process ends."""

    outages: tuple[type[Exception], ...] = ()

    def __init__(self) -> None:
        self._counted: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._held: dict[str, tuple[Charge, ...]] = {}
        self._holds: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._forget_over = KEPT_WINDOWS
        self._lock = RLock()  # a call can end while the garbage collector runs

    def hold(self, hold_id: str, charges: Sequence[Charge]) -> Taken:
        """See ``Store``."""
        with self._lock:
            used = tuple(self.used(charge) for charge in charges)
            for place, (charge, already) in enumerate(zip(charges, used, strict=True)):
                if already + charge.amount > charge.limit:
                    return Taken(place, used)
            self._held[hold_id] = tuple(charges)
            for charge in charges:
                self._holds[charge.meter, charge.start] += charge.amount
            return Taken(None, used)

    def settle(self, hold_ids: Sequence[str], charges: Sequence[Charge]) -> None:
        """See ``Store``."""
        with self._lock:
            for hold_id in hold_ids:
                for charge in self._held.pop(hold_id, ()):
                    self._holds[charge.meter, charge.start] -= charge.amount
                    if not self._holds[charge.meter, charge.start]:
                        del self._holds[charge.meter, charge.start]
            for charge in charges:
                self._counted[charge.meter, charge.start] += charge.amount
            if charges and len(self._counted) > self._forget_over:
                self._forget(max(charge.start for charge in charges))
                self._forget_over = max(KEPT_WINDOWS, 2 * len(self._counted))

    def used(self, charge: Charge) -> int:
        """Give what is counted and held in a charge's window."""
        window = (charge.meter, charge.start)
        return self._counted.get(window, 0) + self._holds.get(window, 0)

    def close(self) -> None:
        """See ``Store``."""

    def _forget(self, now: int) -> None:
        """Forget windows that are over; the longest is a month, and calls that began in one may still run."""
        for window in list(self._counted):
            if window[1] < now - (3_600 if window[0].endswith(SHORT) else LONGEST_WINDOW_S):
                del self._counted[window]
