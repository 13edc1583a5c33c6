"""The unmodified ChatOpenAI and ChatOllama against the fake server."""

from __future__ import annotations

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from slmroute.steps import Usage
from slmroute.testing import FakeServer, Reply

pytestmark = pytest.mark.usefixtures("closed_clients")

WIRES = ("openai", "ollama")


class City(BaseModel):
    """A city."""

    name: str
    people: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def chat_model(server: FakeServer, wire: str) -> BaseChatModel:
    if wire == "openai":
        return ChatOpenAI(
            model="m", base_url=server.openai_url, api_key="canary", max_retries=0, stream_usage=True, logprobs=True
        )
    return ChatOllama(model="m", base_url=server.url, logprobs=True)


def joined(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return total


async def answers(model: BaseChatModel, prompt: str) -> list[AIMessage]:
    """The same call in the four ways there are."""
    return [
        model.invoke(prompt),
        await model.ainvoke(prompt),
        joined(list(model.stream(prompt))),
        joined([chunk async for chunk in model.astream(prompt)]),
    ]


@pytest.mark.parametrize("wire", WIRES)
async def test_text_usage_and_log_probabilities_are_the_same_in_all_four_ways(server: FakeServer, wire: str) -> None:
    server.script("m", Reply("Paris it is.", logprobs=[-0.1, -0.2, -0.3], input_tokens=100, output_tokens=10))
    for answer in await answers(chat_model(server, wire), "Where?"):
        assert answer.content == "Paris it is."
        assert answer.usage_metadata is not None
        assert (answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]) == (100, 10)
        logprobs = answer.response_metadata["logprobs"]
        tokens = logprobs["content"] if isinstance(logprobs, dict) else logprobs
        assert [token["logprob"] for token in tokens] == [-0.1, -0.2, -0.3]
        assert answer.response_metadata["model_name"] == "m"
    assert server.bill == {"m": Usage(400, 40)}
    assert len(server.calls("m")) == 4
    assert server.cancelled == 0


@pytest.mark.parametrize("wire", WIRES)
async def test_tools_are_called_and_their_results_are_taken(server: FakeServer, wire: str) -> None:
    server.script("m", Reply(tool_calls=[("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})]))
    model = chat_model(server, wire)
    for answer in await answers(model.bind_tools([add]), "1+2?"):  # type: ignore[arg-type]
        assert [call["args"] for call in answer.tool_calls] == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
        assert len({call["id"] for call in answer.tool_calls}) == 2
    assert server.requests[0].body["tools"]
    server.script("m", Reply("3 and 7."))
    results = [ToolMessage("3", tool_call_id=call["id"]) for call in answer.tool_calls]
    history = [HumanMessage("1+2?"), answer, *results]
    assert model.invoke(history).content == "3 and 7."


@pytest.mark.parametrize("wire", WIRES)
async def test_structured_output_parses(server: FakeServer, wire: str) -> None:
    server.script("m", Reply('{"name": "Paris", "people": 2100000}'))
    model = chat_model(server, wire).with_structured_output(City, method="json_schema")
    assert model.invoke("Where?") == City(name="Paris", people=2_100_000)
    assert await model.ainvoke("Where?") == City(name="Paris", people=2_100_000)
    body = server.requests[0].body
    assert "people" in str(body["response_format"] if wire == "openai" else body["format"])


async def test_a_batch_is_answered_whole(server: FakeServer) -> None:
    server.script("m", lambda body: Reply(str(body["messages"][-1]["content"])))  # type: ignore[index]
    prompts = [f"prompt {number}" for number in range(20)]
    for wire in WIRES:
        model = chat_model(server, wire)
        assert [answer.content for answer in model.batch(prompts)] == prompts  # type: ignore[arg-type]
        assert [answer.content for answer in await model.abatch(prompts)] == prompts  # type: ignore[arg-type]


def test_a_missing_model_is_found_out_when_chat_ollama_is_made(server: FakeServer) -> None:
    server.script("phi3:mini", Reply("hi"))
    ChatOllama(model="phi3:mini", base_url=server.url, validate_model_on_init=True)
    with pytest.raises(ValueError, match="not found in Ollama"):
        ChatOllama(model="other", base_url=server.url, validate_model_on_init=True)
