"""The time of a machine that is paid by the hour, spread over the calls that keep it busy together."""

from __future__ import annotations

import os
from threading import RLock

__all__ = ["Machine"]


class Machine:
    """Charges calls for a machine's busy time: a second in which n calls run is charged to each as 1/n second.

    What calls are charged adds up to the time in which the machine was busy, however many ran at once. Safe to use
    from many threads; a forked child leaves its parent's calls to the parent.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._running = 0
        self._each_s = 0.0  # what a call that had run from the beginning would have been charged by now
        self._counted_to = 0.0
        self._lock = RLock()  # a call can end while the garbage collector runs

    def __reduce__(self) -> tuple[type[Machine], tuple[()]]:
        return (Machine, ())

    def begin(self, now: float) -> float:
        """Note that a call begins.

        Args:
            now: The time, in seconds of a monotonic clock.

        Returns:
            What ``end`` needs.
        """
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._running = os.getpid(), 0
            self._count(now)
            self._running += 1
            return self._each_s

    def end(self, mark: float, now: float) -> float:
        """Note that a call ends.

        Args:
            mark: What ``begin`` gave for it.
            now: The time.

        Returns:
            The seconds that it is charged for.
        """
        with self._lock:
            self._count(now)
            self._running -= 1
            return self._each_s - mark

    def _count(self, now: float) -> None:
        if self._running:
            self._each_s += max(now - self._counted_to, 0.0) / self._running
        self._counted_to = max(now, self._counted_to)
