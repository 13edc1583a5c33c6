"""What a query engine asks for one query is one decision, made by the question alone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core import Settings, SummaryIndex, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.prompts.default_prompts import (
    DEFAULT_REFINE_PROMPT,
    DEFAULT_TEXT_QA_PROMPT,
    DEFAULT_TREE_SUMMARIZE_PROMPT,
)
from llama_index.core.query_engine import RetrieverQueryEngine, RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import TextNode
from llama_index.core.selectors import LLMSingleSelector, PydanticSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from llama_index_slmroute import RouteCallbackHandler, RoutingLLM
from llama_index_slmroute.asked import asked_in
from slmroute import Confidence, RouteRecord, RouteRequest, Tier, route_context
from slmroute.testing import FakeServer, Reply
from tests.llama_index.judge import Judge

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
NODES = [TextNode(text=f"Report {number}: prove, derive and refactor the distributed system.") for number in range(6)]
SURE = Reply("Six.", logprobs=[-0.01])
EASY, HARD = "How many reports?", "Prove that the reports are consistent."


class Records(list[RouteRecord]):
    """A ledger that keeps records in memory, at once."""

    def write(self, record: RouteRecord) -> None:
        self.append(record)


MakeRouter = Callable[..., tuple[RoutingLLM, Judge, Records]]


@pytest.fixture
def make_router(server: FakeServer) -> MakeRouter:
    server.script(SMALL, SURE)
    server.script(FRONTIER, SURE)

    def make(*, functions: Any = None, **settings: Any) -> tuple[RoutingLLM, Judge, Records]:
        judge, records = Judge(), Records()
        tiers = [
            Tier("small", Ollama(model=SMALL, base_url=server.url, context_window=8192), local=True),
            Tier("frontier", OpenAI(model=FRONTIER, api_base=server.openai_url, api_key="k", max_retries=0)),
        ]
        if functions is not None:  # so that LlamaIndex's programs call functions with either tier
            server.script("gpt-4.1-mini", functions)
            server.script(FRONTIER, functions)
            small = OpenAI(model="gpt-4.1-mini", api_base=server.openai_url, api_key="k", max_retries=0)
            tiers[0] = Tier("small", small)
        return RoutingLLM(tiers=tiers, **{"classifier": judge, "ledger": records, **settings}), judge, records

    return make


@pytest.fixture
def index() -> VectorStoreIndex:
    return VectorStoreIndex(NODES)


@pytest.mark.parametrize(
    "mode",
    ["compact", "refine", "tree_summarize", "simple_summarize", "accumulate", "compact_accumulate", "generation"],
)
@pytest.mark.parametrize(("question", "tier"), [(EASY, "small"), (HARD, "frontier")])
def test_one_decision_serves_all_calls_of_a_query(
    make_router: MakeRouter, index: VectorStoreIndex, mode: str, question: str, tier: str
) -> None:
    llm, judge, records = make_router()
    index.as_query_engine(llm=llm, response_mode=mode, similarity_top_k=6).query(question)
    assert judge.seen == [question]
    assert {record.tier for record in records} == {tier}
    assert [record.reason for record in records] == ["classified", *["scope"] * (len(records) - 1)]


@pytest.mark.parametrize("mode", ["no_text", "context_only"])
def test_modes_that_ask_no_model_ask_none(make_router: MakeRouter, index: VectorStoreIndex, mode: str) -> None:
    llm, judge, records = make_router()
    Settings.llm = llm
    response = index.as_query_engine(llm=llm, response_mode=mode, similarity_top_k=6).query(HARD)
    assert len(response.source_nodes) == 6
    assert (judge.seen, records) == ([], [])


class Whim:
    """A classifier that says something else each time."""

    def __init__(self) -> None:
        self.asked = 0

    def score(self, request: RouteRequest) -> float:
        self.asked += 1
        time.sleep(0.02)  # so that the other calls have begun
        return float(self.asked % 2)


LONG_NODES = [TextNode(text=f"Report {number}. " + "word " * 250) for number in range(6)]


@pytest.mark.parametrize("mode", ["accumulate", "tree_summarize"])
async def test_calls_made_at_the_same_time_for_a_query_share_its_decision(make_router: MakeRouter, mode: str) -> None:
    whim = Whim()
    llm, _, records = make_router(classifier=whim, context_window=600)
    engine = VectorStoreIndex(LONG_NODES).as_query_engine(llm=llm, response_mode=mode, similarity_top_k=6)
    await engine.aquery(EASY)
    assert whim.asked == 1
    assert len(records) > 5
    assert {record.tier for record in records} == {"frontier"}
    reasons = [record.reason for record in records]
    assert (reasons.count("classified"), reasons.count("scope")) == (1, len(records) - 1)
    await engine.aquery(EASY)
    assert whim.asked == 2


def test_they_do_too_where_a_synchronous_query_makes_them(make_router: MakeRouter) -> None:
    whim = Whim()
    llm, _, records = make_router(classifier=whim, context_window=600)
    index = VectorStoreIndex(LONG_NODES)
    index.as_query_engine(llm=llm, response_mode="tree_summarize", similarity_top_k=6, use_async=True).query(EASY)
    assert whim.asked == 1
    assert {record.tier for record in records} == {"frontier"}


def test_threads_within_a_scope_share_a_decision(make_router: MakeRouter) -> None:
    whim = Whim()
    llm, _, records = make_router(classifier=whim)
    with route_context(scope="mine"), ThreadPoolExecutor(6) as threads:
        told = [threads.submit(copy_context().run, llm.complete, "Hello?") for _ in range(6)]
        assert [each.result().text for each in told] == ["Six."] * 6
    assert whim.asked == 1
    assert {(record.tier, record.score) for record in records if record.reason == "classified"} == {("frontier", 1.0)}


async def test_a_call_that_is_given_up_leaves_the_decision_to_one_of_the_others(make_router: MakeRouter) -> None:
    asked = asyncio.Event()

    class Slow:
        calls = 0

        def score(self, request: RouteRequest) -> float:
            return 1.0

        async def ascore(self, request: RouteRequest) -> float:
            self.calls += 1
            asked.set()
            if self.calls == 1:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            return 1.0

    slow = Slow()
    llm, _, records = make_router(classifier=slow)
    with route_context(scope="mine"):
        first = asyncio.create_task(llm.acomplete("Hello?"))
        await asked.wait()
        others = [asyncio.create_task(llm.acomplete("Hello?")) for _ in range(3)]
        await asyncio.sleep(0.01)
        first.cancel()
        assert [(await other).text for other in others] == ["Six."] * 3
    assert slow.calls == 2
    assert [(record.status, record.tier) for record in records] == [("cancelled", None), *[("ok", "frontier")] * 3]
    assert sorted(str(record.reason) for record in records[1:]) == ["classified", "scope", "scope"]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_filtering_refinement_is_judged_by_the_question(make_router: MakeRouter, streaming: bool) -> None:
    def satisfied(body: Mapping[str, Any]) -> Reply:
        tool = body["tools"][0]["function"]["name"]
        return Reply(tool_calls=[(tool, {"query_satisfied": True, "answer": "Six."})])

    llm, judge, records = make_router(functions=satisfied)
    synthesizer = get_response_synthesizer(
        llm=llm, response_mode="refine", structured_answer_filtering=True, streaming=streaming
    )
    index = VectorStoreIndex(NODES)
    engine = RetrieverQueryEngine(index.as_retriever(similarity_top_k=3), response_synthesizer=synthesizer)
    assert str(engine.query(HARD)) == "Six."
    assert set(judge.seen) == {HARD}
    assert {record.tier for record in records} == {"frontier"}


def test_a_selector_that_calls_functions_is_judged_by_the_question(
    make_router: MakeRouter, index: VectorStoreIndex
) -> None:
    def select(body: Mapping[str, Any]) -> Reply:
        if "tools" not in body:
            return SURE
        return Reply(tool_calls=[(body["tools"][0]["function"]["name"], {"index": 0, "reason": "it fits"})])

    llm, judge, records = make_router(functions=select)
    tool = QueryEngineTool.from_defaults(index.as_query_engine(llm=llm), name="reports", description="reports")
    other = QueryEngineTool.from_defaults(SummaryIndex(NODES).as_query_engine(llm=llm), name="all", description="all")
    engine = RouterQueryEngine.from_defaults([tool, other], llm=llm)
    assert isinstance(engine._selector, PydanticSingleSelector)
    assert str(engine.query(HARD)) == "Six."
    assert judge.seen == [HARD]
    assert [(record.tier, record.reason) for record in records] == [("frontier", "classified"), ("frontier", "scope")]


@pytest.mark.parametrize(("question", "tier"), [(EASY, "small"), (HARD, "frontier")])
def test_a_selector_that_one_tier_alone_can_be_leaves_the_querys_decision_open(
    make_router: MakeRouter, index: VectorStoreIndex, server: FakeServer, question: str, tier: str
) -> None:
    def select(body: Mapping[str, Any]) -> Reply:
        return Reply(tool_calls=[(body["tools"][0]["function"]["name"], {"index": 0, "reason": "it fits"})])

    llm, judge, records = make_router()  # Ollama cannot be made to call a tool, which this selector asks for
    server.script(FRONTIER, lambda body: select(body) if body.get("tools") else SURE)
    tools = [
        QueryEngineTool.from_defaults(index.as_query_engine(llm=llm), name=name, description=name)
        for name in ("reports", "all")
    ]
    engine = RouterQueryEngine.from_defaults(tools, llm=llm, selector=PydanticSingleSelector.from_defaults(llm=llm))
    assert str(engine.query(question)) == "Six."
    assert [(record.tier, record.reason) for record in records] == [("frontier", "only"), (tier, "classified")]
    assert judge.seen == [question]


def test_a_follow_up_that_is_put_in_other_words_is_judged_by_what_the_user_wrote(
    make_router: MakeRouter, index: VectorStoreIndex
) -> None:
    llm, judge, _ = make_router()
    memory = ChatMemoryBuffer.from_defaults(
        chat_history=[ChatMessage(content=HARD), ChatMessage(role="assistant", content="Prove what?")]
    )
    index.as_chat_engine(chat_mode="condense_plus_context", llm=llm, memory=memory).chat(EASY)
    assert judge.seen == [f"{HARD}\n\n{EASY}"]


@given(st.text(max_size=20).filter(str.strip), st.text(max_size=30))
def test_questions_are_read_out_of_llamaindexs_own_templates(question: str, chunk: str) -> None:
    texts = [
        DEFAULT_TEXT_QA_PROMPT.format(context_str=chunk, query_str=question),
        DEFAULT_TREE_SUMMARIZE_PROMPT.format(context_str=chunk, query_str=question),
        DEFAULT_REFINE_PROMPT.format(context_msg=chunk, query_str=question, existing_answer=chunk),
    ]
    assert [asked_in([ChatMessage(content=text)]) for text in texts] == [question.strip()] * 3
    assert asked_in([ChatMessage(content=f"{chunk}\nQuery: {question}")]) is None


async def test_one_decision_serves_all_calls_of_an_asynchronous_query(
    make_router: MakeRouter, index: VectorStoreIndex
) -> None:
    llm, judge, records = make_router()
    await index.as_query_engine(llm=llm, response_mode="refine", similarity_top_k=6).aquery(HARD)
    assert judge.seen == [HARD]
    assert {record.tier for record in records} == {"frontier"}


def test_the_next_query_is_decided_anew(make_router: MakeRouter, index: VectorStoreIndex) -> None:
    llm, judge, records = make_router()
    engine = index.as_query_engine(llm=llm)
    for question in (EASY, HARD, EASY):
        engine.query(question)
    assert judge.seen == [EASY, HARD, EASY]
    assert [record.tier for record in records] == ["small", "frontier", "small"]


async def test_queries_at_the_same_time_are_decided_apart(make_router: MakeRouter, index: VectorStoreIndex) -> None:
    llm, _, records = make_router()
    engine = index.as_query_engine(llm=llm, response_mode="refine", similarity_top_k=6)
    await asyncio.gather(*(engine.aquery(question) for question in (EASY, HARD) * 3))
    assert sorted(str(record.tier) for record in records) == ["frontier"] * 18 + ["small"] * 18


def test_a_refinement_that_escalates_keeps_the_query_up(
    make_router: MakeRouter, index: VectorStoreIndex, server: FakeServer
) -> None:
    llm, _, records = make_router(classifier=None, escalation=Confidence(0.85))
    server.script(SMALL, SURE, Reply("Hm.", logprobs=[-3.0]), SURE)
    index.as_query_engine(llm=llm, response_mode="refine", similarity_top_k=6).query(EASY)
    assert [record.tier for record in records] == ["small", *["frontier"] * 5]
    assert [record.escalated for record in records] == [False, True, *[False] * 4]


def test_a_scope_of_the_users_own_goes_before_the_querys(make_router: MakeRouter, index: VectorStoreIndex) -> None:
    llm, judge, records = make_router()
    engine = index.as_query_engine(llm=llm)
    with route_context(scope="session"):
        engine.query(HARD)
        engine.query(EASY)
    assert judge.seen == [HARD]
    assert [record.tier for record in records] == ["frontier", "frontier"]


def test_a_streamed_query_reads_the_question(make_router: MakeRouter, index: VectorStoreIndex) -> None:
    llm, judge, records = make_router()
    response = index.as_query_engine(llm=llm, streaming=True).query(HARD)
    assert "".join(response.response_gen) == "Six."
    assert judge.seen == [HARD]
    assert records[0].tier == "frontier"


def test_a_streamed_refinement_that_escalates_stays_up_for_the_call_that_is_read(
    make_router: MakeRouter, index: VectorStoreIndex, server: FakeServer
) -> None:
    llm, _, records = make_router(classifier=None, escalation=Confidence(0.85))
    server.script(SMALL, Reply("Hm.", logprobs=[-3.0]))
    Settings.callback_manager = CallbackManager([RouteCallbackHandler()])
    engine = index.as_query_engine(llm=llm, response_mode="refine", streaming=True, similarity_top_k=4)
    response: Any = engine.query(EASY)
    assert "".join(response.response_gen) == "Six."
    assert [record.tier for record in records] == ["frontier"] * 4
    assert [record.reason for record in records] == ["cheapest", *["scope"] * 3]


def test_a_router_engines_selector_and_its_engine_share_a_decision(
    make_router: MakeRouter, index: VectorStoreIndex, server: FakeServer
) -> None:
    llm, judge, records = make_router()
    server.script(FRONTIER, Reply('[{"choice": 1, "reason": "it fits"}]'), SURE)
    tool = QueryEngineTool.from_defaults(index.as_query_engine(llm=llm), name="reports", description="reports")
    other = QueryEngineTool.from_defaults(SummaryIndex(NODES).as_query_engine(llm=llm), name="all", description="all")
    selector = LLMSingleSelector.from_defaults(llm=llm)
    RouterQueryEngine.from_defaults([tool, other], llm=llm, selector=selector).query(HARD)
    assert judge.seen == [HARD]
    assert [(record.tier, record.reason) for record in records] == [("frontier", "classified"), ("frontier", "scope")]


def test_sub_questions_are_decided_each_by_itself(
    make_router: MakeRouter, index: VectorStoreIndex, server: FakeServer
) -> None:
    def sub_questions(body: Mapping[str, object]) -> Reply:
        if "sub_question" not in str(body["messages"]):
            return SURE
        items = [{"sub_question": question, "tool_name": "docs"} for question in ("How many?", "Prove it.")]
        return Reply(f"```json\n{json.dumps({'items': items})}\n```")

    llm, judge, records = make_router()
    server.script(FRONTIER, sub_questions)
    Settings.llm = llm
    tool = QueryEngineTool.from_defaults(index.as_query_engine(llm=llm), name="docs", description="reports")
    engine = SubQuestionQueryEngine.from_defaults(
        [tool], llm=llm, question_gen=LLMQuestionGenerator.from_defaults(llm=llm), use_async=False, verbose=False
    )
    engine.query(HARD)
    assert judge.seen == [HARD, "How many?", "Prove it."]
    assert [record.tier for record in records] == ["frontier", "small", "frontier", "frontier"]
    assert records[-1].reason == "scope"


def test_a_prompt_with_a_question_is_judged_by_it(make_router: MakeRouter) -> None:
    llm, judge, _ = make_router()
    prompt = PromptTemplate("Context: {context_str}\nQuestion: {query_str}\nAnswer: ")
    llm.predict(prompt, context_str="Prove it! " * 500, query_str=EASY)
    llm.predict(prompt.partial_format(query_str=EASY), context_str="Prove it! " * 500)
    assert judge.seen == [EASY, EASY]


def test_a_prompt_without_a_question_is_judged_whole(make_router: MakeRouter) -> None:
    llm, judge, _ = make_router()
    llm.predict(PromptTemplate("Prove {claim}."), claim="it")
    assert judge.seen == ["Prove it."]


async def test_a_structured_llm_is_judged_by_the_question_too(
    make_router: MakeRouter, index: VectorStoreIndex, server: FakeServer
) -> None:
    class Count(BaseModel):
        """A count."""

        count: int

    server.script(FRONTIER, Reply('{"count": 6}'))
    llm, judge, records = make_router()
    structured = llm.as_structured_llm(Count)
    engine = index.as_query_engine(llm=structured, response_mode="refine", similarity_top_k=3)
    assert "6" in str(engine.query(HARD))
    assert "6" in str(await engine.aquery(HARD))
    assert set(judge.seen) == {HARD}
    assert {record.tier for record in records} == {"frontier"}
    assert "slmroute" not in str([call.body for call in server.calls()])


def test_a_context_chat_engine_is_judged_by_the_users_turn(make_router: MakeRouter, index: VectorStoreIndex) -> None:
    llm, judge, records = make_router()
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
    engine = index.as_chat_engine(chat_mode="context", llm=llm, memory=memory)
    engine.chat(EASY)
    assert judge.seen == [EASY]
    assert [record.tier for record in records] == ["small"]
