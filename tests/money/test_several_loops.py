"""One model of a user's in several event loops: no request is sent that only its provider knows of."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import openai
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI

from langchain_slmroute import RoutingChatModel
from langchain_slmroute.own_client import for_this_loop
from slmroute import Tier, route_costs
from slmroute.sdk_client import of_its_own
from slmroute.testing import FakeServer, Reply

MODEL = "gpt-4.1-mini"
TOKENS = {"input_tokens": 100, "output_tokens": 10}
PRICES: Any = {"input_price": "1", "output_price": "1"}


@pytest.fixture
def server() -> Generator[FakeServer]:
    with FakeServer() as running:
        running.script(MODEL, *[Reply("Yes, it is so.", **TOKENS)] * 20)
        yield running


def mini(server: FakeServer, **own: Any) -> ChatOpenAI:
    return ChatOpenAI(model=MODEL, base_url=server.openai_url, api_key="k", **own)


def routed(model: Any) -> RoutingChatModel:
    return RoutingChatModel(tiers=[Tier(name, model, **PRICES) for name in ("small", "big")], classifier=None)


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The clients that are made for event loops: what is left open there could not be closed anywhere else."""
    made: list[Any] = []

    def noted(client: Any) -> Any:
        own = of_its_own(client)
        made.append(own)
        return own

    monkeypatch.setattr("langchain_slmroute.own_client.of_its_own", noted)
    return made


async def ask(router: Any, clients: list[Any]) -> None:
    await router.ainvoke("Is it?")
    await asyncio.gather(*(router.ainvoke("Is it?") for _ in range(2)))
    async for _ in router.astream("Is it?"):
        pass
    for client in clients:
        await client.close()
    clients.clear()


@pytest.mark.parametrize("bound", [False, True])
def test_the_bill_is_the_providers(server: FakeServer, clients: list[Any], bound: bool) -> None:
    mine = mini(server)
    router = routed(mine.bind(temperature=0).with_config(RunnableConfig(tags=["bound"])) if bound else mine)
    with route_costs() as costs:
        for _ in range(3):
            asyncio.run(ask(router, clients))
    told = server.bill[MODEL]
    assert (costs.calls, len(server.requests)) == (12, 12)
    assert costs.cost * 1_000_000 == told.input_tokens + told.output_tokens == 12 * 110


async def test_a_model_that_was_given_its_client_keeps_it(server: FakeServer) -> None:
    given = openai.DefaultAsyncHttpxClient()
    own, stand_in = mini(server, http_async_client=given), mini(server)
    stand_in.async_client = object()
    assert (for_this_loop(own), for_this_loop(stand_in)) == (own, stand_in)
    assert for_this_loop(own) is own
    await given.aclose()


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_only_event_loops_have_clients_of_their_own(server: FakeServer, kind: str) -> None:
    mine: BaseChatModel = mini(server) if kind == "openai" else ChatAnthropic(model="claude-sonnet-4-5", api_key="k")

    def http(model: Any) -> Any:
        return (model.root_async_client if kind == "openai" else model._async_client)._client

    async def here() -> BaseChatModel:
        return for_this_loop(mine)

    first, second = asyncio.run(here()), asyncio.run(here())
    assert len({id(http(model)) for model in (mine, first, second)}) == 3
    assert for_this_loop(mine) is mine
