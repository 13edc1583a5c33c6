"""A clock that moves only when it is told to."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from slmroute.errors import ConfigError

__all__ = ["FakeClock"]


class FakeClock:
    """A clock that moves only when it is told to, so that tests of timeouts and pauses need not wait.

    It may be read and moved from any number of threads.

    Args:
        start: The wall clock's time at the start; it must know its time zone.

    Raises:
        ConfigError: ``start`` has no time zone.

    Example:
        >>> clock = FakeClock()
        >>> began = clock.monotonic()
        >>> clock.advance(30)
        >>> clock.monotonic() - began
        30.0
        >>> clock.now().isoformat()
        '2026-01-01T00:00:30+00:00'
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ConfigError("FakeClock(start=) needs a time zone: for example datetime(2026, 1, 1, tzinfo=UTC).")
        self._lock = threading.Lock()
        self._wall = start.astimezone(UTC)
        # Not zero: code that takes "no time yet" for a false value must be found out.
        self._seconds = 1000.0

    def monotonic(self) -> float:
        """Give seconds from an arbitrary origin; they never go back."""
        with self._lock:
            return self._seconds

    def now(self) -> datetime:
        """Give the time of day, in UTC."""
        with self._lock:
            return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass, on both clocks.

        Raises:
            ConfigError: ``seconds`` is negative; ``set_wall`` moves the wall clock back.
        """
        if seconds < 0:
            raise ConfigError(f"advance({seconds}): time does not go back; set_wall() moves the wall clock alone.")
        with self._lock:
            self._seconds += seconds
            self._wall += timedelta(seconds=seconds)

    def set_wall(self, moment: datetime) -> None:
        """Set the wall clock, as an operator or a time server does, and leave the monotonic clock alone.

        Raises:
            ConfigError: ``moment`` has no time zone.
        """
        if moment.tzinfo is None:
            raise ConfigError("set_wall(moment) needs a time zone: for example datetime(2026, 1, 1, tzinfo=UTC).")
        with self._lock:
            self._wall = moment.astimezone(UTC)
