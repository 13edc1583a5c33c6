"""A stream is whose it was when it was asked for, wherever and whenever it is read."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_slmroute import RouteCallbackHandler
from slmroute import RouteCosts, route_context, route_costs
from slmroute.testing import FakeServer, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
HELLO = [ChatMessage(content="Hello?")]
TOOL = FunctionTool.from_defaults(lambda a: a, name="tool", description="a tool")
PROMPT = PromptTemplate("How many floors are there?")
NODES = [TextNode(text=f"Report {number} of the building and its floors.") for number in range(4)]


class Floors(BaseModel):
    """How many floors there are."""

    count: int


STREAMS: dict[str, Callable[[Any], Any]] = {
    "stream_chat": lambda llm: llm.stream_chat(HELLO),
    "stream_complete": lambda llm: llm.stream_complete("Hello?"),
    "stream": lambda llm: llm.stream(PROMPT),
    "stream_chat_with_tools": lambda llm: llm.stream_chat_with_tools([TOOL], user_msg="Hello?"),
    "stream_structured_predict": lambda llm: llm.stream_structured_predict(Floors, PROMPT),
    "as_structured_llm": lambda llm: llm.as_structured_llm(Floors).stream_chat(HELLO),
}
ASYNC_STREAMS: dict[str, Callable[[Any], Any]] = {
    "astream_chat": lambda llm: llm.astream_chat(HELLO),
    "astream_complete": lambda llm: llm.astream_complete("Hello?"),
    "astream": lambda llm: llm.astream(PROMPT),
    "astream_chat_with_tools": lambda llm: llm.astream_chat_with_tools([TOOL], user_msg="Hello?"),
    "astream_structured_predict": lambda llm: llm.astream_structured_predict(Floors, PROMPT),
    "as_structured_llm": lambda llm: llm.as_structured_llm(Floors).astream_chat(HELLO),
}


@pytest.fixture
def made(bench: Any, server: FakeServer) -> Any:
    server.script(SMALL, Reply('{"count": 6}', logprobs=[-0.01] * 3))
    server.script(FRONTIER, Reply('{"count": 6}'))
    return bench()


def assert_of_team_a(made: Any, costs: RouteCosts, calls: int = 1) -> None:
    assert costs.calls == calls
    assert {(record.key, record.tags) for record in made.records} == {("team-a", ("billing",))}


@pytest.mark.parametrize("way", STREAMS)
def test_a_stream_counts_and_is_labelled_where_it_was_asked_for(made: Any, way: str) -> None:
    with route_costs() as costs, route_context(key="team-a", tags=["billing"], scope="task"):
        stream = STREAMS[way](made.llm)
        assert costs.calls == 0
    with route_costs() as others, route_context(key="team-b"):
        assert list(contextvars.Context().run(list, stream))
    assert_of_team_a(made, costs)
    assert others.calls == 0


@pytest.mark.parametrize("way", ASYNC_STREAMS)
async def test_an_asynchronous_stream_does_so_too(made: Any, way: str) -> None:
    with route_costs() as costs, route_context(key="team-a", tags=["billing"], scope="task"):
        stream = await ASYNC_STREAMS[way](made.llm)

    async def read() -> None:
        assert [part async for part in stream]

    await asyncio.create_task(read(), context=contextvars.Context())
    assert_of_team_a(made, costs)


def test_the_streams_of_a_scope_share_its_decision_after_it_was_left(made: Any) -> None:
    with route_context(scope="task"):
        made.llm.chat([ChatMessage(content="A hard one.")])
        stream = made.llm.stream_chat(HELLO)
    list(stream)
    assert [(record.tier, record.reason) for record in made.records] == [
        ("frontier", "classified"),
        ("frontier", "scope"),
    ]


def told(made: Any) -> None:
    Settings.callback_manager = CallbackManager([RouteCallbackHandler()])
    Settings.llm = made.llm


@pytest.mark.parametrize(("mode", "calls"), [("compact", 1), ("refine", 4), ("tree_summarize", 1), ("accumulate", 4)])
async def test_a_streamed_query_counts_and_is_labelled_where_it_was_asked(made: Any, mode: str, calls: int) -> None:
    told(made)
    engine = VectorStoreIndex(NODES).as_query_engine(
        response_mode=mode, streaming=mode != "accumulate", similarity_top_k=4
    )
    with route_costs() as costs, route_context(key="team-a", tags=["billing"]):
        answer: Any = engine.query("How many floors?")
        aanswer: Any = await engine.aquery("How many floors in all?")
    with route_context(key="team-b"):
        if mode != "accumulate":
            assert "".join(answer.response_gen)
            assert [text async for text in aanswer.async_response_gen()]
    assert_of_team_a(made, costs, 2 * calls)


def test_streamed_queries_that_are_read_in_another_order_keep_theirs(made: Any) -> None:
    told(made)
    engine = VectorStoreIndex(NODES).as_query_engine(streaming=True)
    answers: list[Any] = []
    for key in ("team-a", "team-b"):
        with route_context(key=key):
            answers.append(engine.query("How many floors?"))
    for answer in reversed(answers):
        "".join(answer.response_gen)
    assert [record.key for record in made.records] == ["team-b", "team-a"]


def test_the_last_call_of_a_streamed_refinement_needs_no_handler_for_it(made: Any) -> None:
    engine = VectorStoreIndex(NODES).as_query_engine(
        llm=made.llm, response_mode="refine", streaming=True, similarity_top_k=4
    )
    with route_costs() as costs, route_context(key="team-a", tags=["billing"]):
        answer: Any = engine.query("How many floors?")
    assert "".join(answer.response_gen)
    assert_of_team_a(made, costs, 4)


def test_a_streamed_chat_engines_answer_counts_where_it_was_asked(made: Any) -> None:
    engine = VectorStoreIndex(NODES).as_chat_engine(chat_mode="context", llm=made.llm)
    with route_costs() as costs, route_context(key="team-a", tags=["billing"]):
        answer: Any = engine.stream_chat("How many floors?")
    assert "".join(answer.response_gen)
    assert_of_team_a(made, costs)
