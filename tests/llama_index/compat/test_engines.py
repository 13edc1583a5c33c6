"""Query engines and chat engines: as many calls as with the bare class, and the same answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core import Settings, SummaryIndex, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.evaluation import CorrectnessEvaluator, FaithfulnessEvaluator, RelevancyEvaluator
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.schema import TextNode
from llama_index.core.selectors import LLMSingleSelector, PydanticSingleSelector
from llama_index.core.tools import QueryEngineTool
from pydantic import BaseModel

from slmroute.testing import Reply

if TYPE_CHECKING:
    from conftest import Subject

NODES = [TextNode(text=f"Fact {number}: the tower has {number} floors.") for number in range(6)]
ANSWER = Reply("Six floors.", input_tokens=100, output_tokens=10, logprobs=[-0.01, -0.01])
QUESTION = "How many floors has the tower?"


class Floors(BaseModel):
    """How many floors something has."""

    count: int


@pytest.fixture
def index(embedding: BaseEmbedding) -> VectorStoreIndex:
    return VectorStoreIndex(NODES, embed_model=embedding)


MODES = {
    "compact": 1,
    "refine": 6,
    "tree_summarize": 1,
    "simple_summarize": 1,
    "accumulate": 6,
    "compact_accumulate": 1,
}


@pytest.mark.parametrize("mode", MODES)
def test_response_modes(subject: Subject, index: VectorStoreIndex, mode: str) -> None:
    subject.says(ANSWER)
    engine = index.as_query_engine(llm=subject.llm, response_mode=mode, similarity_top_k=6)
    assert "Six floors." in str(engine.query(QUESTION))
    assert len(subject.calls) == MODES[mode]


@pytest.mark.parametrize("mode", MODES)
async def test_response_modes_asynchronously(subject: Subject, index: VectorStoreIndex, mode: str) -> None:
    subject.says(ANSWER)
    engine = index.as_query_engine(llm=subject.llm, response_mode=mode, similarity_top_k=6, use_async=True)
    assert "Six floors." in str(await engine.aquery(QUESTION))
    assert len(subject.calls) == MODES[mode]


def test_a_streamed_query(subject: Subject, index: VectorStoreIndex) -> None:
    subject.says(ANSWER)
    response = index.as_query_engine(llm=subject.llm, streaming=True).query(QUESTION)
    assert "".join(response.response_gen) == "Six floors."
    assert len(subject.calls) == 1


async def test_an_asynchronously_streamed_query(subject: Subject, index: VectorStoreIndex) -> None:
    subject.says(ANSWER)
    response = await index.as_query_engine(llm=subject.llm, streaming=True).aquery(QUESTION)
    assert "".join([token async for token in response.async_response_gen()]) == "Six floors."


def test_a_query_with_a_structured_answer(subject: Subject, index: VectorStoreIndex) -> None:
    subject.says(Reply('{"count": 6}', logprobs=[-0.01]))
    engine = index.as_query_engine(llm=subject.llm, output_cls=Floors)
    assert engine.query(QUESTION).response == Floors(count=6)


def test_the_settings_llm_is_used(subject: Subject, index: VectorStoreIndex) -> None:
    subject.says(ANSWER)
    Settings.llm = subject.llm
    assert str(index.as_query_engine().query(QUESTION)) == "Six floors."
    assert str(SummaryIndex(NODES).as_query_engine().query(QUESTION)) == "Six floors."


def chat_engine(subject: Subject, index: VectorStoreIndex, mode: str) -> Any:
    # Not the default memory, which leaves a database open.
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
    return index.as_chat_engine(chat_mode=mode, llm=subject.llm, memory=memory)


@pytest.mark.parametrize("mode", ["context", "condense_question", "condense_plus_context", "simple"])
def test_chat_engines(subject: Subject, index: VectorStoreIndex, mode: str) -> None:
    subject.says(ANSWER)
    engine = chat_engine(subject, index, mode)
    assert str(engine.chat(QUESTION)) == "Six floors."
    assert str(engine.chat("And the house?")) == "Six floors."
    assert [message.role.value for message in engine.chat_history] == ["user", "assistant"] * 2


@pytest.mark.parametrize("mode", ["context", "condense_question", "condense_plus_context", "simple"])
def test_chat_engines_stream(subject: Subject, index: VectorStoreIndex, mode: str) -> None:
    subject.says(ANSWER)
    engine = chat_engine(subject, index, mode)
    assert "".join(engine.stream_chat(QUESTION).response_gen) == "Six floors."
    assert engine.chat_history[-1].content == "Six floors."


@pytest.mark.parametrize("mode", ["context", "condense_plus_context", "simple"])
async def test_chat_engines_stream_asynchronously(subject: Subject, index: VectorStoreIndex, mode: str) -> None:
    subject.says(ANSWER)
    engine = chat_engine(subject, index, mode)
    response = await engine.astream_chat(QUESTION)
    assert "".join([token async for token in response.async_response_gen()]) == "Six floors."
    assert str(await engine.achat("And the house?")) == "Six floors."


def selects(body: Mapping[str, object]) -> Reply:
    """Choose the second engine when asked to select, and answer otherwise."""
    tools: Any = body.get("tools")
    if tools:
        return Reply(tool_calls=[(tools[0]["function"]["name"], {"index": 2, "reason": "it fits"})])
    if body.get("format") or body.get("response_format"):
        return Reply('{"index": 2, "reason": "it fits"}', logprobs=[-0.01])
    if "choice" in str(body["messages"]):
        return Reply(json.dumps([{"choice": 2, "reason": "it fits"}]), logprobs=[-0.01])
    return ANSWER


@pytest.mark.parametrize("kind", [LLMSingleSelector, PydanticSingleSelector])
def test_a_router_query_engine(subject: Subject, index: VectorStoreIndex, kind: Any) -> None:
    if kind is PydanticSingleSelector:  # it forces a tool, which Ollama cannot be made to call
        subject.all_say(selects)
    else:
        subject.says(selects)
    tools = [
        QueryEngineTool.from_defaults(index.as_query_engine(llm=subject.llm), name=name, description=name)
        for name in ("houses", "towers")
    ]
    engine = RouterQueryEngine.from_defaults(tools, llm=subject.llm, selector=kind.from_defaults(llm=subject.llm))
    response = engine.query(QUESTION)
    assert str(response) == "Six floors."
    assert response.metadata["selector_result"].ind == 1
    assert len(subject.server.calls()) - len(subject.drafts) == 2


def sub_questions(body: Mapping[str, object]) -> Reply:
    if "sub_question" in str(body["messages"]):
        items = [{"sub_question": f"How high is {which}?", "tool_name": "docs"} for which in ("one", "the other")]
        return Reply(f"```json\n{json.dumps({'items': items})}\n```", logprobs=[-0.01])
    return ANSWER


def test_a_sub_question_query_engine(subject: Subject, index: VectorStoreIndex) -> None:
    subject.says(sub_questions)
    Settings.llm = subject.llm
    tool = QueryEngineTool.from_defaults(index.as_query_engine(llm=subject.llm), name="docs", description="towers")
    generator = LLMQuestionGenerator.from_defaults(llm=subject.llm)
    engine = SubQuestionQueryEngine.from_defaults(
        [tool], llm=subject.llm, question_gen=generator, use_async=False, verbose=False
    )
    assert str(engine.query("Which tower is higher?")) == "Six floors."
    assert len(subject.calls) == 4


async def test_evaluators(subject: Subject) -> None:
    subject.says(Reply("YES", logprobs=[-0.01]))
    contexts = [node.text for node in NODES]
    for kind in (FaithfulnessEvaluator, RelevancyEvaluator):
        result = await kind(llm=subject.llm).aevaluate(query=QUESTION, response="Six floors.", contexts=contexts)
        assert result.passing is True
    assert len(subject.calls) == 2
    subject.says(Reply("4.5\nIt is right.", logprobs=[-0.01]))
    result = await CorrectnessEvaluator(llm=subject.llm).aevaluate(
        query=QUESTION, response="Six floors.", reference="Six."
    )
    assert result.score == 4.5
