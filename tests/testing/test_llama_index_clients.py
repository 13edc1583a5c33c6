"""LlamaIndex's unmodified OpenAI and Ollama against the fake server."""

from __future__ import annotations

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import FunctionTool
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from slmroute.testing import FakeServer, Reply

MODEL = "gpt-4.1"
WIRES = ("openai", "ollama")
pytestmark = pytest.mark.usefixtures("closed_clients")

HELLO = [ChatMessage(content="Where is it?")]


class City(BaseModel):
    """A city."""

    name: str
    people: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def llm(server: FakeServer, wire: str) -> FunctionCallingLLM:
    if wire == "openai":
        return OpenAI(model=MODEL, api_base=server.openai_url, api_key="canary", max_retries=0)
    return Ollama(model=MODEL, base_url=server.url)


@pytest.mark.parametrize("wire", WIRES)
async def test_text_is_the_same_in_all_four_ways(server: FakeServer, wire: str) -> None:
    server.script(MODEL, Reply("Paris it is.", input_tokens=100, output_tokens=10))
    model = llm(server, wire)
    streamed = list(model.stream_chat(HELLO))
    astreamed = [part async for part in await model.astream_chat(HELLO)]
    assert model.chat(HELLO).message.content == "Paris it is."
    assert (await model.achat(HELLO)).message.content == "Paris it is."
    assert "".join(part.delta or "" for part in streamed) == streamed[-1].message.content == "Paris it is."
    assert "".join(part.delta or "" for part in astreamed) == astreamed[-1].message.content == "Paris it is."
    assert model.complete("Where?").text == "Paris it is."
    assert len(server.calls(MODEL)) == 5
    assert server.cancelled == 0


def test_the_raw_answers_carry_the_usage(server: FakeServer) -> None:
    server.script(MODEL, Reply("Paris.", input_tokens=100, output_tokens=10))
    usage = llm(server, "openai").chat(HELLO).raw.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (100, 10)
    raw = llm(server, "ollama").chat(HELLO).raw
    assert (raw["prompt_eval_count"], raw["eval_count"]) == (100, 10)


def test_open_ai_gives_log_probabilities(server: FakeServer) -> None:
    server.script(MODEL, Reply("Paris it", logprobs=[-0.1, -0.2]))
    model = OpenAI(model=MODEL, api_base=server.openai_url, api_key="k", max_retries=0, logprobs=True, top_logprobs=1)
    logprobs = model.chat(HELLO).logprobs
    assert [token[0].logprob for token in logprobs or ()] == [-0.1, -0.2]


@pytest.mark.parametrize("wire", WIRES)
async def test_tools_are_called(server: FakeServer, wire: str) -> None:
    server.script(MODEL, Reply(tool_calls=[("add", {"a": 1, "b": 2})]))
    model, tool = llm(server, wire), FunctionTool.from_defaults(add)
    responses = [
        model.chat_with_tools([tool], user_msg="1+2?"),
        await model.achat_with_tools([tool], user_msg="1+2?"),
        list(model.stream_chat_with_tools([tool], user_msg="1+2?"))[-1],
        [part async for part in await model.astream_chat_with_tools([tool], user_msg="1+2?")][-1],
    ]
    for response in responses:
        (call,) = model.get_tool_calls_from_response(response)
        assert (call.tool_name, call.tool_kwargs) == ("add", {"a": 1, "b": 2})


@pytest.mark.parametrize("wire", WIRES)
async def test_structured_output_parses(server: FakeServer, wire: str) -> None:
    server.script(MODEL, Reply('{"name": "Paris", "people": 2100000}'))
    model = llm(server, wire).as_structured_llm(City)
    assert model.chat(HELLO).raw == City(name="Paris", people=2_100_000)
    assert (await model.achat(HELLO)).raw == City(name="Paris", people=2_100_000)


def test_ollama_takes_its_window_from_the_server(server: FakeServer) -> None:
    server.script(MODEL, Reply("hi"), window=4096)
    assert llm(server, "ollama").metadata.context_window == 4096
