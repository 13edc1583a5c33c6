"""Whatever an engine asks to answer one query, it is one decision, read from what the user asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Settings, SQLDatabase, VectorStoreIndex
from llama_index.core.base.response.schema import StreamingResponse
from llama_index.core.callbacks import CallbackManager
from llama_index.core.chat_engine import ContextChatEngine
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.indices.query.query_transform.base import StepDecomposeQueryTransform
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, ChatSummaryMemoryBuffer
from llama_index.core.query_engine import (
    CustomQueryEngine,
    MultiStepQueryEngine,
    NLSQLTableQueryEngine,
    RetrieverQueryEngine,
    TransformQueryEngine,
)
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import TextNode
from sqlalchemy import create_engine

from llama_index_slmroute import RouteCallbackHandler
from slmroute import Confidence, RouteRequest, route_context
from slmroute.testing import FakeServer, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
EASY, HARD = "How many reports are there in all?", "Prove that the reports are consistent."
NODES = [TextNode(text=f"Report {number}: prove, derive and refactor the system.") for number in range(3)]

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")


class Judge:
    """A classifier that finds proofs hard, and remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def score(self, request: RouteRequest) -> float:
        self.seen.append(request.text)
        return float("Prove" in request.text)


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
def made(bench: Any, server: FakeServer, judge: Judge) -> Any:
    for model in (SMALL, FRONTIER):
        server.script(model, Reply("SELECT 6", logprobs=[-0.01]))
    made = bench(classifier=judge)
    Settings.llm, Settings.callback_manager = made.llm, CallbackManager([RouteCallbackHandler()])
    return made


def query_engine(**settings: Any) -> Any:
    return VectorStoreIndex(NODES).as_query_engine(**settings)


def of_tables() -> Any:
    return NLSQLTableQueryEngine(SQLDatabase(create_engine("sqlite://")), tables=[])


def of_steps(*, streaming: bool = False) -> Any:
    synthesizer = get_response_synthesizer(response_mode="refine", streaming=streaming)
    steps = StepDecomposeQueryTransform()
    return MultiStepQueryEngine(query_engine(), steps, response_synthesizer=synthesizer, num_steps=2)


def fused() -> Any:
    retriever = QueryFusionRetriever([VectorStoreIndex(NODES).as_retriever()], num_queries=3, use_async=False)
    return RetrieverQueryEngine.from_args(retriever)


ENGINES: dict[str, tuple[int, Callable[[], Any]]] = {
    "hypothetical document": (2, lambda: TransformQueryEngine(query_engine(), HyDEQueryTransform())),
    "tables": (2, of_tables),
    "fused queries": (2, fused),
    "steps": (6, of_steps),
}


@pytest.mark.parametrize("of_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(("question", "tier"), [(EASY, "small"), (HARD, "frontier")])
@pytest.mark.parametrize("name", ENGINES)
async def test_engines_that_ask_several_things_decide_once(
    made: Any, judge: Judge, name: str, question: str, tier: str, of_async: bool
) -> None:
    calls, make = ENGINES[name]
    engine = make()
    answer = await engine.aquery(question) if of_async else engine.query(question)
    assert judge.seen == [question]
    assert [(record.tier, record.reason) for record in made.records] == [
        (tier, "classified"),
        *[(tier, "scope")] * (calls - 1),
    ]
    assert [route["call_id"] for route in answer.metadata["slmroute"]] == [record.call_id for record in made.records]


CHATS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda engine: engine.chat(HARD),
    "stream_chat": lambda engine: "".join(engine.stream_chat(HARD).response_gen),
}


@pytest.mark.parametrize("handler", [False, True])
@pytest.mark.parametrize("way", CHATS)
@pytest.mark.parametrize("mode", ["condense_question", "condense_plus_context", "best", "context", "simple"])
def test_a_turn_of_a_chat_is_one_decision(made: Any, judge: Judge, mode: str, way: str, handler: bool) -> None:
    if not handler:
        Settings.callback_manager.handlers.clear()
    memory = ChatMemoryBuffer.from_defaults(
        chat_history=[ChatMessage(content="How many?"), ChatMessage(role="assistant", content="user: six.")]
    )
    CHATS[way](VectorStoreIndex(NODES).as_chat_engine(chat_mode=mode, memory=memory))
    assert len(judge.seen) == 1
    assert judge.seen[0].endswith(HARD)
    assert {record.tier for record in made.records} == {"frontier"}
    assert len(made.records) == (1 if mode in ("context", "simple") else 2)


async def test_an_asynchronously_streamed_turn_is_too(made: Any, judge: Judge) -> None:
    memory = ChatMemoryBuffer.from_defaults(chat_history=[ChatMessage(content="How many?")])
    engine = VectorStoreIndex(NODES).as_chat_engine(chat_mode="condense_question", memory=memory)
    answer = await engine.astream_chat(HARD)
    assert [token async for token in answer.async_response_gen()]
    assert judge.seen == [f"How many?\n\n{HARD}"]
    assert [record.reason for record in made.records] == ["classified", "scope"]


