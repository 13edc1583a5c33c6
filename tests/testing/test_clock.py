from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from threading import Thread

import pytest

from slmroute.errors import ConfigError
from slmroute.testing import FakeClock


def test_time_stands_still_until_it_is_advanced() -> None:
    clock = FakeClock()
    seconds, wall = clock.monotonic(), clock.now()
    assert (clock.monotonic(), clock.now()) == (seconds, wall)
    clock.advance(1.5)
    assert clock.monotonic() - seconds == 1.5
    assert clock.now() - wall == timedelta(seconds=1.5)


def test_no_time_reads_as_false() -> None:
    assert FakeClock().monotonic()


def test_the_wall_clock_is_utc_whatever_zone_it_was_started_in() -> None:
    clock = FakeClock(datetime(2026, 6, 1, 12, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == datetime(2026, 6, 1, 10, tzinfo=UTC)
    assert clock.now().tzinfo is UTC


def test_setting_the_wall_clock_back_leaves_the_monotonic_clock_alone() -> None:
    clock = FakeClock()
    seconds, wall = clock.monotonic(), clock.now()
    clock.set_wall(wall - timedelta(hours=1))
    assert clock.now() == wall - timedelta(hours=1)
    assert clock.monotonic() == seconds


def test_advancing_from_many_threads_loses_nothing() -> None:
    clock = FakeClock()
    start = clock.monotonic()

    def work() -> None:
        for _ in range(500):
            clock.advance(1)

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.monotonic() - start == 4000
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=4000)


def test_going_back_and_naive_times_are_refused() -> None:
    clock = FakeClock()
    with pytest.raises(ConfigError, match="set_wall"):
        clock.advance(-1)
    with pytest.raises(ConfigError, match="time zone"):
        FakeClock(datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ConfigError, match="time zone"):
        clock.set_wall(datetime(2026, 1, 1))  # noqa: DTZ001
