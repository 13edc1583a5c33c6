"""A router may be a tier of another: what both write to one ledger, and count in one budget, is there once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from slmroute import Budget, Tier, route_context
from slmroute.ledger import Ledger, LedgerReader
from slmroute.testing import FakeServer, Reply
from tests.money.asking import BIG, FRAMEWORKS, SMALL, WAYS, Framework, make_router

pytestmark = pytest.mark.usefixtures("shared_ssl", "closed_clients")

COST = Decimal("0.0011")
"""Of 110 tokens at ten dollars a million."""
PLAIN = [(framework, ask) for framework in FRAMEWORKS for ask in WAYS[framework.name][:5]]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    answer = Reply("It is so.", input_tokens=100, output_tokens=10)
    with FakeServer({SMALL: answer, BIG: answer}) as running:
        yield running


def nested(framework: Framework, server: FakeServer, times: int = 1, **settings: Any) -> Any:
    """Make a router in a router, so many times over, with the settings all alike."""
    router = make_router(framework, server, **settings)
    for _ in range(times):
        small = Tier("small", f"ollama:{SMALL}", local=True, model_args={"base_url": server.url})
        router = make_router(
            framework, server, tiers=[small, Tier("frontier", router)], prices={"small": (0, 0)}, **settings
        )
    return router


@pytest.mark.parametrize(("framework", "ask"), PLAIN, ids=lambda each: getattr(each, "name", None) or each.__name__)
async def test_a_ledger_and_a_budget_of_both_hold_a_call_once(
    server: FakeServer, tmp_path: Path, framework: Framework, ask: Any
) -> None:
    budget, path = Budget(day=10), tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        answer = await ask(nested(framework, server, ledger=ledger, budget=budget), "Is it?")
    total = LedgerReader(path).total()
    assert (total.calls, total.cost) == (1, COST)
    assert LedgerReader(path).call(framework.record_of(answer)["call_id"]) is not None
    assert budget.used()["day"] == COST


def test_so_do_three_routers_and_what_goes_by_the_same_name(server: FakeServer, tmp_path: Path) -> None:
    """Ledgers of the same address, and budgets of the same name in the same store, are the same ones."""
    path = tmp_path / "ledger.db"
    routers: list[Any] = []
    inner = make_router(FRAMEWORKS[0], server, ledger=str(path), budget=Budget(day=10, store=str(path)))
    for _ in range(2):
        small = Tier("small", f"ollama:{SMALL}", local=True, model_args={"base_url": server.url})
        budget = Budget(day=10, store=str(path))
        settings: dict[str, Any] = {"tiers": [small, Tier("frontier", inner)], "prices": {"small": (0, 0)}}
        inner = make_router(FRAMEWORKS[0], server, ledger=f"sqlite:///{path}", budget=budget, **settings)
        routers.append(inner)
    with route_context(key="a"):
        inner.invoke("Is it?")
    assert all(router.engine.ledger.flush() and router.engine.budget.flush() for router in routers)
    total = LedgerReader(path).total()
    assert (total.calls, total.cost) == (1, COST)
    with closing(sqlite3.connect(path)) as connection:
        ((amount,),) = connection.execute("SELECT sum(amount) FROM budget_meters").fetchall()
    assert amount == COST * 10**9


def test_ledgers_and_budgets_of_their_own_each_hold_it(server: FakeServer, tmp_path: Path) -> None:
    budgets = [Budget(day=10), Budget(day=10)]
    ledgers = [Ledger(tmp_path / f"{number}.db") for number in range(2)]
    inner = make_router(FRAMEWORKS[0], server, ledger=ledgers[0], budget=budgets[0])
    small = Tier("small", f"ollama:{SMALL}", local=True, model_args={"base_url": server.url})
    outer = make_router(
        FRAMEWORKS[0],
        server,
        tiers=[small, Tier("frontier", inner)],
        prices={"small": (0, 0)},
        ledger=ledgers[1],
        budget=budgets[1],
    )
    outer.invoke("Is it?")
    for ledger in ledgers:
        ledger.close()
        assert LedgerReader(ledger.address.given).total().cost == COST
    assert [budget.used()["day"] for budget in budgets] == [COST, COST]
