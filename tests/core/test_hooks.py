"""Hooks are told of every call; they never break one, and no call waits for them."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from slmroute.engine import Engine
from slmroute.errors import ConfigError
from slmroute.hooks import LONGEST_QUEUE, HookRunner
from slmroute.policy import Policy
from slmroute.record import RouteRecord
from slmroute.tier import Tier


def record(call_id: str = "1") -> RouteRecord:
    return RouteRecord(call_id=call_id, started_at=datetime(2026, 1, 1, tzinfo=UTC), status="ok")


class Keeps:
    """A hook that keeps what it is told; picklable."""

    def __init__(self) -> None:
        self.records: list[RouteRecord] = []

    def __call__(self, told: RouteRecord) -> None:
        self.records.append(told)


def test_every_hook_is_told_of_every_call_in_order() -> None:
    first, second = Keeps(), Keeps()
    runner = HookRunner([first, second])
    for number in range(100):
        runner.tell(record(str(number)))
    assert runner.flush()
    assert [told.call_id for told in first.records] == [str(number) for number in range(100)]
    assert second.records == first.records


def test_hooks_run_in_a_thread_of_their_own_in_the_order_given() -> None:
    ran: list[tuple[str, str]] = []
    runner = HookRunner(
        [
            lambda _record: ran.append(("first", threading.current_thread().name)),
            lambda _record: ran.append(("second", threading.current_thread().name)),
        ]
    )
    runner.tell(record())
    assert runner.flush()
    assert ran == [("first", "slmroute-hooks"), ("second", "slmroute-hooks")]


def test_a_hook_that_raises_is_logged_once_without_what_it_said(caplog: pytest.LogCaptureFixture) -> None:
    after = Keeps()

    def breaks(_record: RouteRecord) -> None:
        raise ValueError("the prompt was: SECRET")

    runner = HookRunner([breaks, after])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            runner.tell(record())
        assert runner.flush()
    assert len(after.records) == 3
    assert len(caplog.records) == 1
    assert "breaks" in caplog.text
    assert "ValueError" in caplog.text
    assert "SECRET" not in caplog.text


def test_a_slow_hook_holds_nobody_up_and_drops_what_it_cannot_take() -> None:
    may_go_on, begun, told = threading.Event(), threading.Event(), Keeps()

    def slow(each: RouteRecord) -> None:
        begun.set()
        may_go_on.wait()
        told(each)

    runner = HookRunner([slow])
    runner.tell(record())
    begun.wait()
    for _ in range(LONGEST_QUEUE + 5):
        runner.tell(record())
    assert not told.records
    assert runner.dropped == 5
    assert not runner.flush(timeout_s=0.0)
    may_go_on.set()
    assert runner.flush()
    assert len(told.records) == LONGEST_QUEUE + 1


def test_its_thread_ends_when_there_is_nothing_to_tell_and_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slmroute.hooks.IDLE_S", 0.01)
    threads: list[threading.Thread] = []
    runner = HookRunner([lambda _record: threads.append(threading.current_thread())])
    for _ in range(2):
        runner.tell(record())
        assert runner.flush()
        threads[-1].join(timeout=10)
        assert not threads[-1].is_alive()
    assert threads[0] is not threads[1]
    assert runner.flush()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_hook_that_ends_its_thread_does_not_end_the_telling() -> None:
    told: list[str] = []

    def leaves(each: RouteRecord) -> None:
        told.append(each.call_id)
        if each.call_id == "leave":
            raise SystemExit

    runner = HookRunner([leaves])
    runner.tell(record("leave"))
    runner._thread.join(timeout=10)  # type: ignore[union-attr]
    runner.tell(record("stay"))
    assert runner.flush()
    assert told == ["leave", "stay"]


def test_without_hooks_nothing_is_started() -> None:
    runner = HookRunner([])
    runner.tell(record())
    assert runner.flush()
    assert runner._thread is None


def test_it_pickles_with_its_hooks() -> None:
    runner: HookRunner = pickle.loads(pickle.dumps(HookRunner([Keeps()])))  # noqa: S301
    runner.tell(record())
    assert runner.flush()


def test_what_is_no_hook_is_refused() -> None:
    async def coroutine(_record: RouteRecord) -> None: ...

    with pytest.raises(ConfigError, match="hooks= holds str"):
        HookRunner(["log"])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="coroutine function"):
        HookRunner([coroutine])


def test_a_program_that_ends_waits_a_moment_for_its_hooks() -> None:
    program = """
import time
from datetime import UTC, datetime
from slmroute.hooks import HookRunner
from slmroute.record import RouteRecord

def slow(record):
    time.sleep(0.1)
    print(record.call_id, flush=True)

runner = HookRunner([slow])
for number in range(3):
    runner.tell(RouteRecord(call_id=str(number), started_at=datetime.now(UTC), status="ok"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["0", "1", "2"]
    assert done.stderr == ""


def test_a_forked_process_tells_its_own_hooks() -> None:
    program = """
import os, sys
from datetime import UTC, datetime
from slmroute.hooks import HookRunner
from slmroute.record import RouteRecord

def tell(runner, name):
    runner.tell(RouteRecord(call_id=name, started_at=datetime.now(UTC), status="ok"))

runner = HookRunner([lambda record: print(os.getpid() == me, record.call_id, flush=True)])
me = os.getpid()
tell(runner, "parent")
assert runner.flush()
child = os.fork()
me = os.getpid()
if child == 0:
    tell(runner, "child")
    assert runner.flush()
    os._exit(0)
os.waitpid(child, 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split("\n")[:2] == ["True parent", "True child"]


def test_a_ledger_of_ones_own_that_fails_breaks_no_call(caplog: pytest.LogCaptureFixture) -> None:
    class Full:
        def write(self, record: RouteRecord) -> None:
            raise OSError("the prompt was: canary")

    told = Keeps()
    tiers = [Tier("small", "ollama:small"), Tier("big", "openai:gpt-4.1")]
    engine = Engine(Policy.build(tiers), ledger=Full(), hooks=[told])
    engine.publish(record())
    assert engine.hooks.flush()
    assert len(told.records) == 1
    assert "ledger=Full has failed with OSError" in caplog.text
    assert "canary" not in caplog.text
