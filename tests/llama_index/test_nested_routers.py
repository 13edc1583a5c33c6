"""A router may be a tier of a router: the one call counts once, at what all of it cost."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from llama_index_slmroute import RoutingLLM
from slmroute import Tier, route_costs
from slmroute.testing import FakeServer, Reply

BIG_COST = Decimal("0.00028")


@pytest.fixture
def router() -> Iterator[RoutingLLM]:
    replies = {"phi3:mini": Reply("Small."), "gpt-4.1": Reply("Big.", input_tokens=100, output_tokens=10)}
    with FakeServer(replies) as server:
        small = Tier("small", "ollama:phi3:mini", model_args={"base_url": server.url}, local=True)
        big = Tier("big", "openai:gpt-4.1", model_args={"api_base": server.openai_url, "api_key": "canary"})
        inner = RoutingLLM(tiers=[small, big], classifier=lambda request: 0.9)
        yield RoutingLLM(tiers=[small, Tier("inner", inner, local=True)], classifier=lambda request: 0.9)


def test_a_call_through_two_routers_counts_once(router: RoutingLLM) -> None:
    with route_costs() as costs:
        router.complete("Blue?")
        list(router.stream_complete("Blue?"))
    assert (costs.calls, costs.cost) == (2, 2 * BIG_COST)


async def test_an_asynchronous_call_through_two_routers_counts_once(router: RoutingLLM) -> None:
    with route_costs() as costs:
        await router.acomplete("Blue?")
        async for _ in await router.astream_complete("Blue?"):
            pass
    assert (costs.calls, costs.cost) == (2, 2 * BIG_COST)


async def test_a_call_that_must_stay_local_stays_so_in_a_router_that_is_a_tier(router: RoutingLLM) -> None:
    assert router.complete("Blue?", local_only=True).text == "Small."
    assert [part.text for part in router.stream_complete("Blue?", local_only=True)][-1] == "Small."
    assert (await router.acomplete("Blue?", local_only=True)).text == "Small."
    assert [part.text async for part in await router.astream_complete("Blue?", local_only=True)][-1] == "Small."
    assert router.complete("Blue?").text == "Big."
