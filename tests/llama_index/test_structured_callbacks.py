"""A structured LLM's own callback manager, which engines set on it and not on the router, is told of its calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import TextNode
from pydantic import BaseModel

from llama_index_slmroute import RouteCallbackHandler
from slmroute.testing import FakeServer, Reply

SMALL = "llama3.1:8b"
ASKED = [ChatMessage(content="How many floors?")]


class Floors(BaseModel):
    """How many floors there are."""

    count: int


@pytest.fixture
def made(bench: Any, server: FakeServer) -> Any:
    server.script(SMALL, Reply('{"count": 6}', input_tokens=100, output_tokens=10))
    return bench()


@pytest.fixture
def handlers() -> tuple[TokenCountingHandler, RouteCallbackHandler]:
    return TokenCountingHandler(), RouteCallbackHandler()


def given(llm: Any, manager: CallbackManager) -> Any:
    return llm.as_structured_llm(Floors, callback_manager=manager)


def set_on_it(llm: Any, manager: CallbackManager) -> Any:
    structured = llm.as_structured_llm(Floors)
    structured.callback_manager = manager
    return structured


def set_on_both(llm: Any, manager: CallbackManager) -> Any:
    llm.callback_manager = CallbackManager(list(manager.handlers))
    return set_on_it(llm, manager)


@pytest.mark.parametrize("make", [given, set_on_it, set_on_both])
async def test_its_calls_are_told_of_once(made: Any, handlers: Any, make: Callable[..., Any]) -> None:
    counter, routes = handlers
    structured = make(made.llm, CallbackManager([counter, routes]))
    structured.chat(ASKED)
    await structured.achat(ASKED)
    list(structured.stream_chat(ASKED))
    assert [part async for part in await structured.astream_chat(ASKED)]
    assert [each.total_token_count for each in counter.llm_token_counts] == [110] * 4
    assert routes.costs.calls == 4


def test_the_routers_own_handlers_are_told_as_well(made: Any, handlers: Any) -> None:
    counter, routes = handlers
    made.llm.callback_manager = CallbackManager([routes])
    set_on_it(made.llm, CallbackManager([counter])).chat(ASKED)
    assert (counter.total_llm_token_count, routes.costs.calls) == (110, 1)
    assert len(made.llm.callback_manager.handlers) == 1


async def test_a_query_engine_counts_its_calls_and_tells_their_routes(made: Any, handlers: Any) -> None:
    counter, _ = handlers
    structured = made.llm.as_structured_llm(Floors)
    Settings.callback_manager = CallbackManager(list(handlers))
    engine = VectorStoreIndex([TextNode(text="Six floors.")]).as_query_engine(llm=structured)
    for response in (engine.query("How many?"), await engine.aquery("How many?")):
        assert [route["tier"] for route in response.metadata["slmroute"]] == ["small"]
    assert counter.total_llm_token_count == 220
