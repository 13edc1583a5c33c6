"""Budgets that several processes count in one store: who sees what, and what a killed process or an outage leaves."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from slmroute.budget import Budget, Limits
from slmroute.budget.counting import ANSWER_S
from slmroute.budget.sql import SqlStore
from slmroute.drive import adrive
from slmroute.ledger.address import ON_A_NETWORK, Address
from slmroute.ledger.schema import budget_meters
from slmroute.record import RouteRecord
from slmroute.request import RouteRequest
from slmroute.run import Run
from slmroute.testing import FakeClock, FakePerformer
from tests.money.spending import SCRIPT, ask, used


async def test_a_call_cancelled_while_it_asks_leaves_nothing_held(
    engine: Any, store: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store is None:
        pytest.skip("a budget in memory is asked without waiting")
    budget = Budget(day=1, store=store, answer_tokens=500)
    shared = budget._counting._shared
    assert shared is not None
    asked, go_on, hold = threading.Event(), threading.Event(), shared.hold

    def slow(*args: Any) -> Any:
        asked.set()
        go_on.wait()
        return hold(*args)

    monkeypatch.setattr(shared, "hold", slow)
    task = asyncio.ensure_future(
        adrive(Run(engine(0.99, budget=budget), RouteRequest(text="q", tokens=500)), FakePerformer(SCRIPT))
    )
    await asyncio.to_thread(asked.wait)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    go_on.set()
    assert task.cancelled()
    assert await asyncio.to_thread(budget.flush)
    assert used(budget) == {"day": 0}
    assert ask(engine(0.99, budget=Budget(day=1, store=store, answer_tokens=500))).tier == "frontier"


async def aask(router: Any) -> RouteRecord:
    run = Run(router, RouteRequest(text="q", tokens=500))
    await adrive(run, FakePerformer(SCRIPT))
    assert run.record is not None
    return run.record


CHILD = """
import sys
from datetime import datetime, UTC
from slmroute.budget import Budget
from slmroute.engine import Engine
from slmroute.drive import drive
from slmroute.policy import Policy
from slmroute.request import RouteRequest
from slmroute.run import Run
from slmroute.testing import FakePerformer, FakeClock, Reply
from slmroute.tier import Tier
tiers = [Tier("small", "ollama:a", local=True), Tier("frontier", "openai:c", input_price="1000", output_price="1000")]
budget = Budget(day=20, store=sys.argv[1], answer_tokens=500)
engine = Engine(Policy.build(tiers), lambda _: 0.9, budget=budget, clock=FakeClock())
performer = FakePerformer({"small": Reply("no"), "frontier": Reply("yes", input_tokens=500, output_tokens=500)})
answered = [drive(Run(engine, RouteRequest(text="q", tokens=500)), performer).tier.name for _ in range(15)]
print(answered.count("frontier"))
"""


def test_processes_share_one_budget(store: str | None) -> None:
    if store is None:
        pytest.skip("a budget in memory is each process's own")
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, store], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    counts = [int(child.communicate()[0]) for child in children]
    assert sum(counts) == 20


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from decimal import Decimal
from slmroute.budget import Budget
budget = Budget(month=2, store=sys.argv[1])
for minutes in (0, 30):
    refused = budget.open(None, datetime(2026, 1, 1, 0, minutes, tzinfo=UTC)).hold(Decimal(1), escalates=False)
    assert refused is None
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_held_is_free_again_after_an_hour(
    engine: Any, clock: FakeClock, store: str | None
) -> None:
    if store is None:
        pytest.skip("a budget in memory is gone with its process")
    assert subprocess.run([sys.executable, "-c", KILLED, store], check=False).returncode == -signal.SIGKILL
    router = engine(0.99, budget=Budget(month=2, store=store, answer_tokens=500))
    clock.advance(3_599)
    assert ask(router).tier == "small"
    clock.advance(1)
    assert [ask(router).tier for _ in range(2)] == ["frontier", "small"]  # what it held half an hour later still counts
    clock.advance(1_800)
    assert [ask(router).tier for _ in range(2)] == ["frontier", "small"]


def test_a_budget_can_be_counted_in_the_ledger_that_records_go_to(engine: Any, tmp_path: Any) -> None:
    from slmroute.ledger import Ledger

    with Ledger(tmp_path / "ledger.db") as ledger:
        budget = Budget(day=1, store=ledger, answer_tokens=500)
        assert [ask(engine(0.99, budget=budget, ledger=ledger)).tier for _ in range(2)] == ["frontier", "small"]
        assert ledger.flush()
        assert budget.flush()


def test_a_file_that_others_write_to_is_waited_for_and_not_taken_for_gone(engine: Any, tmp_path: Any) -> None:
    path = tmp_path / "ledger.db"
    budget = Budget(day=1, store=path, answer_tokens=500)
    router = engine(0.99, budget=budget)
    assert ask(router).tier == "frontier"
    shared = budget._counting._shared
    assert isinstance(shared, SqlStore)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.05, lambda: other.execute("COMMIT")).start()
        record = ask(router)
    assert (record.tier, "budget_store_unavailable" in record.events) == ("small", False)
    waits_ms: Future[Any] = Future()
    pragma = "PRAGMA busy_timeout"
    budget._counting._worker.put(lambda: waits_ms.set_result(shared._connected().exec_driver_sql(pragma).scalar()))
    assert waits_ms.result() > ANSWER_S * 1000


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_store_that_answers_nobody_keeps_one_call_waiting(
    engine: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    path = tmp_path / "ledger.db"
    others, budget = (Budget(day=4, store=path, answer_tokens=500) for _ in range(2))
    ask(engine(0.99, budget=others))
    assert others.flush()
    router = engine(0.99, budget=budget)
    counting = budget._counting
    assert ask(router).events == ()
    assert budget.flush()

    def call() -> RouteRecord:
        return ask(router) if way == "sync" else asyncio.run(aask(router))

    waits: list[float] = []

    def patience(_: object) -> float:
        waits.append(0.01)
        return 0.01

    with monkeypatch.context() as hurried, closing(sqlite3.connect(path, isolation_level=None)) as other:
        hurried.setattr(type(counting), "_patience_s", property(patience))
        other.execute("BEGIN IMMEDIATE")
        records = [call() for _ in range(4)]
        other.execute("ROLLBACK")
    # Two dollars were spent before, of which this process knows; it does not spend them again.
    assert [record.tier for record in records] == ["frontier", "frontier", "small", "small"]
    assert all("budget_store_unavailable" in record.events for record in records)
    assert [len(waits), "no answer" in caplog.text] == [1, True]
    assert budget.flush()
    assert "budget_store_unavailable" not in call().events
    fresh = Budget(day=5, store=path, answer_tokens=500)
    assert [ask(engine(0.99, budget=fresh)).tier for _ in range(2)] == ["frontier", "small"]


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_postgresql_that_answers_nobody_keeps_its_maker_waiting_and_no_call(
    engine: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    monkeypatch.setattr("slmroute.budget.budget.ANSWER_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        budget = Budget(day=4, store=f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/db", answer_tokens=500)
        router = engine(0.99, budget=budget)
        records = [ask(router) if way == "sync" else asyncio.run(aask(router)) for _ in range(5)]
        assert [record.tier for record in records] == ["frontier"] * 4 + ["small"]
        assert all("budget_store_unavailable" in record.events for record in records)
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):  # the calls have not so much as tried
            silent.accept()
        budget._counting._worker.finish(0.1)
    assert [entry.getMessage() for entry in caplog.records if "in time" in entry.getMessage()] == [
        "what 4 calls have spent could not be told to the budget's store in time"
    ]


def test_a_connection_is_waited_for_as_long_as_a_store_is() -> None:
    assert ON_A_NETWORK["connect_timeout"] == ANSWER_S


def test_a_store_that_cannot_be_asked_leaves_each_process_to_its_own_count(
    engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    budget = Budget(day=2, store="redis://127.0.0.1:1", answer_tokens=500)
    router = engine(0.99, budget=budget)
    records = [ask(router) for _ in range(3)]
    assert [record.tier for record in records] == ["frontier", "frontier", "small"]
    assert all("budget_store_unavailable" in record.events for record in records)
    assert [entry.levelno for entry in caplog.records].count(logging.WARNING) == 2  # this, and 80% of the limit


def test_what_a_store_missed_it_is_told_when_it_is_back(
    engine: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slmroute.budget.counting.AWAY_S", 0.0)
    budget = Budget(day=3, store=redis_url, answer_tokens=500)
    router = engine(0.99, budget=budget)
    shared = budget._counting._shared
    assert shared is not None
    with monkeypatch.context() as outage:
        for method in ("hold", "settle"):
            outage.setattr(shared, method, failing(shared))
        assert ask(router).tier == "frontier"
        assert not budget.flush(timeout_s=0.3)
    assert ask(router).tier == "frontier"
    assert budget.flush()
    other = engine(0.99, budget=Budget(day=3, store=redis_url, answer_tokens=500))
    assert [ask(other).tier for _ in range(2)] == ["frontier", "small"]


def test_what_a_store_counted_without_saying_so_is_counted_once(
    engine: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slmroute.budget.counting.AWAY_S", 0.0)
    budget = Budget(day=5, store=redis_url, answer_tokens=500)
    router = engine(0.99, budget=budget)
    shared: Any = budget._counting._shared
    settle = shared._settle

    def answer_is_lost(**asked: Any) -> None:
        settle(**asked)
        shared._settle = settle
        raise shared.outages[0]("timeout")

    ask(router)
    assert budget.flush()
    shared._settle = answer_is_lost
    assert [ask(router).tier for _ in range(3)] == ["frontier"] * 3
    assert budget.flush()
    other = engine(0.99, budget=Budget(day=5, store=redis_url, answer_tokens=500))
    assert [ask(other).tier for _ in range(2)] == ["frontier", "small"]


def lose_everything(store: str) -> None:
    if store.startswith("unix://"):
        import redis

        with redis.Redis.from_url(store) as client:
            client.flushdb()
    elif store.startswith("postgresql://"):
        with Address(store).engine(write=True).begin() as connection:
            connection.execute(delete(budget_meters))
    else:
        for file in Path(store).parent.glob(f"{Path(store).name}*"):
            file.unlink()


def test_a_store_that_lost_its_data_is_told_what_a_process_knows(engine: Any, store: str | None) -> None:
    if store is None:
        pytest.skip("a budget in memory is gone with its process")
    limits: Any = {"day": 3, "per_key": Limits(month=100), "store": store, "answer_tokens": 500}
    ended = Budget(**limits)
    ask(engine(0.99, budget=ended), key="anna")
    assert ended.flush()
    budget = Budget(**limits)
    router = engine(0.99, budget=budget)
    assert [ask(router, key="anna").tier for _ in range(2)] == ["frontier", "frontier"]
    assert budget.flush()
    for _ in range(2):
        lose_everything(store)
        assert [ask(router, key="anna").tier for _ in range(2)] == ["small", "small"]
        assert budget.flush()
        fresh = Budget(**limits)
        assert ask(engine(0.99, budget=fresh)).tier == "small"
        assert fresh.flush()


def test_what_a_store_lost_while_a_call_ran_is_counted_once(engine: Any, redis_url: str) -> None:
    budget = Budget(day=5, store=redis_url, answer_tokens=500)
    router = engine(0.99, budget=budget)
    ask(router)
    running = budget.open(None, FakeClock().now())
    assert running.hold(Decimal(1), escalates=False) is None
    lose_everything(redis_url)
    running.settle(Decimal(1))
    assert [ask(router).tier for _ in range(4)] == ["frontier"] * 3 + ["small"]


def test_a_store_is_told_of_a_long_outage_too(engine: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slmroute.budget.counting.AWAY_S", 0.0)
    monkeypatch.setattr("slmroute.budget.counting.MOST_UNSETTLED", 2)
    limits: Any = {"month": 6, "per_key": Limits(hour=2), "store": redis_url, "answer_tokens": 500}
    budget = Budget(**limits)
    router = engine(0.99, budget=budget)
    with monkeypatch.context() as outage:
        for method in ("hold", "settle"):
            outage.setattr(budget._counting._shared, method, failing(budget._counting._shared))
        for key in ("anna", "anna", "bert", "bert", "carl"):
            assert ask(router, key=key).tier == "frontier"
        assert not budget.flush(timeout_s=0.1)
    assert budget.flush()
    other = engine(0.99, budget=Budget(**limits))
    assert [ask(other, key=key).tier for key in ("anna", "bert", "carl", "doris")] == [
        "small",
        "small",
        "frontier",
        "small",
    ]


def failing(store: Any) -> Any:
    def fail(*_: object) -> Any:
        raise store.outages[0]("gone")

    return fail


@pytest.mark.parametrize("way", ["flush", "the end"])
def test_what_a_store_missed_it_is_told_without_a_further_call(
    engine: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    path = tmp_path / "ledger.db"
    budget = Budget(day=3, store=path, answer_tokens=500)
    router = engine(0.99, budget=budget)
    ask(router)
    assert budget.flush()
    shared = budget._counting._shared
    assert shared is not None
    with monkeypatch.context() as outage:
        for method in ("hold", "settle"):
            outage.setattr(shared, method, failing(shared))
        ask(router)
        assert not budget.flush(timeout_s=0.3)
    if way == "flush":
        assert budget.flush(timeout_s=10)
    else:
        budget._counting._worker.finish(10)
    other = engine(0.99, budget=Budget(day=3, store=path, answer_tokens=500))
    assert [ask(other).tier for _ in range(2)] == ["frontier", "small"]
