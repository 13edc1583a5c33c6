"""A provider that reports more tokens than any model takes is not believed: one answer would drown all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slmroute import Budget, Ledger, LedgerReader
from slmroute.testing import FakeServer, Reply
from tests.money.asking import BIG, FRAMEWORKS, WAYS, Framework, make_router

pytestmark = pytest.mark.usefixtures("closed_clients")

EVERY = [
    pytest.param(framework, way, id=f"{framework.name}-{way.__name__}")
    for framework in FRAMEWORKS
    for way in WAYS[framework.name]
    if way.__name__ != "structured_predict"
]


@pytest.mark.parametrize(("framework", "way"), EVERY)
@pytest.mark.parametrize(
    "told", [{"input_tokens": 10**18, "output_tokens": 3}, {"input_tokens": 50, "output_tokens": 10**18}]
)
async def test_they_are_estimated_and_the_ledger_can_be_read(
    framework: Framework, way: Any, told: dict[str, Any], tmp_path: Path
) -> None:
    records = list[Any]()
    with FakeServer({BIG: Reply("It is so.", **told)}) as server, Ledger(tmp_path / "calls.db") as ledger:
        prices = {"small": ("1", "2"), "frontier": ("10", "20")}
        router = make_router(
            framework, server, "frontier", prices=prices, budget=Budget(day=20), ledger=ledger, hooks=[records.append]
        )
        for _ in range(3):
            await way(router, "Is it so?")
        router.engine.hooks.flush()
    attempts = [attempt for record in records for attempt in record.attempts if attempt.tier == "frontier"]
    assert len(attempts) == 3
    for attempt in attempts:
        assert attempt.usage.source == "estimated"
        assert 0 < attempt.usage.input_tokens < 1000
        assert 0 < attempt.usage.output_tokens < 1000
    assert all("unmetered:frontier" in record.events for record in records)
    total = LedgerReader(tmp_path / "calls.db").total()
    assert total.cost == sum(attempt.cost for attempt in attempts) < 1
