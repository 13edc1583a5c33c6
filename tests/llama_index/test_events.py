"""What LlamaIndex's instrumentation and callbacks are told of routed calls."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMChatStartEvent
from llama_index.core.instrumentation.span import SimpleSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_slmroute import RouteCallbackHandler, RouteDecisionEvent
from slmroute import Confidence, route_costs
from slmroute.testing import FakeServer, Fault, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
HELLO = [ChatMessage(content="Hello?")]
HARD = [ChatMessage(content="A hard one.")]
SURE = Reply("Well, hello.", input_tokens=20, output_tokens=5, logprobs=[-0.01] * 2)
UNSURE = Reply("Perhaps.", input_tokens=20, output_tokens=5, logprobs=[-2.0])
GOOD = Reply("It is so.", input_tokens=100, output_tokens=10)
NODES = [TextNode(text=f"Report {number}.") for number in range(3)]


class Floors(BaseModel):
    """How many floors."""

    count: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Listener(BaseEventHandler):
    seen: list[Any]

    @classmethod
    def class_name(cls) -> str:
        return "Listener"

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.seen.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.seen if isinstance(event, kind)]


class Spans(BaseSpanHandler[SimpleSpan]):
    parents: ClassVar[dict[str, str | None]] = {}

    @classmethod
    def class_name(cls) -> str:
        return "Spans"

    def new_span(
        self, id_: str, bound_args: Any, instance: Any = None, parent_span_id: str | None = None, **kwargs: Any
    ) -> SimpleSpan:
        self.parents[id_] = parent_span_id
        return SimpleSpan(id_=id_, parent_id=parent_span_id)

    def prepare_to_exit_span(self, id_: str, *args: Any, **kwargs: Any) -> SimpleSpan:
        return self.open_spans[id_]

    def prepare_to_drop_span(self, id_: str, *args: Any, **kwargs: Any) -> SimpleSpan:
        return self.open_spans[id_]

    def path(self, id_: str | None) -> list[str]:
        names: list[str] = []
        while id_ is not None:
            names.append(id_.partition("-")[0])
            id_ = self.parents[id_]
        return names[::-1]


@pytest.fixture
def listener() -> Iterator[Listener]:
    handler = Listener(seen=[])
    get_dispatcher().add_event_handler(handler)
    yield handler
    get_dispatcher().event_handlers.remove(handler)


@pytest.fixture
def spans() -> Iterator[Spans]:
    handler = Spans()
    handler.parents.clear()
    get_dispatcher().add_span_handler(handler)
    yield handler
    get_dispatcher().span_handlers.remove(handler)


def test_spans_nest_and_the_decision_stands_in_the_routers(
    bench: Any, server: FakeServer, listener: Listener, spans: Spans
) -> None:
    server.script(SMALL, SURE)
    bench().llm.chat(HELLO)
    (start,), (decision,) = listener.of(LLMChatStartEvent), listener.of(RouteDecisionEvent)
    assert spans.path(start.span_id) == ["RoutingLLM.chat", "Ollama.chat"]
    assert spans.path(decision.span_id) == ["RoutingLLM.chat"]
    assert start.model_dict["model_name"] == SMALL
    assert (decision.tier, decision.reason, decision.record["status"]) == ("small", "classified", "ok")
    assert decision.model_dump()["class_name"] == "RouteDecisionEvent"


async def test_spans_of_streams_nest_wherever_they_are_read(
    bench: Any, server: FakeServer, listener: Listener, spans: Spans
) -> None:
    server.script(SMALL, SURE)
    llm = bench().llm
    stream, astream = llm.stream(PromptTemplate("Hello?")), await llm.astream_chat(HELLO)
    assert "".join(stream) == "Well, hello."
    [chunk async for chunk in astream]
    paths = [spans.path(event.span_id) for event in listener.of(LLMChatStartEvent)]
    assert paths == [
        ["RoutingLLM.stream", "RoutingLLM.stream_chat", "Ollama.stream_chat"],
        ["RoutingLLM.astream_chat", "Ollama.astream_chat"],
    ]
    decided = [spans.path(event.span_id) for event in listener.of(RouteDecisionEvent)]
    assert decided == [["RoutingLLM.stream", "RoutingLLM.stream_chat"], ["RoutingLLM.astream_chat"]]


async def test_every_way_of_asking_has_one_decision_and_one_llm_event_a_tier(
    bench: Any, server: FakeServer, listener: Listener
) -> None:
    server.script(SMALL, UNSURE)
    server.script(FRONTIER, GOOD)
    llm = bench(escalation=Confidence(0.85)).llm
    tool, prompt = FunctionTool.from_defaults(add), PromptTemplate("Hello?")
    llm.chat(HELLO)
    await llm.achat(HELLO)
    list(llm.stream_chat(HELLO))
    [chunk async for chunk in await llm.astream_chat(HELLO)]
    llm.predict(prompt)
    llm.chat_with_tools([tool], user_msg="Hello?")
    [chunk async for chunk in await llm.astream_chat_with_tools([tool], user_msg="Hello?")]
    assert len(listener.of(RouteDecisionEvent)) == 7
    names = [event.model_dict["model_name"] for event in listener.of(LLMChatStartEvent)]
    assert names == [SMALL, FRONTIER] * 7
    # Reports of drafts are joined to their answers by the span.
    assert len({event.span_id for event in listener.of(LLMChatEndEvent)}) == 14


def test_a_decision_is_told_of_where_the_call_failed(bench: Any, server: FakeServer, listener: Listener) -> None:
    server.script(SMALL, Fault(503))
    server.script(FRONTIER, Fault(503))
    with pytest.raises(ExceptionGroup):
        bench().llm.chat(HELLO)
    (decision,) = listener.of(RouteDecisionEvent)
    assert (decision.tier, decision.record["error"]) == (None, "NoTierAnswered")


def test_the_router_makes_no_spans_of_its_own_beside(bench: Any, server: FakeServer, spans: Spans) -> None:
    server.script(SMALL, SURE)
    bench().llm.predict(PromptTemplate("Hello?"))
    assert [spans.path(id_)[-1] for id_ in spans.parents] == ["RoutingLLM.predict", "RoutingLLM.chat", "Ollama.chat"]


async def test_tokens_are_counted_once_for_each_tier_that_was_called(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, UNSURE)
    server.script(FRONTIER, GOOD)
    llm, counter = bench(escalation=Confidence(0.85)).llm, TokenCountingHandler()
    llm.callback_manager = CallbackManager([counter])
    llm.chat(HELLO)
    llm.complete("Hello?")
    await llm.acomplete("Hello?")
    assert [event.total_token_count for event in counter.llm_token_counts] == [25, 110] * 3


async def test_streams_count_as_reported(bench: Any, server: FakeServer) -> None:
    server.script(FRONTIER, GOOD)
    llm, counter = bench().llm, TokenCountingHandler()
    llm.callback_manager = CallbackManager([counter])
    list(llm.stream_chat(HARD))
    [chunk async for chunk in await llm.astream_complete("hard")]
    assert [event.total_token_count for event in counter.llm_token_counts] == [110, 110]


def test_the_users_own_llms_keep_their_callbacks(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    made, mine, routers = bench(), TokenCountingHandler(), TokenCountingHandler()
    tier: Any = made.llm.tiers[0].model
    tier.callback_manager = CallbackManager([mine])
    made.llm.callback_manager = CallbackManager([routers])
    made.llm.chat(HELLO)
    assert tier.callback_manager.handlers == [mine]
    assert (len(mine.llm_token_counts), len(routers.llm_token_counts)) == (0, 1)
    made.llm.callback_manager = CallbackManager([])
    made.llm.chat(HELLO)
    assert len(mine.llm_token_counts) == 1


def test_structured_calls_are_told_of_in_the_trace_around_them(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply('{"count": 6}'))
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm = bench().llm
    llm.callback_manager = CallbackManager([debug])
    with llm.callback_manager.as_trace("mine"):
        llm.structured_predict(Floors, PromptTemplate("How many?"))
    assert len(debug.get_event_pairs(CBEventType.LLM)) == 1


async def test_costs_are_added_up_around_calls(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, UNSURE)
    server.script(FRONTIER, GOOD)
    llm = bench(escalation=Confidence(0.85)).llm
    with route_costs() as costs:
        llm.chat(HELLO)
        await asyncio.gather(*(llm.achat(HELLO) for _ in range(3)))
        list(llm.stream_chat(HELLO))
        stream = llm.stream_chat(HELLO)
    list(stream)  # it was begun inside
    llm.chat(HELLO)
    assert (costs.calls, costs.escalations) == (6, 6)
    assert costs.tiers["small"].output_tokens == 30
    assert costs.tiers["frontier"].input_tokens == 600
    assert costs.roles["final"] == 6 * Decimal("0.00028")


def test_costs_of_structured_calls_come_from_their_events(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply('{"count": 6}', input_tokens=20, output_tokens=5))
    server.script(FRONTIER, Reply('{"count": 6}', input_tokens=100, output_tokens=10))
    llm = bench().llm
    with route_costs() as costs:
        llm.structured_predict(Floors, PromptTemplate("How many?"))
        llm.structured_predict(Floors, PromptTemplate("A hard one."))
        list(llm.stream_structured_predict(Floors, PromptTemplate("How many?")))
        list(llm.stream_structured_predict(Floors, PromptTemplate("A hard one.")))
    assert (costs.tiers["small"].input_tokens, costs.tiers["small"].output_tokens) == (40, 10)
    assert (costs.tiers["frontier"].input_tokens, costs.tiers["frontier"].output_tokens) == (200, 20)


@pytest.fixture
def handler() -> RouteCallbackHandler:
    handler = RouteCallbackHandler()
    Settings.callback_manager = CallbackManager([handler])
    return handler


def test_a_querys_answer_says_how_it_was_routed(bench: Any, server: FakeServer, handler: RouteCallbackHandler) -> None:
    server.script(SMALL, SURE)
    Settings.llm = bench().llm
    engine = VectorStoreIndex(NODES).as_query_engine(response_mode="refine", similarity_top_k=3)
    response = engine.query("How many?")
    routes = response.metadata["slmroute"]
    assert [route["tier"] for route in routes] == ["small"] * 3
    assert engine.query("Another?").metadata["slmroute"] != routes
    assert handler.costs.calls == 6


async def test_an_asynchronous_querys_answer_does_too(
    bench: Any, server: FakeServer, handler: RouteCallbackHandler
) -> None:
    server.script(SMALL, SURE)
    Settings.llm = bench().llm
    engine = VectorStoreIndex(NODES).as_query_engine()
    answers = await asyncio.gather(*(engine.aquery(f"How many of {which}?") for which in "abc"))
    assert [len(answer.metadata["slmroute"]) for answer in answers] == [1, 1, 1]


def test_a_streamed_querys_answer_says_so_once_it_is_read(
    bench: Any, server: FakeServer, handler: RouteCallbackHandler
) -> None:
    server.script(SMALL, SURE)
    Settings.llm = bench().llm
    response: Any = VectorStoreIndex(NODES).as_query_engine(streaming=True).query("How many?")
    assert response.metadata["slmroute"] == []
    assert "".join(response.response_gen) == "Well, hello."
    assert [route["tier"] for route in response.metadata["slmroute"]] == ["small"]


async def test_an_asynchronously_streamed_querys_answer_does_too(
    bench: Any, server: FakeServer, handler: RouteCallbackHandler
) -> None:
    server.script(SMALL, SURE)
    Settings.llm = bench().llm
    engine = VectorStoreIndex(NODES).as_query_engine(streaming=True)
    first: Any = await engine.aquery("How many?")
    second: Any = await engine.aquery("How many others?")
    for response in (second, first):
        assert "".join([token async for token in response.async_response_gen()]) == "Well, hello."
    assert [len(response.metadata["slmroute"]) for response in (first, second)] == [1, 1]


def test_a_chat_engine_adds_up_its_costs(bench: Any, server: FakeServer, handler: RouteCallbackHandler) -> None:
    server.script(SMALL, SURE)
    Settings.llm = bench().llm
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
    engine = VectorStoreIndex(NODES).as_chat_engine(chat_mode="condense_plus_context", memory=memory)
    engine.chat("How many?")
    engine.chat("And why?")
    assert handler.costs.calls == 3
    assert handler.costs.tiers["small"].input_tokens == 60


def test_an_unread_streamed_answer_gets_no_other_calls_record(
    bench: Any, server: FakeServer, handler: RouteCallbackHandler
) -> None:
    server.script(SMALL, SURE)
    Settings.llm = bench().llm
    engine = VectorStoreIndex(NODES).as_query_engine(streaming=True)
    first: Any = engine.query("How many?")
    second: Any = engine.query("How many?")
    Settings.llm.chat([ChatMessage(content="How many?")])
    assert (first.metadata["slmroute"], second.metadata["slmroute"]) == ([], [])
    "".join(first.response_gen)
    assert (len(first.metadata["slmroute"]), len(second.metadata["slmroute"])) == (1, 0)
    "".join(second.response_gen)
    assert (len(first.metadata["slmroute"]), len(second.metadata["slmroute"])) == (1, 1)
    assert handler.costs.calls == 3


def test_a_streamed_refinement_tells_of_all_its_calls(
    bench: Any, server: FakeServer, handler: RouteCallbackHandler
) -> None:
    server.script(SMALL, SURE)
    Settings.llm = bench().llm
    engine = VectorStoreIndex(NODES).as_query_engine(streaming=True, response_mode="refine", similarity_top_k=3)
    response: Any = engine.query("How many?")
    "".join(response.response_gen)
    assert len(response.metadata["slmroute"]) == 3


def test_a_router_with_a_handler_is_pickled(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    llm = bench(classifier=None, ledger=None).llm
    handler = RouteCallbackHandler()
    llm.callback_manager = CallbackManager([handler])
    llm.chat(HELLO)
    copy = pickle.loads(pickle.dumps(llm))  # noqa: S301  our own
    copy.chat(HELLO)
    (other,) = copy.callback_manager.handlers
    assert (handler.costs.calls, other.costs.calls) == (1, 1)


def test_the_users_own_llms_are_told_of_structured_calls_too(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply('{"count": 6}'))
    made, mine = bench(), TokenCountingHandler()
    made.llm.tiers[0].model.callback_manager = CallbackManager([mine])
    made.llm.structured_predict(Floors, PromptTemplate("How many?"))
    assert len(mine.llm_token_counts) == 1
