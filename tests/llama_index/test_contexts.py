"""A stream is whose it was when it was asked for, wherever and whenever it is read."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.base.response.schema import StreamingResponse
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import CustomQueryEngine
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_slmroute import RouteCallbackHandler
from slmroute import Confidence, RouteCosts, route_context, route_costs
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


def refinement(made: Any) -> Any:
    return VectorStoreIndex(NODES).as_query_engine(
        llm=made.llm, response_mode="refine", streaming=True, similarity_top_k=4
    )


def test_without_a_handler_the_last_call_of_a_streamed_refinement_counts_where_it_was_asked(made: Any) -> None:
    with route_costs() as costs, route_context(key="team-a", tags=["billing"]):
        answer: Any = refinement(made).query("How many floors?")
        assert "".join(answer.response_gen)
    assert_of_team_a(made, costs, 4)
    with route_context(key="team-a"):
        answer = refinement(made).query("How many floors?")
    with route_context(key="team-b"):
        assert "".join(answer.response_gen)
    assert [record.key for record in made.records[4:]] == ["team-a"] * 4
    assert [record.reason for record in made.records[4:]] == ["classified", *["scope"] * 3]


@pytest.mark.parametrize("handler", [False, True])
async def test_users_who_ask_the_very_same_are_each_counted_for_themselves(made: Any, handler: bool) -> None:
    question = "How many floors?"  # a button in a page: one string, whoever asks
    if handler:
        told(made)

    async def user(key: str, asked: asyncio.Event, others: asyncio.Event) -> tuple[str, int]:
        with route_context(key=key), route_costs() as costs:
            answer: Any = await refinement(made).aquery(question)
            asked.set()
            await others.wait()
            assert [text async for text in answer.async_response_gen()]
            return key, costs.calls

    first, second = asyncio.Event(), asyncio.Event()
    counted = await asyncio.gather(user("team-a", first, second), user("team-b", second, first))
    assert counted == [("team-a", 4), ("team-b", 4)]
    assert sorted(str(record.key) for record in made.records) == ["team-a"] * 4 + ["team-b"] * 4


ALSO: dict[str, Callable[[Any, str], Any]] = {
    "stream": lambda llm, asked: llm.stream(PromptTemplate("{query_str}"), query_str=asked),
    "query": lambda llm, asked: VectorStoreIndex(NODES).as_query_engine(streaming=True).query(asked).response_gen,
    "chat": lambda llm, asked: (
        VectorStoreIndex(NODES).as_chat_engine(chat_mode="context").stream_chat(asked).response_gen
    ),
}


@pytest.mark.parametrize("handler", [False, True])
@pytest.mark.parametrize("way", ALSO)
def test_a_stream_is_none_of_those_who_asked_the_very_same_before(
    made: Any, server: FakeServer, way: str, handler: bool
) -> None:
    question = "How many floors?"
    if handler:
        told(made)
    Settings.llm = made.llm
    made.llm.escalation = Confidence(0.85)
    sure = Reply("Six.", logprobs=[-0.01])
    server.script(SMALL, Reply("Hm.", logprobs=[-3.0]), sure)
    with route_context(key="team-a"), route_costs() as costs:
        VectorStoreIndex(NODES).as_query_engine().query(question)
    with route_context(key="team-b"), route_costs() as others:
        assert "".join(ALSO[way](made.llm, question))
    assert (costs.calls, others.calls) == (1, 1)
    assert [(record.key, record.tier, record.reason) for record in made.records] == [
        ("team-a", "frontier", "classified"),
        ("team-b", "small", "classified"),
    ]


def test_what_is_set_while_a_streamed_answer_is_read_goes_before_the_querys(made: Any) -> None:
    told(made)

    def tokens() -> Any:
        with route_context(key="team-b"):
            first = Settings.llm.chat(HELLO).message.content
        yield first
        yield Settings.llm.chat(HELLO).message.content

    class Engine(CustomQueryEngine):
        def custom_query(self, query_str: str) -> Any:
            return StreamingResponse(tokens())

    with route_context(key="team-a"):
        answer: Any = Engine(callback_manager=Settings.callback_manager).query("Hello?")
    assert "".join(answer.response_gen)
    assert [record.key for record in made.records] == ["team-b", "team-a"]
    assert len(answer.metadata["slmroute"]) == 2


@pytest.mark.parametrize("handler", [False, True])
def test_a_router_keeps_nothing_of_those_who_asked_alive(made: Any, handler: bool) -> None:
    class Body:
        """What belongs to one request of a web server."""

    holds: contextvars.ContextVar[Body] = contextvars.ContextVar("holds")
    if handler:
        told(made)
    engine = VectorStoreIndex(NODES).as_query_engine(llm=made.llm, response_mode="refine", streaming=True)
    answers: list[Any] = []

    def ask() -> weakref.ref[Body]:
        body = Body()
        holds.set(body)
        answers.append(engine.query("How many floors?"))
        return weakref.ref(body)

    left = contextvars.copy_context().run(ask)
    gc.collect()
    assert left() is None
    assert "".join(answers[0].response_gen)


def test_a_streamed_chat_engines_answer_counts_where_it_was_asked(made: Any) -> None:
    engine = VectorStoreIndex(NODES).as_chat_engine(chat_mode="context", llm=made.llm)
    with route_costs() as costs, route_context(key="team-a", tags=["billing"]):
        answer: Any = engine.stream_chat("How many floors?")
    assert "".join(answer.response_gen)
    assert_of_team_a(made, costs)
