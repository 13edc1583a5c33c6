"""A circuit breaker for each tier: one that keeps failing is passed over for a while."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Final

__all__ = ["Breaker"]

FAILURES_TO_OPEN: Final = 5
"""Failures in a row, as in Envoy's outlier detection."""
OPEN_S: Final = 30.0
LONGEST_OPEN_S: Final = 300.0
LONGEST_RETRY_AFTER_S: Final = 60.0


@dataclass(slots=True)
class _State:
    failures: int = 0
    opened: int = 0
    open_until: float = 0.0
    probing: bool = False


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
        self._state = _State()
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[Breaker], tuple[int, float]]:
        # What was learnt of a server is not carried into another process.
        return (Breaker, (self._failures_to_open, self._open_s))

    def admit(self, now: float) -> bool:
        """Ask to make a call; one that was admitted must be ended by ``success``, ``failure`` or ``release``."""
        with self._lock:
            state = self._state
            if state.open_until == 0.0:
                return True
            if now < state.open_until or state.probing:
                return False
            state.probing = True
            return True

    def success(self) -> None:
        """End a call that was answered: the breaker closes."""
        with self._lock:
            self._state = _State()

    def failure(self, now: float, retry_after_s: float | None = None) -> None:
        """End a call that failed.

        Args:
            now: The time.
            retry_after_s: How long the server asks to be left alone; opens the breaker at once, up to a minute.
        """
        with self._lock:
            state = self._state
            state.failures += 1
            if retry_after_s is not None:
                state.open_until = max(state.open_until, now + min(retry_after_s, LONGEST_RETRY_AFTER_S))
            elif state.probing or state.failures >= self._failures_to_open:
                state.open_until = now + min(self._open_s * 2 ** min(state.opened, 16), LONGEST_OPEN_S)
                state.opened += 1
                state.failures = 0
            state.probing = False

    def release(self) -> None:
        """End a call that was given up by its caller, which says nothing of the server."""
        with self._lock:
            self._state.probing = False

    def is_open(self, now: float) -> bool:
        """Whether calls are refused now; unlike ``admit`` this takes no probe's place."""
        with self._lock:
            return now < self._state.open_until or self._state.probing
