"""A ledger in SQLite and the same in PostgreSQL, and records to write to it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from slmroute.ledger import Ledger, LedgerReader
from slmroute.record import AttemptRecord, RouteRecord
from slmroute.steps import Usage

Make = Callable[..., RouteRecord]

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def attempt(**changes: Any) -> AttemptRecord:
    values: dict[str, Any] = {
        "role": "final",
        "tier": "small",
        "provider": "ollama",
        "model": "phi3:mini",
        "usage": Usage(100, 20),
        "price_id": "tier:small",
        "cost": Decimal("0.000012"),
        "total_ms": 12.5,
    }
    return AttemptRecord(**(values | changes))


@pytest.fixture
def make() -> Make:
    """Make a record; attempts are told to differ from a plain one, and costs are added up."""

    def record(
        *attempts: AttemptRecord, minutes: float = 0, baseline: str | None = "0.001", **changes: Any
    ) -> RouteRecord:
        attempts = attempts or (attempt(),)
        costs = [each.cost for each in attempts]
        cost = None if None in costs else sum(costs, Decimal(0))
        base = None if baseline is None else Decimal(baseline)
        gain = None if cost is None or base is None else base - cost
        values: dict[str, Any] = {
            "call_id": uuid.uuid4().hex,
            "started_at": BEGIN + timedelta(minutes=minutes),
            "status": "ok",
            "tier": attempts[-1].tier,
            "model": attempts[-1].model,
            "attempts": attempts,
            "cost": cost,
            "baseline": base,
            "saved": gain,
            "total_ms": 20.0,
        }
        if changes.pop("project", False):
            values |= {"saved": None, "projected": gain}
        return RouteRecord(**(values | changes))

    return record


@pytest.fixture(name="attempt")
def attempt_fixture() -> Callable[..., AttemptRecord]:
    return attempt


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new ledger is to be, in each database."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def ledger(where: str) -> Iterator[Ledger]:
    with Ledger(where) as opened:
        yield opened


@pytest.fixture
def reader(ledger: Ledger, where: str) -> LedgerReader:
    return LedgerReader(where)
