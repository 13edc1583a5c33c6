"""What a tier's server refuses, or does not say, is no matter of the caller's, and is not asked for again and again."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Mapping
from typing import Any

import ollama
import pytest
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from slmroute import Confidence, Tier
from slmroute.testing import FakeServer, Fault, Reply

SMALL, FRONTIER, REASONER = "llama3.1:8b", "gpt-4.1", "o4-mini"
HELLO = [ChatMessage(content="Hello?")]
FLOORS = PromptTemplate("How many floors has {what}?")
NO_TOOLS = Fault(400, body={"error": "registry.ollama.ai/library/llama3.1:8b does not support tools"})
NO_LOGPROBS = Fault(400, body={"error": {"message": "logprobs are not supported with reasoning models."}})


class Floors(BaseModel):
    """How many floors there are."""

    count: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def subtract(a: int, b: int) -> int:
    """Subtract one number from another."""
    return a - b


TOOLS = [FunctionTool.from_defaults(add), FunctionTool.from_defaults(subtract)]
Ask = Callable[..., Any]


async def stream(llm: Any, **kwargs: Any) -> None:
    assert list(llm.stream_chat_with_tools(TOOLS, user_msg="1+2?", **kwargs))


async def astream(llm: Any, **kwargs: Any) -> None:
    assert [chunk async for chunk in await llm.astream_chat_with_tools(TOOLS, user_msg="1+2?", **kwargs)]


async def whole(llm: Any, **kwargs: Any) -> None:
    llm.chat_with_tools(TOOLS, user_msg="1+2?", **kwargs)


async def awhole(llm: Any, **kwargs: Any) -> None:
    await llm.achat_with_tools(TOOLS, user_msg="1+2?", **kwargs)


WITH_TOOLS = [whole, awhole, stream, astream]


@pytest.mark.parametrize("strings", [True, False])
@pytest.mark.parametrize("ask", WITH_TOOLS)
async def test_a_model_that_refuses_tools_is_passed_over_from_then_on(
    bench: Any, server: FakeServer, ask: Ask, strings: bool
) -> None:
    server.script(SMALL, lambda body: NO_TOOLS if body.get("tools") else Reply("Small."))
    server.script(FRONTIER, Reply(tool_calls=[("add", {"a": 1, "b": 2})]))
    made = bench(strings=strings)
    for _ in range(2):
        await ask(made.llm)
    assert [record.events for record in made.records] == [("unable:small",), ()]
    assert [call.model for call in server.calls()] == [SMALL, FRONTIER, FRONTIER]
    made.llm.chat(HELLO)
    assert made.tiers == ["frontier", "frontier", "small"]


@pytest.mark.parametrize("ask", WITH_TOOLS)
@pytest.mark.parametrize("choice", ["add", {"type": "function", "function": {"name": "add"}}])
async def test_an_answer_that_calls_another_tool_than_the_one_demanded_escalates(
    bench: Any, server: FakeServer, ask: Ask, choice: Any
) -> None:
    tiers = [
        Tier(name, OpenAI(model=model, api_base=server.openai_url, api_key="k", max_retries=0))
        for name, model in (("small", "gpt-4.1-mini"), ("frontier", FRONTIER))
    ]
    server.script("gpt-4.1-mini", Reply(tool_calls=[("subtract", {"a": 1, "b": 2})]))
    server.script(FRONTIER, Reply(tool_calls=[("add", {"a": 1, "b": 2})]))
    made = bench(tiers=tiers, classifier=None)
    await ask(made.llm, tool_choice=choice)
    assert (made.tiers, made.records[0].escalated) == (["frontier"], True)


def cascade(bench: Any, server: FakeServer, reply: Reply) -> Any:
    def script(body: Mapping[str, Any]) -> Fault | Reply:
        return NO_LOGPROBS if body.get("logprobs") else reply

    server.script(REASONER, script)
    server.script(FRONTIER, Reply('{"count": 6}', input_tokens=100, output_tokens=10))
    tiers = [
        Tier(name, OpenAI(model=model, api_base=server.openai_url, api_key="k", max_retries=0))
        for name, model in (("first", REASONER), ("second", FRONTIER))
    ]
    return bench(tiers=tiers, classifier=None, escalation=Confidence(0.85))


async def chat(llm: Any) -> None:
    llm.chat(HELLO)


async def achat(llm: Any) -> None:
    await llm.achat(HELLO)


async def stream_chat(llm: Any) -> None:
    assert list(llm.stream_chat(HELLO))


async def astream_chat(llm: Any) -> None:
    assert [chunk async for chunk in await llm.astream_chat(HELLO)]


async def complete(llm: Any) -> None:
    llm.complete("Hello?")


async def structured(llm: Any) -> None:
    assert llm.structured_predict(Floors, FLOORS, what="it").count


async def astructured(llm: Any) -> None:
    assert [part async for part in await llm.astream_structured_predict(Floors, FLOORS, what="it")]


@pytest.mark.parametrize("ask", [chat, achat, stream_chat, astream_chat, complete, structured, astructured])
async def test_a_model_that_refuses_log_probabilities_is_asked_without_and_that_is_remembered(
    bench: Any, server: FakeServer, ask: Ask
) -> None:
    made = cascade(bench, server, Reply('{"count": 5}', input_tokens=20, output_tokens=5))
    for _ in range(2):
        await ask(made.llm)
    asked = [(call.model, bool(call.body.get("logprobs"))) for call in server.calls()]
    assert asked == [(REASONER, True), (REASONER, False), (FRONTIER, False), (REASONER, False), (FRONTIER, False)]
    for record in made.records:
        draft, final = record.attempts
        assert (draft.tier, draft.confidence, draft.fault) == ("first", None, "low_confidence")
        assert (draft.usage.input_tokens, final.usage.input_tokens) == (20, 100)


def test_log_probabilities_that_the_caller_asks_for_are_the_callers_error(bench: Any, server: FakeServer) -> None:
    made = cascade(bench, server, Reply("Well."))
    with pytest.raises(Exception, match="logprobs are not supported"):
        made.llm.chat(HELLO, logprobs=True)
    assert len(server.calls()) == 1


PICTURE = [ChatMessage(blocks=[TextBlock(text="What is it?"), ImageBlock(url="data:image/png;base64,iVBORw0KGgo=")])]


def shows(server: FakeServer) -> int:
    return sum(request.path == "/api/show" for request in server.requests)


@pytest.mark.parametrize("strings", [True, False])
@pytest.mark.parametrize("ask", WITH_TOOLS)
async def test_a_model_whose_server_says_that_it_takes_no_tools_is_passed_over(
    bench: Any, server: FakeServer, ask: Ask, strings: bool
) -> None:
    server.script(SMALL, Reply("Small."), capabilities=("completion",))
    server.script(FRONTIER, Reply(tool_calls=[("add", {"a": 1, "b": 2})]))
    made = bench(strings=strings)
    for _ in range(2):
        await ask(made.llm)
    assert [call.model for call in server.calls()] == [FRONTIER, FRONTIER]
    assert shows(server) == 1
    made.llm.chat(HELLO)
    assert (made.tiers[-1], made.records[-1].events) == ("small", ())


async def test_a_model_that_sees_nothing_is_shown_no_picture(bench: Any, server: FakeServer) -> None:
    server.script(FRONTIER, Reply("A tower."))
    for capabilities, tier in ((("completion",), "frontier"), (("completion", "vision"), "small")):
        server.script(SMALL, Reply("Small."), capabilities=capabilities)
        made, other = bench(), bench()
        made.llm.chat(PICTURE)
        assert [chunk async for chunk in await other.llm.astream_chat(PICTURE)]
        assert [*made.tiers, *other.tiers] == [tier, tier]
    assert shows(server) == 4


def test_nothing_is_asked_of_a_server_that_a_call_need_not_know(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply("Small."), capabilities=("completion",))
    made = bench(tiers=[dataclasses.replace(bench().llm.tiers[0], abilities=["tools"]), bench().llm.tiers[1]])
    made.llm.chat(HELLO)
    made.llm.chat_with_tools(TOOLS, user_msg="1+2?")
    assert (made.tiers, shows(server)) == (["small", "small"], 0)


def test_what_a_server_says_of_its_model_lengthens_no_context_that_is_set(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply("Small."), window=100_000)
    for strings, window in ((True, 4096), (False, 8192)):
        made = bench(strings=strings)
        made.llm.chat_with_tools(TOOLS, user_msg="1+2?")
        assert made.llm.metadata.context_window == window
        assert server.calls()[-1].body["options"].get("num_ctx") == (None if strings else window)


class SlowToTell(ollama.Client):
    """A client whose server never says anything of its models."""

    told = threading.Event()

    def show(self, model: str) -> ollama.ShowResponse:
        self.told.wait(10)
        raise AssertionError(model)


class SlowToTellLoops(ollama.AsyncClient):
    """The same for event loops."""

    async def show(self, model: str) -> ollama.ShowResponse:
        await asyncio.sleep(10)
        raise AssertionError(model)


async def test_a_server_that_says_nothing_of_its_model_holds_up_no_call(
    bench: Any, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slmroute.ollama_shown.PATIENCE_S", 0.01)
    server.script(SMALL, Reply("Small."))
    clients = {"client": SlowToTell(server.url), "async_client": SlowToTellLoops(server.url)}
    small = Ollama(model=SMALL, **clients)
    made, other = (
        bench(tiers=[Tier("small", small, local=True), Tier("frontier", "dry-run:openai:gpt-4.1")]) for _ in range(2)
    )
    made.llm.chat(HELLO)
    await other.llm.achat(HELLO)
    assert await asyncio.to_thread(lambda: made.llm.metadata.context_window) == DEFAULT_CONTEXT_WINDOW
    assert [*made.tiers, *other.tiers] == ["small", "small"]
    assert ["num_ctx" in call.body["options"] for call in server.calls()] == [False, False]
    SlowToTell.told.set()
