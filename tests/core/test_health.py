"""Breakers: when they open, for how long, and who is let through."""

from __future__ import annotations

import gc
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.health import Breaker, Permit

NOW = 1_000.0


def admitted(breaker: Breaker, now: float = NOW) -> Permit:
    permit = breaker.admit(now)
    assert permit is not None
    return permit


def opened(times: int = 1, now: float = NOW) -> tuple[Breaker, float]:
    """A breaker that has opened so often in a row, and the time at which it is half open."""
    breaker = Breaker(failures_to_open=3, open_s=10.0)
    for _ in range(3):
        admitted(breaker, now).failure(now)
    wait = 10.0
    for _ in range(times - 1):
        now += wait
        admitted(breaker, now).failure(now)
        wait *= 2
    return breaker, now + wait


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(failures_to_open=3)
    for _ in range(2):
        admitted(breaker).failure(NOW)
    admitted(breaker).success()
    for _ in range(3):
        assert not breaker.is_open(NOW)
        admitted(breaker).failure(NOW)
    assert breaker.is_open(NOW)
    assert breaker.admit(NOW) is None


def test_it_stays_open_twice_as_long_each_time_up_to_a_cap() -> None:
    now, lengths = NOW, []
    breaker = Breaker(failures_to_open=1)
    for _ in range(8):
        admitted(breaker, now).failure(now)
        length = next(seconds for seconds in range(1, 400) if not breaker.is_open(now + seconds))
        lengths.append(length)
        now += length
    assert lengths == [30, 60, 120, 240, 300, 300, 300, 300]


def test_a_success_starts_the_times_anew() -> None:
    breaker, half_open = opened(times=3)
    admitted(breaker, half_open).success()
    for _ in range(3):
        admitted(breaker, half_open).failure(half_open)
    assert breaker.is_open(half_open + 9)
    assert not breaker.is_open(half_open + 10)


def test_half_open_admits_one_probe_of_a_thousand_callers() -> None:
    breaker, half_open = opened()
    barrier = threading.Barrier(20)

    def ask(_caller: int) -> Permit | None:
        return breaker.admit(half_open)

    def ask_fifty(_thread: int) -> list[Permit | None]:
        barrier.wait()
        return [ask(caller) for caller in range(50)]

    with ThreadPoolExecutor(20) as pool:
        permits = [permit for asked in pool.map(ask_fifty, range(20)) for permit in asked]
    assert len(permits) == 1_000
    assert sum(permit is not None for permit in permits) == 1
    assert breaker.is_open(half_open)


def test_the_probe_decides() -> None:
    breaker, half_open = opened()
    admitted(breaker, half_open).failure(half_open)
    assert breaker.admit(half_open + 19) is None
    admitted(breaker, half_open + 20).success()
    assert all(breaker.admit(half_open + 20) for _ in range(10))


def test_a_probe_that_was_given_up_makes_room_for_the_next() -> None:
    breaker, half_open = opened()
    permit = admitted(breaker, half_open)
    assert breaker.admit(half_open) is None
    permit.release()
    assert breaker.admit(half_open) is not None


def test_a_probe_that_was_dropped_makes_room_for_the_next() -> None:
    breaker, half_open = opened()
    permit = admitted(breaker, half_open)
    assert breaker.admit(half_open) is None
    del permit
    gc.collect()
    assert breaker.admit(half_open) is not None


def test_old_calls_that_end_do_not_free_the_probes_place() -> None:
    breaker = Breaker(failures_to_open=1, open_s=10.0)
    old = [admitted(breaker) for _ in range(3)]
    admitted(breaker).failure(NOW)
    probe = admitted(breaker, NOW + 10)
    old[0].release()
    old[1].failure(NOW + 10)
    old[2].success()
    assert breaker.admit(NOW + 10) is None
    probe.success()
    assert breaker.admit(NOW + 10) is not None


def test_many_calls_that_fail_together_open_it_once() -> None:
    breaker = Breaker(failures_to_open=3, open_s=10.0)
    for permit in [admitted(breaker) for _ in range(500)]:
        permit.failure(NOW)
    assert not breaker.is_open(NOW + 10)


def test_a_forced_call_closes_it_when_answered_and_changes_nothing_when_not() -> None:
    breaker, half_open = opened()
    breaker.force().failure(NOW)
    assert not breaker.is_open(half_open)
    breaker.force().success()
    assert not breaker.is_open(NOW)


def test_a_server_is_left_alone_as_long_as_it_asks_up_to_a_minute() -> None:
    for asked, kept in ((20.0, 20), (86_400.0, 60), (float("inf"), 60)):
        breaker = Breaker()
        admitted(breaker).failure(NOW, asked)
        assert breaker.admit(NOW + kept - 1) is None
        assert breaker.admit(NOW + kept) is not None


def test_of_several_requests_to_wait_the_longest_holds() -> None:
    breaker = Breaker()
    for permit, asked in zip([admitted(breaker) for _ in range(3)], (10.0, 40.0, 20.0), strict=True):
        permit.failure(NOW, asked)
    assert breaker.is_open(NOW + 39)
    assert not breaker.is_open(NOW + 40)


def test_a_request_to_wait_for_no_time_is_a_failure_like_others() -> None:
    breaker = Breaker(failures_to_open=2)
    admitted(breaker).failure(NOW, 0.0)
    assert not breaker.is_open(NOW)


def test_a_permit_ends_once() -> None:
    breaker = Breaker(failures_to_open=2)
    permit = admitted(breaker)
    permit.failure(NOW)
    permit.failure(NOW)
    permit.failure(NOW, 30.0)
    assert not breaker.is_open(NOW)


def test_a_copy_in_another_process_starts_closed() -> None:
    breaker, _ = opened()
    copied: Breaker = pickle.loads(pickle.dumps(breaker))  # noqa: S301
    assert not copied.is_open(NOW)
    for _ in range(3):
        admitted(copied).failure(NOW)
    assert copied.is_open(NOW)


ENDS = st.sampled_from(["success", "failure", "release", "drop", "wait", "force"])


@given(st.lists(st.tuples(ENDS, st.integers(0, 5), st.floats(0, 50)), max_size=60))
def test_whatever_happens_a_tier_is_never_kept_out_for_good(moves: list[tuple[str, int, float]]) -> None:
    breaker, now = Breaker(failures_to_open=2, open_s=5.0), NOW
    running: list[Permit] = []
    for end, which, seconds in moves:
        now += seconds
        permit = breaker.force() if end == "force" else breaker.admit(now)
        if permit is not None:
            running.append(permit)
        if which < len(running) and end in ("success", "failure", "release", "drop"):
            ended = running.pop(which)
            if end == "failure":
                ended.failure(now)
            elif end != "drop":
                getattr(ended, end)()
            del ended
        del permit
    running.clear()
    assert breaker.admit(now + 301) is not None


@pytest.mark.parametrize("threads", [8])
def test_it_is_sound_when_many_threads_use_it(threads: int) -> None:
    breaker = Breaker(failures_to_open=3, open_s=1.0)

    def use(thread: int) -> None:
        for call in range(500):
            permit = breaker.admit(NOW + call)
            if permit is not None:
                (permit.failure(NOW + call) if (call + thread) % 3 else permit.success())

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(use, range(threads)))
    assert breaker.admit(NOW + 10_000) is not None
