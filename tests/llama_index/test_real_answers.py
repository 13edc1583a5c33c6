"""Query engines and chat engines over the project's own files, answered by the real small model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core import Settings, SimpleDirectoryReader, SummaryIndex, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.ollama import Ollama
from pydantic import BaseModel

from llama_index_slmroute import RouteCallbackHandler, RoutingLLM
from slmroute import Confidence, Tier, route_costs

if TYPE_CHECKING:
    from slmroute.local import LocalServer

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "LICENSE", ROOT / "slmroute" / "errors.py", ROOT / "slmroute" / "context.py"]
QUESTION = "Who may use the software, and for what price?"


@pytest.fixture
def llm(local_server: LocalServer) -> RoutingLLM:
    arguments = {"base_url": local_server.url, "timeout": 120, "temperature": 0, "max_tokens": 12}
    small = Tier(
        "small",
        f"ollama:{local_server.model}",
        local=True,
        window=2048,
        input_price="0.01",
        output_price="0.01",
        model_args=arguments,
    )
    return RoutingLLM(tiers=[small, Tier("frontier", "dry-run:openai:gpt-4.1")], classifier=lambda request: 0.0)


@pytest.fixture
def index() -> VectorStoreIndex:
    documents = SimpleDirectoryReader(input_files=FILES).load_data()
    return VectorStoreIndex.from_documents(
        documents, transformations=[SentenceSplitter(chunk_size=128, chunk_overlap=16)]
    )


def test_a_query_engine_answers_from_the_projects_files(llm: RoutingLLM, index: VectorStoreIndex) -> None:
    handler = RouteCallbackHandler()
    Settings.callback_manager = CallbackManager([handler])
    Settings.llm = llm
    with route_costs() as costs:
        response: Any = index.as_query_engine(similarity_top_k=2).query(QUESTION)
    assert str(response).strip()
    assert response.source_nodes[0].metadata["file_name"] == "LICENSE"
    (route,) = response.metadata["slmroute"]
    assert (route["tier"], route["attempts"][-1]["usage"]["source"]) == ("small", "reported")
    assert costs.tiers["small"].input_tokens > 100
    assert costs.cost > 0
    assert handler.costs.calls == 1


@pytest.mark.parametrize("mode", ["refine", "tree_summarize"])
async def test_other_response_modes_answer_too(llm: RoutingLLM, index: VectorStoreIndex, mode: str) -> None:
    engine = index.as_query_engine(llm=llm, response_mode=mode, similarity_top_k=2)
    assert str(await engine.aquery(QUESTION)).strip()


def test_a_summary_index_streams_its_answer(llm: RoutingLLM) -> None:
    documents = SimpleDirectoryReader(input_files=FILES[:1]).load_data()
    response: Any = SummaryIndex.from_documents(documents).as_query_engine(llm=llm, streaming=True).query(QUESTION)
    tokens = list(response.response_gen)
    assert "".join(tokens).strip()
    assert len(tokens) > 3


async def test_a_chat_engine_keeps_up_a_conversation(llm: RoutingLLM, index: VectorStoreIndex) -> None:
    memory = ChatMemoryBuffer.from_defaults(token_limit=1000)
    engine = index.as_chat_engine(chat_mode="context", llm=llm, memory=memory, similarity_top_k=1)
    assert str(engine.chat(QUESTION)).strip()
    response = await engine.astream_chat("And who wrote it?")
    assert "".join([token async for token in response.async_response_gen()]).strip()
    assert [message.role.value for message in engine.chat_history] == ["user", "assistant"] * 2


async def test_real_log_probabilities_give_a_confidence(llm: RoutingLLM) -> None:
    sure = llm.model_copy(update={"escalation": Confidence(0.01, abort_below=0.0, first_tokens=4)})
    response = await sure.achat([ChatMessage(content="Say hello.")])
    record = response.message.additional_kwargs["slmroute"]
    assert record["tier"] == "small"
    assert 0 < record["confidence"] < 1
    chunks = [chunk async for chunk in await sure.astream_chat([ChatMessage(content="Say hello.")])]
    assert "".join(chunk.delta or "" for chunk in chunks) == response.message.content
    unsure = llm.model_copy(update={"escalation": Confidence(0.999)})
    assert unsure.chat([ChatMessage(content="Say hello.")]).message.additional_kwargs["slmroute"]["escalated"] is True


def test_a_real_structured_answer_is_parsed_and_paid_for(llm: RoutingLLM) -> None:
    class Colour(BaseModel):
        """A colour."""

        name: str

    counter = TokenCountingHandler()
    llm.callback_manager = CallbackManager([counter])
    with route_costs() as costs:
        prompt = PromptTemplate("Name the colour of {thing}.")
        colour = llm.structured_predict(Colour, prompt, llm_kwargs={"max_tokens": 48}, thing="grass")
    assert isinstance(colour, Colour)
    assert costs.tiers["small"].output_tokens == counter.completion_llm_token_count > 0


def test_router_and_bare_class_give_the_same_answer(llm: RoutingLLM, local_server: LocalServer) -> None:
    bare = Ollama(
        model=local_server.model,
        base_url=local_server.url,
        context_window=2048,
        request_timeout=120,
        temperature=0,
        additional_kwargs={"num_predict": 12},
    )
    asked = [ChatMessage(content="What is the capital of France?")]
    assert llm.chat(asked).message.content == bare.chat(asked).message.content
    routed = [chunk.delta for chunk in llm.stream_chat(asked)]
    assert routed == [chunk.delta for chunk in bare.stream_chat(asked)]
