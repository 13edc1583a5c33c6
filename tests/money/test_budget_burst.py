"""Budgets that many calls ask at once: a store that answers is not taken for silent because many wait for it."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event

from slmroute.budget import Budget, Limits
from slmroute.budget.budget import _open
from slmroute.budget.counting import Counting
from slmroute.budget.limits import HOLD_S, Charge
from slmroute.budget.sql import SqlStore
from slmroute.budget.stores import Hold
from slmroute.testing import FakeClock


@pytest.fixture
def shared(store: str | None) -> str:
    if store is None:
        pytest.skip("a budget in memory is asked without waiting")
    return store


def call(budget: Budget) -> Any:
    return budget.open("anna", FakeClock().now())


def held_up(budget: Budget) -> threading.Event:
    """Have what the store is asked from now on wait, until this is set."""
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go_on.wait()

    budget._counting._worker.put(wait)
    begun.wait()
    return go_on


def fitting(budget: Budget) -> int:
    """How many calls of a dollar fit, by what the store says."""
    found = [call(budget).hold(Decimal(1), escalates=False) for _ in range(20)]
    return found.count(None)


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_many_calls_at_once_take_one_transaction_and_no_more_than_fits(
    shared: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(Counting, "_patience_s", 60.0)
    limits: Any = {"hour": 100, "day": 12, "per_key": Limits(month=11), "store": shared}
    budget = Budget(**limits)
    first = call(budget)
    assert first.hold(Decimal(1), escalates=False) is None
    first.settle(Decimal(1))
    assert budget.flush()
    counting = budget._counting
    commits: list[object] = []
    if isinstance(counting._shared, SqlStore):
        asked: Future[Any] = Future()
        store = counting._shared
        counting._worker.put(lambda: asked.set_result(store._connected().engine))
        event.listen(asked.result(), "commit", commits.append)

    calls = [call(budget) for _ in range(40)]
    go_on = held_up(budget)
    with ThreadPoolExecutor(len(calls)) as threads:
        if way == "sync":
            waiting = [asyncio.wrap_future(threads.submit(one.hold, Decimal(1), escalates=False)) for one in calls]
        else:
            waiting = [asyncio.ensure_future(one.ahold(Decimal(1), escalates=False)) for one in calls]
        while counting._worker.waiting < 1 + len(calls):  # noqa: ASYNC110  threads set no event of a loop
            await asyncio.sleep(0.001)
        go_on.set()
        found = await asyncio.gather(*waiting)
    assert (found.count(None), [one.events for one in calls]) == (10, [[]] * 40)
    assert counting._worker.flush(60)
    in_a_database = int(isinstance(counting._shared, SqlStore))
    assert len(commits) == in_a_database

    go_on = held_up(budget)
    for one, refusal in zip(calls, found, strict=True):
        one.settle(Decimal("0.5") if refusal is None else Decimal(0))
    go_on.set()
    assert await asyncio.to_thread(budget.flush, 60)
    assert len(commits) == 2 * in_a_database
    assert await asyncio.to_thread(fitting, Budget(**limits)) == 5


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_call_waits_for_a_server_that_is_at_work_for_others(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("slmroute.budget.counting.AT_ONCE", 1)
    budget = Budget(day=4, store=tmp_path / "ledger.db")
    assert call(budget).hold(Decimal(1), escalates=False) is None
    store: Any = budget._counting._shared
    hold, clock = store.hold, SimpleNamespace(now=0.0)

    def slow(holds: Any) -> Any:
        time.sleep(0.03)  # calls look at the clock meanwhile
        clock.now += 0.008
        return hold(holds)

    calls = [call(budget) for _ in range(8)]
    with monkeypatch.context() as slowly, ThreadPoolExecutor(len(calls)) as threads:
        slowly.setattr(Counting, "_patience_s", 0.01)
        slowly.setattr("slmroute.budget.counting.time", SimpleNamespace(monotonic=lambda: clock.now))
        slowly.setattr(store, "hold", slow)
        if way == "sync":
            waiting = [asyncio.wrap_future(threads.submit(one.hold, Decimal(1), escalates=False)) for one in calls]
        else:
            waiting = [asyncio.ensure_future(one.ahold(Decimal(1), escalates=False)) for one in calls]
        found = await asyncio.gather(*waiting)
    assert (found.count(None), [one.events for one in calls]) == (3, [[]] * 8)


async def test_calls_that_wait_in_vain_together_go_by_their_own_count(
    shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(day=4, store=shared)
    first = call(budget)
    assert first.hold(Decimal(1), escalates=False) is None
    calls = [call(budget) for _ in range(8)]
    go_on = held_up(budget)
    with monkeypatch.context() as hurried:
        hurried.setattr(Counting, "_patience_s", 0.01)
        found = await asyncio.gather(*(one.ahold(Decimal(1), escalates=False) for one in calls))
    assert found.count(None) == 3
    assert [one.events for one in calls] == [["budget_store_unavailable"]] * 8
    for one, refusal in zip([first, *calls], [None, *found], strict=True):
        one.settle(Decimal("0.5") if refusal is None else Decimal(0))
    go_on.set()
    assert await asyncio.to_thread(budget.flush, 60)
    assert await asyncio.to_thread(fitting, Budget(day=4, store=shared)) == 2


def test_a_hold_that_is_dropped_before_it_is_made_holds_nothing(shared: str) -> None:
    budget = Budget(day=10, store=shared)
    over = call(budget)
    asked = over._asked(Decimal(4), escalates=False)
    go_on = held_up(budget)
    answer = budget._counting._ask(*asked)
    over.settle(Decimal(3))
    go_on.set()
    answer.result()
    assert budget.flush(60)
    assert fitting(Budget(day=10, store=shared)) == 7


def test_holds_made_together_come_out_as_one_after_another(shared: str) -> None:
    chance = random.Random()  # noqa: S311  the same calls every time
    day = 1_767_225_600

    def holds(name: str, seed: int) -> list[Hold]:
        chance.seed(seed)
        made: list[Hold] = []
        for number in range(60):
            at = day + chance.choice([0, 10, HOLD_S - 1, HOLD_S, HOLD_S + 10])
            keys = ["", chance.choice(["anna", "bert"])]
            charges = [
                Charge(f"{name}|{key}", day, day + 86_400, 60 if key else 100, chance.randrange(1, 12), "day", at, None)
                for key in keys
            ]
            known = [chance.choice([0, 0, 0, 5]) for _ in charges]
            made.append(Hold(f"{name}{seed}{number}", charges, known))
        return made

    store = _open(shared)
    for seed in range(3):
        together = list(store.hold(holds("together", seed)))
        singly = [came for one in holds("singly", seed) for came in store.hold([one])]
        assert together == singly
        assert len({one.refused for one in together}) > 1
        for name in ("together", "singly"):
            held = holds(name, seed)
            store.settle([one.hold_id for one in held[:20]], [*held[0].charges, *held[1].charges])
    store.close()
