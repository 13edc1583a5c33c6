"""One router in several event loops: no error, no noise, and no request that only its provider knows of."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.llms.openai import OpenAI, OpenAIResponses
from pydantic import PrivateAttr

from llama_index_slmroute import RoutingLLM
from llama_index_slmroute.own_client import keep_to_this_loop
from slmroute import Tier
from slmroute.testing import FakeServer, Reply

FRONTIER = "gpt-4.1"
HELLO = [ChatMessage(content="Hello?")]

# What a loop has left open when it is closed is let go without a goodbye.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def of_string(server: FakeServer) -> Tier:
    return Tier("frontier", f"openai:{FRONTIER}", model_args={"base_url": server.openai_url, "api_key": "k"})


def of_object(server: FakeServer) -> Tier:
    return Tier("frontier", OpenAI(model=FRONTIER, api_base=server.openai_url, api_key="k"))


def of_used_object(server: FakeServer) -> Tier:
    mine = OpenAI(model=FRONTIER, api_base=server.openai_url, api_key="k")
    asyncio.run(mine.achat(HELLO))
    return Tier("frontier", mine)


def of_given_client(server: FakeServer) -> Tier:
    client = openai.AsyncOpenAI(base_url=server.openai_url, api_key="k")
    return Tier("frontier", OpenAI(model=FRONTIER, api_key="k", async_openai_client=client))


async def ask(llm: RoutingLLM, noise: list[str], clients: list[Any]) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context["message"]))
    answer = await llm.achat(HELLO)
    assert answer.message.additional_kwargs["slmroute"]["tier"] == "frontier"
    clients.clear()
    gc.collect()  # so that what the loop before has left is let go here
    await asyncio.sleep(0)
    gc.collect()


@pytest.fixture
def quick_collections() -> Iterator[None]:
    """Have collections of garbage look only at what the test makes."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("quick_collections")
@pytest.mark.parametrize("make", [of_string, of_object, of_used_object, of_given_client])
def test_each_loop_has_connections_of_its_own(
    server: FakeServer, closed_clients: list[Any], make: Callable[[FakeServer], Tier]
) -> None:
    server.script(FRONTIER, Reply("Well, hello."))
    llm = RoutingLLM(tiers=[make(server), Tier("spare", "dry-run:openai:gpt-4.1")], classifier=None)
    before = len(server.requests)
    noise: list[str] = []

    for _ in range(3):
        asyncio.run(ask(llm, noise, closed_clients))
    assert noise == []
    assert len(server.requests) - before == 3
    del llm
    gc.collect()


async def here(llm: Any) -> Any:
    copied = llm.model_copy()
    keep_to_this_loop(copied)
    return copied


class OfAnthropic(MockLLM):
    """Keeps its client as LlamaIndex's class for Anthropic does."""

    _aclient: Any = PrivateAttr(default_factory=lambda: anthropic.AsyncAnthropic(api_key="k"))


@pytest.mark.parametrize(
    "make", [OfAnthropic, lambda: OpenAIResponses(model=FRONTIER, api_key="k")], ids=["anthropic", "responses"]
)
def test_only_event_loops_have_clients_of_their_own(make: Callable[[], Any]) -> None:
    plain = make()
    first, second = asyncio.run(here(plain)), asyncio.run(here(plain))
    assert len({id(llm._aclient._client) for llm in (plain, first, second)}) == 3
    before = plain._aclient
    keep_to_this_loop(plain)
    assert plain._aclient is before


def test_an_llm_that_was_given_an_http_client_keeps_it() -> None:
    given = httpx.AsyncClient()
    own: Any = OpenAIResponses(model=FRONTIER, api_key="k", async_http_client=given)
    new: Any = OpenAI(model=FRONTIER, api_key="k", reuse_client=False)
    assert asyncio.run(here(own))._aclient._client is given
    assert asyncio.run(here(new))._async_http_client is None
