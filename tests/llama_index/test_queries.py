"""What a query engine asks for one query is one decision, made by the question alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from llama_index.core import Settings, SummaryIndex, VectorStoreIndex
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.schema import TextNode
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from llama_index_slmroute import RoutingLLM
from slmroute import Confidence, RouteRecord, RouteRequest, Tier, route_context
from slmroute.testing import FakeServer, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
NODES = [TextNode(text=f"Report {number}: prove, derive and refactor the distributed system.") for number in range(6)]
SURE = Reply("Six.", logprobs=[-0.01])
EASY, HARD = "How many reports?", "Prove that the reports are consistent."


class Judge:
    """A classifier that finds proofs hard, and remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def score(self, request: RouteRequest) -> float:
        self.seen.append(request.text)
        return 1.0 if request.text.startswith("Prove") else 0.0


class Records(list[RouteRecord]):
    """A ledger that keeps records in memory, at once."""

    def write(self, record: RouteRecord) -> None:
        self.append(record)


MakeRouter = Callable[..., tuple[RoutingLLM, Judge, Records]]


@pytest.fixture
def make_router(server: FakeServer) -> MakeRouter:
    server.script(SMALL, SURE)
    server.script(FRONTIER, SURE)

    def make(**settings: Any) -> tuple[RoutingLLM, Judge, Records]:
        judge, records = Judge(), Records()
        tiers = [
            Tier("small", Ollama(model=SMALL, base_url=server.url, context_window=8192), local=True),
            Tier("frontier", OpenAI(model=FRONTIER, api_base=server.openai_url, api_key="k", max_retries=0)),
        ]
        return RoutingLLM(tiers=tiers, **{"classifier": judge, "ledger": records, **settings}), judge, records

    return make


@pytest.fixture
def index() -> VectorStoreIndex:
    return VectorStoreIndex(NODES)


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize", "simple_summarize", "accumulate"])
@pytest.mark.parametrize(("question", "tier"), [(EASY, "small"), (HARD, "frontier")])
def test_one_decision_serves_all_calls_of_a_query(
    make_router: MakeRouter, index: VectorStoreIndex, mode: str, question: str, tier: str
) -> None:
    llm, judge, records = make_router()
    index.as_query_engine(llm=llm, response_mode=mode, similarity_top_k=6).query(question)
    assert judge.seen == [question]
    assert {record.tier for record in records} == {tier}
    assert [record.reason for record in records] == ["classified", *["scope"] * (len(records) - 1)]


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
    from llama_index.core.memory import ChatMemoryBuffer

    llm, judge, records = make_router()
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
    engine = index.as_chat_engine(chat_mode="context", llm=llm, memory=memory)
    engine.chat(EASY)
    assert judge.seen == [EASY]
    assert [record.tier for record in records] == ["small"]
