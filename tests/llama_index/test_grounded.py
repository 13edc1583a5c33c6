"""A question that is asked of given material is judged as one: to find an answer in a text is simple."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Settings, SQLDatabase, SummaryIndex, VectorStoreIndex
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import (
    NLSQLTableQueryEngine,
    RouterQueryEngine,
    SubQuestionQueryEngine,
    TransformQueryEngine,
)
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.schema import TextNode
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool
from sqlalchemy import create_engine

from slmroute import EmbeddedClassifier, RouteRequest
from slmroute.testing import FakeServer, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
QUESTION = "How many days of vacation do employees get?"
HARD = "Derive the closed form of the estimator in the papers and prove its consistency, case by case."
NODES = [TextNode(text=f"Employees of group {number} get 30 days of vacation.") for number in range(3)]

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")


class Judge:
    """A classifier that remembers which requests were asked of material."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bool]] = []

    def score(self, request: RouteRequest) -> float:
        self.seen.append((request.text, request.grounded))
        return 0.0


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
def made(bench: Any, server: FakeServer, judge: Judge) -> Any:
    def answer(body: Any) -> Reply:
        said = str(body["messages"])
        if "sub_question" in said:
            return Reply('```json\n{"items": [{"sub_question": "How many?", "tool_name": "docs"}]}\n```')
        return Reply('[{"choice": 1, "reason": "it fits"}]' if "choices" in said else "30 days.", logprobs=[-0.01])

    server.script(SMALL, answer)
    server.script(FRONTIER, answer)
    made = bench(classifier=judge)
    Settings.llm = made.llm
    return made


def plain(**settings: Any) -> Any:
    return VectorStoreIndex(NODES).as_query_engine(**settings)


def tool() -> QueryEngineTool:
    return QueryEngineTool.from_defaults(plain(), name="docs", description="docs")


def chat(mode: Any) -> Callable[[str], Any]:
    memory = ChatMemoryBuffer.from_defaults(
        chat_history=[ChatMessage(content="Which group?"), ChatMessage(role="assistant", content="The first.")]
    )
    return VectorStoreIndex(NODES).as_chat_engine(chat_mode=mode, memory=memory).chat


def of_parts() -> Any:
    return SubQuestionQueryEngine.from_defaults(
        [tool()], question_gen=LLMQuestionGenerator.from_defaults(), use_async=False, verbose=False
    )


GROUNDED: dict[str, Callable[[], Callable[[str], Any]]] = {
    "compact": lambda: plain().query,
    "refine": lambda: plain(response_mode="refine").query,
    "tree_summarize": lambda: plain(response_mode="tree_summarize").query,
    "accumulate": lambda: plain(response_mode="accumulate").query,
    "summary index": lambda: SummaryIndex(NODES).as_query_engine().query,
    "hypothetical document": lambda: TransformQueryEngine(plain(), HyDEQueryTransform()).query,
    "router": lambda: RouterQueryEngine.from_defaults([tool()], selector=LLMSingleSelector.from_defaults()).query,
    "sub-questions": lambda: of_parts().query,
    "context": lambda: chat("context"),
    "condense_question": lambda: chat("condense_question"),
    "condense_plus_context": lambda: chat("condense_plus_context"),
    "a template": lambda: (
        lambda question: Settings.llm.predict(
            PromptTemplate("Use this: {docs}\nQuestion: {question}"), docs="30 days.", question=question
        )
    ),
}
OTHERS: dict[str, Callable[[], Callable[[str], Any]]] = {
    "generation": lambda: plain(response_mode="generation").query,
    "tables": lambda: NLSQLTableQueryEngine(SQLDatabase(create_engine("sqlite://")), tables=[]).query,
    "simple": lambda: chat("simple"),
    "a conversation alone": lambda: (
        lambda question: Settings.llm.predict(
            PromptTemplate("Rephrase: {chat_history}\nQuestion: {question}"), chat_history="None.", question=question
        )
    ),
    "completion": lambda: Settings.llm.complete,
}


@pytest.mark.parametrize("way", GROUNDED)
def test_a_question_asked_of_what_is_retrieved_says_so(made: Any, judge: Judge, way: str) -> None:
    GROUNDED[way]()(QUESTION)
    assert judge.seen[0][0].endswith(QUESTION)
    assert {grounded for _, grounded in judge.seen} == {True}


@pytest.mark.parametrize("way", OTHERS)
def test_one_that_knowledge_or_code_answers_does_not(made: Any, judge: Judge, way: str) -> None:
    OTHERS[way]()(QUESTION)
    assert {grounded for _, grounded in judge.seen} == {False}


@pytest.mark.parametrize(("question", "tier"), [("When do parcels leave?", "small"), (HARD, "frontier")])
def test_the_classifier_that_ships_keeps_such_questions_local_unless_they_are_hard(
    made: Any, question: str, tier: str
) -> None:
    made.llm.classifier = EmbeddedClassifier()
    plain().query(question)
    assert made.tiers == [tier]
    assert made.records[0].reason == "classified"


@pytest.mark.parametrize(
    ("template", "given", "grounded"),
    [
        ("{context_str}\n{question}", {"context_str": "Employees get 30 days of vacation."}, True),
        ("{context_msg}\n{question}", {"context_msg": "30 days."}, True),
        ("{context_str}\n{question}", {"context_str": ""}, False),
        ("Answer in {source_language}: {question}", {"source_language": "English"}, False),
        ("As a {document_type}: {question}", {"document_type": "memo"}, False),
    ],
)
def test_a_label_is_no_material(made: Any, judge: Judge, template: str, given: dict[str, str], grounded: bool) -> None:
    made.llm.predict(PromptTemplate(template), question=QUESTION, **given)
    assert judge.seen == [(QUESTION, grounded)]
