"""Budgets through both frameworks: what a limit does to every way of asking, per key, and shared between them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from slmroute import Budget, BudgetExceeded, Limits, route_context
from slmroute.testing import FakeServer, Reply
from tests.money.asking import BIG, FRAMEWORKS, SMALL, WAYS, Framework, make_router

pytestmark = pytest.mark.usefixtures("shared_ssl", "closed_clients")

EVERY = [
    pytest.param(framework, way, id=f"{framework.name}-{way.__name__}")
    for framework in FRAMEWORKS
    for way in WAYS[framework.name]
]

COST = Decimal("1.1")
"""Dollars for an answer of the frontier."""


def answer(body: Any) -> Reply:
    """Give what is asked for: an object, a tool call or words."""
    tools = [tool["function"]["name"] for tool in body.get("tools") or ()]
    settings: dict[str, Any] = {"input_tokens": 100_000, "output_tokens": 10_000}
    if tools:
        arguments = {"a": 1, "b": 2} if tools == ["add"] else {"name": "Anna"}
        return Reply(tool_calls=[(tools[0], arguments)], **settings)
    wants_object = body.get("format") or body.get("response_format")
    return Reply('{"name": "Anna"}' if wants_object else "It is so.", **settings)


@pytest.fixture(params=FRAMEWORKS, ids=lambda framework: framework.name)
def framework(request: pytest.FixtureRequest) -> Framework:
    return request.param


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer({SMALL: answer, BIG: answer}) as running:
        yield running


class Tiers(list[str | None]):
    """A hook that notes which tier answered."""

    def __call__(self, record: Any) -> None:
        self.append(record.tier)


async def told(router: Any) -> None:
    assert await asyncio.to_thread(router.engine.hooks.flush)


@pytest.mark.parametrize(("framework", "ask"), EVERY)
async def test_at_the_limit_calls_stay_local(framework: Framework, ask: Any, server: FakeServer) -> None:
    budget, tiers = Budget(month=1), Tiers()
    router = make_router(framework, server, budget=budget, hooks=[tiers])
    for _ in range(3):
        await ask(router, "Is it?")
    await told(router)
    assert tiers == ["frontier", "small", "small"]
    assert budget.used() == {"month": COST}
    assert len(server.calls(BIG)) == 1


@pytest.mark.parametrize(("framework", "ask"), EVERY)
async def test_at_the_limit_calls_are_refused_where_that_is_wanted(
    framework: Framework, ask: Any, server: FakeServer
) -> None:
    router = make_router(framework, server, budget=Budget(month=1, on_limit="raise"))
    await ask(router, "Is it?")
    with pytest.raises(BudgetExceeded, match="month"):
        await ask(router, "Is it?")
    assert len(server.calls()) == 1


@pytest.mark.parametrize(("framework", "ask"), EVERY)
async def test_each_key_has_a_budget_of_its_own(framework: Framework, ask: Any, server: FakeServer) -> None:
    tiers = Tiers()
    budget = Budget(month=100, per_key={"team-a": Limits(month=1), "*": Limits(month=2)})
    router = make_router(framework, server, budget=budget, hooks=[tiers])
    for key in ("team-a", "team-a", "team-b", "team-b", "team-b"):
        with route_context(key=key):
            await ask(router, "Is it?")
    await ask(router, "Is it?")  # nobody's, and so without a limit of its own
    await told(router)
    assert tiers == ["frontier", "small", "frontier", "frontier", "small", "frontier"]
    assert budget.used("team-a") == {"month": 4 * COST, "per_key month": COST}
    assert budget.used("team-b") == {"month": 4 * COST, "per_key month": 2 * COST}


async def test_escalations_are_limited(framework: Framework, server: FakeServer) -> None:
    tiers = Tiers()
    router = make_router(framework, server, budget=Budget(escalations_per_minute=0), hooks=[tiers])
    await WAYS[framework.name][0](router, "Is it?")
    await told(router)
    assert tiers == ["small"]


@pytest.mark.parametrize(("limit", "calls", "used"), [("2.6", 2, 85), ("3", 3, 110)], ids=["before", "at the limit"])
async def test_a_warning_comes_once(
    framework: Framework, server: FakeServer, caplog: pytest.LogCaptureFixture, limit: str, calls: int, used: int
) -> None:
    router = make_router(framework, server, budget=Budget(month=limit))
    ask = WAYS[framework.name][0]
    for _ in range(calls):
        assert "the budget's limit" not in caplog.text
        await ask(router, "Is it?")
    await told(router)
    assert "the budget's limit" in caplog.text  # by what the last one did cost
    for _ in range(3):
        await ask(router, "Is it?")
    (warning,) = [record.getMessage() for record in caplog.records if "the budget's limit" in record.getMessage()]
    assert warning == f"{used}% of the budget's limit month=${limit} are used"


async def test_both_frameworks_share_a_budget_and_a_store(server: FakeServer, store: str | None) -> None:
    shared = Budget(month="2.5", store=store)
    routers = [make_router(framework, server, budget=shared) for framework in FRAMEWORKS]
    found = []
    for number in range(4):
        framework = FRAMEWORKS[number % 2]
        reply = await WAYS[framework.name][number // 2](routers[number % 2], "Is it?")
        found.append(framework.record_of(reply)["tier"])
        assert await asyncio.to_thread(shared.flush)
    assert found == ["frontier", "frontier", "frontier", "small"]
    if store is not None:  # another process finds the limit reached
        other = make_router(FRAMEWORKS[0], server, budget=Budget(month="2.5", store=store, on_limit="raise"))
        with pytest.raises(BudgetExceeded):
            await WAYS["langchain"][0](other, "Is it?")