@pytest.mark.parametrize("given", [False, True], ids=["remembered", "given"])
@pytest.mark.parametrize("kind", [ChatMemoryBuffer, ChatSummaryMemoryBuffer])
def test_a_follow_up_is_judged_with_the_turn_before_it_whatever_is_asked_first(
    made: Any, judge: Judge, kind: Any, given: bool
) -> None:
    history = [ChatMessage(content=HARD), ChatMessage(role="assistant", content="It is so.")]
    memory = kind.from_defaults(chat_history=None if given else history, llm=made.llm)
    retriever = QueryFusionRetriever([VectorStoreIndex(NODES).as_retriever()], num_queries=3, use_async=False)
    engine = ContextChatEngine.from_defaults(retriever=retriever, memory=memory)
    engine.chat("Go on.", chat_history=history if given else None)
    assert judge.seen == [f"{HARD}\n\nGo on."]
    assert [(record.tier, record.reason) for record in made.records] == [
        ("frontier", "classified"),
        ("frontier", "scope"),
    ]


def test_a_chat_engines_answer_says_how_it_was_routed(made: Any) -> None:
    memory = ChatMemoryBuffer.from_defaults(chat_history=[ChatMessage(content="How many?")])
    engine: Any = VectorStoreIndex(NODES).as_chat_engine(chat_mode="condense_plus_context", memory=memory)
    first, second = engine.chat(HARD), engine.chat(EASY)
    assert [len(answer.metadata["slmroute"]) for answer in (first, second)] == [2, 2]


@pytest.mark.parametrize("mode", ["condense_question", "condense_plus_context", "context", "simple"])
async def test_a_streamed_chats_answer_says_so_once_it_is_read(made: Any, mode: str) -> None:
    memory = ChatMemoryBuffer.from_defaults(token_limit=2000)
    engine: Any = VectorStoreIndex(NODES).as_chat_engine(chat_mode=mode, memory=memory)
    answer = engine.stream_chat(HARD)
    assert "".join(answer.response_gen) == "SELECT 6"
    later = await engine.astream_chat("Go on.")
    assert "".join([token async for token in later.async_response_gen()]) == "SELECT 6"
    told = [*answer.metadata["slmroute"], *later.metadata["slmroute"]]
    assert [route["call_id"] for route in told] == [record.call_id for record in made.records]
    Settings.callback_manager.handlers.clear()
    silent = engine.stream_chat(HARD)
    assert "".join(silent.response_gen)
    assert getattr(silent, "metadata", None) is None


@pytest.mark.parametrize("handler", [False, True])
def test_a_streamed_query_of_several_steps_is_one_decision_wherever_it_is_read(
    made: Any, judge: Judge, handler: bool
) -> None:
    if not handler:
        Settings.callback_manager.handlers.clear()
    with route_context(key="team-a"):
        answer = of_steps(streaming=True).query(HARD)
    assert "".join(answer.response_gen)
    assert judge.seen == [HARD]
    assert [(record.tier, record.key) for record in made.records] == [("frontier", "team-a")] * 6
    assert len((answer.metadata or {}).get("slmroute", ())) == (6 if handler else 0)


def test_without_a_handler_an_answers_metadata_is_as_it_was(made: Any) -> None:
    Settings.callback_manager.handlers.clear()
    assert "slmroute" not in query_engine().query(HARD).metadata


def test_a_query_is_over_when_it_is_answered_or_has_failed(made: Any, judge: Judge) -> None:
    class Broken(CustomQueryEngine):
        def custom_query(self, query_str: str) -> str:
            Settings.llm.complete(EASY)
            raise LookupError

    with pytest.raises(LookupError):
        Broken().query(HARD)
    query_engine().query(EASY)
    Settings.llm.complete(EASY)
    assert judge.seen == [HARD, EASY, EASY]


def test_a_streamed_answer_of_any_kind_is_read_as_it_was(made: Any) -> None:
    class Listed(CustomQueryEngine):
        def custom_query(self, query_str: str) -> Any:
            tokens: Any = ["one ", "two"]
            return StreamingResponse(tokens)

    assert str(Listed().query(HARD).get_response()) == "one two"


def test_a_call_that_ends_late_leaves_a_scope_where_another_has_escalated_to(made: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply("Hm.", logprobs=[-3.0]), Reply("Six.", logprobs=[-0.01]))
    llm = made.llm
    llm.classifier, llm.escalation = None, Confidence(0.85)
    with route_context(scope="mine"):
        late = llm.stream_complete("It began before the other.")
        llm.complete("It escalates.")
        assert list(late)
        llm.complete("It begins after them.")
    assert [(record.tier, record.escalated) for record in made.records] == [
        ("frontier", True),
        ("small", False),
        ("frontier", False),
    ]
