"""A router that is called while the program handles an error of its own: that error is no cause of what befalls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from slmroute.testing import FakeServer, Fault
from tests.money.asking import BIG, FRAMEWORKS, WAYS, Framework, make_router

pytestmark = pytest.mark.usefixtures("closed_clients")

EVERY = [
    pytest.param(framework, way, id=f"{framework.name}-{way.__name__}")
    for framework in FRAMEWORKS
    for way in WAYS[framework.name]
]
PRICES = {"small": ("1", "2"), "frontier": ("10", "20")}


class NotFound(Exception):
    """The program's own, which looks like a client's."""

    status_code = 404


def late() -> None:
    raise httpx.ReadTimeout("late")


def unread() -> None:
    json.loads("nope")


def missing() -> None:
    raise NotFound


async def cost_of(framework: Framework, way: Any, fault: Fault, own: Callable[[], None] | None) -> Any:
    """Have the frontier fail, in the midst of an error of the program's own; gives what the attempt cost."""
    records = list[Any]()
    with FakeServer({BIG: fault}) as server:
        router = make_router(framework, server, "frontier", failover=False, prices=PRICES, hooks=[records.append])

        async def ask() -> None:
            with pytest.raises(Exception):  # noqa: B017, PT011  whatever the client makes of it
                await way(router, "Is it so?")

        if own is None:
            await ask()
        else:
            try:
                own()
            except (httpx.ReadTimeout, ValueError, NotFound):
                await ask()
        router.engine.hooks.flush()
    (attempt,) = [attempt for attempt in records[-1].attempts if attempt.tier == "frontier"]
    return attempt.cost


@pytest.mark.parametrize(("framework", "way"), EVERY)
@pytest.mark.parametrize("own", [late, unread])
async def test_what_never_left_costs_nothing_whatever_the_program_was_handling(
    framework: Framework, way: Any, own: Callable[[], None]
) -> None:
    assert await cost_of(framework, way, Fault(503), own) == 0


@pytest.mark.parametrize(("framework", "way"), EVERY)
async def test_what_was_worked_on_costs_as_much_as_ever(framework: Framework, way: Any) -> None:
    plain = await cost_of(framework, way, Fault(garbage=True), None)
    assert plain > 0
    assert await cost_of(framework, way, Fault(garbage=True), missing) == plain
