"""Machines paid by the hour that several routers and processes keep busy: their time is charged once."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from slmroute.engine import Engine
from slmroute.ledger import Ledger, LedgerReader
from slmroute.ledger.address import Address
from slmroute.ledger.retention import prune
from slmroute.ledger.store import Store
from slmroute.machine import Machine
from slmroute.policy import Policy
from slmroute.record import RouteRecord
from slmroute.tier import Tier
from tests.ledger.conftest import BEGIN

HOUR_PRICE = Decimal(3600)  # a dollar a second
TOKENS = Decimal("0.25")

Busy = Callable[..., RouteRecord]


@pytest.fixture
def busy(make: Any, attempt: Any) -> Busy:
    """Make the record of a call that kept a machine busy from one second to another."""

    def record(since: float, until: float, seconds: float | None = None, **changes: Any) -> RouteRecord:
        time = Decimal(repr(until - since if seconds is None else seconds))
        paid = {"hour_price": HOUR_PRICE, "machine_cost": time, "cost": time + TOKENS}
        own = attempt(**paid, started_ms=500.0, total_ms=(until - since) * 1000, **changes)
        return make(own, started_at=BEGIN + timedelta(seconds=since - 0.5))

    return record


def charged(where: str) -> list[Decimal]:
    """What each call cost, in order of their beginnings, after it was seen that all sums say the same."""
    reader = LedgerReader(where)
    calls = [stored.record for stored in reader.calls()]
    costs = [call.cost or Decimal(0) for call in sorted(calls, key=lambda call: call.started_at)]
    assert sum(costs) == reader.total().cost == sum(each.cost for each in reader.attempt_sums("role"))
    assert all(call.cost == call.attempts[0].cost for call in calls)
    assert all(call.saved == (call.baseline or 0) - (call.cost or 0) for call in calls)
    assert sum(machine.charged for machine in reader.machines()) == sum(costs) - TOKENS * len(costs)
    return costs


def test_a_second_that_another_writer_has_charged_is_not_charged_again(where: str, busy: Busy) -> None:
    one, other = Store(Address(where)), Store(Address(where))
    one.write([busy(0, 10)])
    other.write([busy(1, 4), busy(5, 15), busy(20, 21)])
    one.write([busy(14, 16)])
    assert charged(where) == [10 + TOKENS, TOKENS, 5 + TOKENS, 1 + TOKENS, 1 + TOKENS]
    (machine,) = LedgerReader(where).machines()
    assert (machine.rent, machine.charged, machine.idle) == (Decimal("21.5"), 17, Decimal("4.5"))


def test_a_machine_is_another_where_its_tier_is(where: str, busy: Busy) -> None:
    Store(Address(where)).write([busy(0, 10)])
    Store(Address(where)).write([busy(1, 10, tier="large"), busy(2, 10, tier="large")])
    assert charged(where) == [10 + TOKENS, 9 + TOKENS, 8 + TOKENS]  # of one writer, they come as they are


def test_what_one_call_s_share_is_too_small_for_comes_off_from_its_neighbours(where: str, busy: Busy) -> None:
    one, other = Store(Address(where)), Store(Address(where))
    one.write([busy(0, 10)])
    other.write([busy(0.1, 10, seconds=2)])  # beside three others, which were charged the rest
    other.write([busy(0.2, 10, seconds=2), busy(0.3, 12, seconds=7.9)])
    assert charged(where) == [10 + TOKENS, TOKENS, TOKENS, 2 + TOKENS]


def test_what_a_lost_call_leaves_free_is_no_other_time_s(where: str, busy: Busy) -> None:
    one, other = Store(Address(where)), Store(Address(where))
    other.write([busy(0, 10), busy(50, 54)])
    one.write([busy(0.1, 10.1, seconds=5)])  # the one that ran beside it was lost, with five seconds that are free
    one.write([busy(9.1, 19.1, seconds=9)])  # of which these overlap one
    one.write([busy(30, 40), busy(50.1, 60.1, seconds=5), busy(50.2, 60.2, seconds=5.1)])
    one.write([busy(200_000, 200_010)])
    seconds = [cost - TOKENS for cost in charged(where)]
    assert seconds == [10, 0, Decimal("8.1"), 10, 4, Decimal("1.1"), Decimal("5.1"), 10]
    assert list(one._machines._free["small"]) == []


def test_a_batch_that_could_not_be_written_has_charged_nothing(where: str, busy: Busy) -> None:
    one, other = Store(Address(where)), Store(Address(where))
    one.write([busy(0, 10)])
    unfit: Any = object()
    assert other.write([busy(2, 12), unfit]) == 1
    assert charged(where) == [10 + TOKENS, 2 + TOKENS]


@dataclass
class Process:
    """One that calls a machine, and writes of it now and then."""

    store: Store
    machine: Machine = field(default_factory=Machine)
    running: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    waiting: list[RouteRecord] = field(default_factory=list[RouteRecord])


@pytest.mark.parametrize("seed", range(6))
def test_all_charges_together_are_for_the_time_in_which_the_machine_was_busy(
    seed: int, tmp_path: Path, busy: Busy
) -> None:
    dice = random.Random(seed)  # noqa: S311  no secret
    path = str(tmp_path / "ledger.db")
    processes = [Process(Store(Address(path))) for _ in range(3)]
    now, was_busy, calls = 0, 0, 0
    while calls < 60 or any(each.running or each.waiting for each in processes):
        process = dice.choice(processes)
        step = dice.choice([0, 1, 3, 250])
        was_busy += step * any(each.running for each in processes)
        now += step
        if calls < 60 and dice.random() < 0.5:
            calls += 1
            process.running.append((now, process.machine.begin(now)))
        elif process.running:
            since, mark = process.running.pop(dice.randrange(len(process.running)))
            process.waiting.append(busy(since, now, seconds=round(process.machine.end(mark, now), 9)))
        if dice.random() < 0.3 or not process.running:
            process.store.write(process.waiting)
            process.waiting.clear()
    assert float(sum(charged(path)) - calls * TOKENS) == pytest.approx(was_busy, abs=1e-6)


def test_what_machines_were_charged_for_is_forgotten_with_the_calls(where: str, busy: Busy) -> None:
    Store(Address(where)).write([busy(0, 10), busy(60, 70)])
    assert prune(where, BEGIN + timedelta(seconds=30)) == 1
    Store(Address(where)).write([busy(5, 6), busy(61, 62)])
    assert charged(where) == [1 + TOKENS, 10 + TOKENS, TOKENS]


def test_routers_with_one_ledger_share_out_a_machine_s_time_at_once(tmp_path: Path) -> None:
    tiers = [Tier("gpu", "ollama:a", local=True, hour_price=1), Tier("frontier", "openai:b")]
    with Ledger(tmp_path / "ledger.db") as ledger:
        one, other = (Engine(Policy.build(tiers), ledger=ledger) for _ in range(2))
        assert one.machines["gpu"] is other.machines["gpu"] is ledger.machine("gpu")
        assert one.adapted(Policy.build(tiers), None).machines["gpu"] is ledger.machine("gpu")
        assert set(one.machines) == {"gpu"}
    assert Engine(Policy.build(tiers)).machines["gpu"] is not Engine(Policy.build(tiers)).machines["gpu"]
