"""A circuit breaker for each tier: one that keeps failing is passed over for a while."""

from __future__ import annotations

import weakref
from threading import RLock
from typing import Final

__all__ = ["Breaker", "Permit"]

FAILURES_TO_OPEN: Final = 5
"""Failures in a row, as in Envoy's outlier detection."""
OPEN_S: Final = 30.0
LONGEST_OPEN_S: Final = 300.0
LONGEST_RETRY_AFTER_S: Final = 60.0


class Breaker:
    """Closed: calls are admitted. Open: none, for a time that doubles up to a cap. Half open: exactly one probe.

    Times are seconds of a monotonic clock that the caller reads. Safe to use from many threads.

    Args:
        failures_to_open: How many failures in a row open it.
        open_s: How long it stays open the first time.
    """

    def __init__(self, failures_to_open: int = FAILURES_TO_OPEN, open_s: float = OPEN_S) -> None:
        self._failures_to_open = failures_to_open
        self._open_s = open_s
        # A finaliser may end a call in the midst of another: the lock can be taken again by its own thread.
        self._lock = RLock()
        self._failures = 0
        self._openings = 0
        self._open_until: float | None = None
        # Calls that began before the breaker last opened tell nothing of how the server is since.
        self._epoch = 0
        # Weak, so that a probe whose owner was dropped without ending it does not keep the tier out for good.
        self._probe: weakref.ref[Permit] | None = None

    def __reduce__(self) -> tuple[type[Breaker], tuple[int, float]]:
        # What was learnt of a server is not carried into another process.
        return (Breaker, (self._failures_to_open, self._open_s))

    def admit(self, now: float) -> Permit | None:
        """Ask to make a call.

        Returns:
            The permit, to be ended by ``success``, ``failure`` or ``release``; None when the call is not to be made.
        """
        with self._lock:
            if self._open_until is None:
                return Permit(self, self._epoch)
            if now < self._open_until or self._probing():
                return None
            permit = Permit(self, self._epoch)
            self._probe = weakref.ref(permit)
            return permit

    def force(self) -> Permit:
        """Make a call whatever the state: it is the last there is to make."""
        with self._lock:
            return Permit(self, self._epoch)

    def is_open(self, now: float) -> bool:
        """Whether calls are refused now; unlike ``admit`` this takes no probe's place."""
        with self._lock:
            return self._open_until is not None and (now < self._open_until or self._probing())

    def succeeded(self, permit: Permit) -> None:
        """See ``Permit.success``."""
        with self._lock:
            if permit.epoch == self._epoch:
                self._failures = self._openings = 0
                self._open_until = self._probe = None

    def failed(self, permit: Permit, now: float, retry_after_s: float | None) -> None:
        """See ``Permit.failure``."""
        asked_until = now + min(retry_after_s, LONGEST_RETRY_AFTER_S) if retry_after_s else None
        with self._lock:
            is_probe = self._is_probe(permit)
            if is_probe:
                self._probe = None
            elif self._open_until is not None:
                # Many calls fail together when a server goes down: only the first of them opens the breaker.
                self._open_until = max(self._open_until, asked_until or 0.0)
                return
            elif permit.epoch != self._epoch:
                return
            self._failures += 1
            if asked_until is not None:
                self._open(asked_until)
            elif is_probe or self._failures >= self._failures_to_open:
                self._open(now + min(self._open_s * 2 ** min(self._openings, 16), LONGEST_OPEN_S))
                self._openings += 1

    def released(self, permit: Permit) -> None:
        """See ``Permit.release``."""
        with self._lock:
            if self._is_probe(permit):
                self._probe = None

    def _probing(self) -> bool:
        return self._probe is not None and self._probe() is not None

    def _is_probe(self, permit: Permit) -> bool:
        return self._probe is not None and self._probe() is permit

    def _open(self, until: float) -> None:
        self._open_until = until
        self._failures = 0
        self._epoch += 1


class Permit:
    """One admitted call. It ends once: what is said of it afterwards is not heard.

    Attributes:
        epoch: How often the breaker had opened when the call began.
    """

    __slots__ = ("__weakref__", "_breaker", "epoch")

    def __init__(self, breaker: Breaker, epoch: int) -> None:
        self._breaker: Breaker | None = breaker
        self.epoch = epoch

    def success(self) -> None:
        """End a call that was answered: the breaker closes."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker.succeeded(self)

    def failure(self, now: float, retry_after_s: float | None = None) -> None:
        """End a call that failed.

        Args:
            now: The time.
            retry_after_s: How long the server asks to be left alone; opens the breaker at once, up to a minute.
        """
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker.failed(self, now, retry_after_s)

    def release(self) -> None:
        """End a call that says nothing of the server: given up by its caller, or refused for what was asked."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker.released(self)
