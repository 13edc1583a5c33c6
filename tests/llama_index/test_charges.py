"""What is still asked for when a stream's reader has left, and what it is charged."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage, ChatResponse, CustomLLM, LLMMetadata, MockLLM
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from llama_index_slmroute.openai_client import WatchedAsyncClient, WatchedClient
from slmroute import Confidence, Tier
from slmroute.testing import FakeServer, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
NEVER = threading.Event()
HELD = Reply("One two three four five six seven eight.", hold_after=(3, NEVER))
HARD = "A hard one."


class Person(BaseModel):
    """A person."""

    name: str


@pytest.fixture(autouse=True)
def _no_garbage_is_collected() -> Iterator[None]:
    """A request must not go on until Python happens to collect what held it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def chat(llm: Any) -> Any:
    return llm.stream_chat([ChatMessage(HARD)])


def complete(llm: Any) -> Any:
    return llm.stream_complete(HARD)


async def achat(llm: Any) -> Any:
    return await llm.astream_chat([ChatMessage(HARD)])


async def acomplete(llm: Any) -> Any:
    return await llm.astream_complete(HARD)


@pytest.mark.parametrize("strings", [False, True], ids=["objects", "strings"])
@pytest.mark.parametrize("ask", [chat, complete])
def test_openai_is_hung_up_on_when_the_reader_leaves(
    bench: Any, server: FakeServer, ask: Callable[..., Any], strings: bool
) -> None:
    server.script(FRONTIER, HELD)
    made = bench(strings=strings)
    stream = ask(made.llm)
    next(stream)
    stream.close()
    server.wait_until(lambda: server.cancelled == 1)
    (attempt,) = [each for each in made.records[0].attempts if each.role == "final"]
    assert (made.records[0].status, attempt.usage.source) == ("cancelled", "estimated")
    assert attempt.cost > 0


@pytest.mark.parametrize("leaves", ["closes", "is cancelled"])
@pytest.mark.parametrize("ask", [achat, acomplete])
async def test_openai_is_hung_up_on_when_an_asynchronous_reader_leaves(
    bench: Any, server: FakeServer, ask: Callable[..., Any], leaves: str
) -> None:
    server.script(FRONTIER, HELD)
    made, shown = bench(), asyncio.Event()

    async def read() -> None:
        stream = await ask(made.llm)
        async for _ in stream:
            shown.set()
            if leaves == "closes":
                break
        await stream.aclose()

    task = asyncio.ensure_future(read())
    await shown.wait()
    if leaves == "closes":
        await task
    else:
        task.cancel()
        await asyncio.wait([task])
    await asyncio.to_thread(server.wait_until, lambda: server.cancelled == 1)
    assert made.records[0].status == "cancelled"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_openai_is_hung_up_on_when_a_draft_is_hopeless(server: FakeServer, bench: Any, is_async: bool) -> None:
    server.script("gpt-4.1-mini", Reply("No idea at all, I fear, none.", logprobs=[-4.0] * 7, hold_after=(4, NEVER)))
    server.script(FRONTIER, Reply("It is so."))
    args = {"base_url": server.openai_url, "api_key": "canary"}
    tiers = [Tier(name, f"openai:{name}", model_args=args) for name in ("gpt-4.1-mini", FRONTIER)]
    made = bench(tiers=tiers, classifier=None, escalation=Confidence(0.85, first_tokens=4))
    if is_async:
        chunks = [chunk async for chunk in await achat(made.llm)]
    else:
        chunks = await asyncio.to_thread(lambda: list(chat(made.llm)))
    assert chunks[-1].message.content == "It is so."
    await asyncio.to_thread(server.wait_until, lambda: server.cancelled == 1)
    assert [attempt.fault for attempt in made.records[0].attempts] == ["aborted", None]


def test_openai_is_hung_up_on_when_the_reader_of_an_object_leaves(bench: Any, server: FakeServer) -> None:
    server.script(FRONTIER, Reply(chunks=['{"name"', ': "An', "na", '"}'], hold_after=(3, NEVER)))
    made = bench()
    parts = made.llm.stream_structured_predict(Person, PromptTemplate(HARD), llm_kwargs={"tier": "frontier"})
    next(parts)
    parts.close()
    server.wait_until(lambda: server.cancelled == 1)
    assert made.records[0].status == "cancelled"


async def test_the_users_own_llm_keeps_its_clients(bench: Any, server: FakeServer) -> None:
    server.script(FRONTIER, Reply("It is so."))
    made = bench()
    own: OpenAI = made.llm.tiers[1].model
    assert list(chat(made.llm))[-1].message.content == "It is so."
    chunks = [chunk async for chunk in await achat(made.llm)]
    assert chunks[-1].message.content == "It is so."
    assert not isinstance(own._client, WatchedClient)
    assert not isinstance(own._aclient, WatchedAsyncClient)
    assert server.cancelled == 0


ESSAY = "word " * 400


def left_after(server: FakeServer, made: Any, stream: Any, parts: int) -> int:
    """Leave a stream after so many parts; gives the tokens that are charged for it."""
    for _ in range(parts):
        next(stream)
    stream.close()
    usage = made.records[-1].attempts[-1].usage
    assert (made.records[-1].status, usage.source) == ("cancelled", "estimated")
    return int(usage.output_tokens)


def test_an_object_that_is_left_is_charged_as_its_text_is(bench: Any, server: FakeServer) -> None:
    written = f'{{"name": "{ESSAY}"}}'
    server.script(FRONTIER, Reply(chunks=[written[at : at + 10] for at in range(0, len(written), 10)]))
    made = bench()
    asked = {"llm_kwargs": {"tier": "frontier"}}
    charged = left_after(server, made, made.llm.stream_structured_predict(Person, PromptTemplate(HARD), **asked), 150)
    as_text = left_after(server, made, made.llm.stream_chat([ChatMessage(HARD)], tier="frontier"), 150)
    assert charged == pytest.approx(as_text, abs=10)


async def test_an_object_that_is_left_asynchronously_is_too(bench: Any, server: FakeServer) -> None:
    written = f'{{"name": "{ESSAY}"}}'
    server.script(FRONTIER, Reply(chunks=[written[at : at + 10] for at in range(0, len(written), 10)]))
    made = bench()
    stream = await made.llm.astream_structured_predict(Person, PromptTemplate(HARD), llm_kwargs={"tier": "frontier"})
    for _ in range(150):
        await anext(stream)
    await stream.aclose()
    assert 300 < made.records[0].attempts[-1].usage.output_tokens < 500


@pytest.mark.parametrize("last", [SMALL, FRONTIER], ids=["Ollama", "OpenAI"])
def test_what_a_stream_wrote_into_tool_calls_is_charged_when_it_is_left(
    bench: Any, server: FakeServer, last: str
) -> None:
    calls = [("save", {"text": f"{number} {ESSAY}"}) for number in range(3)]
    server.script(last, Reply("", tool_calls=calls, hold_after=(2, NEVER)))
    tiers = list(bench().llm.tiers)
    made = bench(tiers=tiers if last == FRONTIER else tiers[::-1], classifier=lambda request: 1.0)
    save = FunctionTool.from_defaults(lambda text: text, name="save", description="Saves a text.")
    stream = made.llm.stream_chat_with_tools([save], HARD, allow_parallel_tool_calls=True)
    written = 0
    while written < len(ESSAY):
        blocks = next(stream).message.blocks
        written = sum(len(str(block.tool_kwargs)) for block in blocks if isinstance(block, ToolCallBlock))
    assert 0.9 < left_after(server, made, stream, 0) / (len(ESSAY) / 4) < 2.1  # a call, or both that have come


class Thinker(CustomLLM):
    """Thinks long before it answers."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True)

    def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
        for thought in ("considering ",) * 200:
            yield ChatResponse(message=ChatMessage(""), delta="", additional_kwargs={"thinking_delta": thought})
        yield ChatResponse(message=ChatMessage("Four."), delta="Four.")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise AssertionError

    stream_complete = complete


def test_thoughts_are_charged_when_a_stream_is_left(bench: Any, server: FakeServer) -> None:
    made = bench(tiers=[Tier("small", MockLLM()), Tier("frontier", Thinker())])
    assert left_after(server, made, made.llm.stream_chat([ChatMessage(HARD)]), 100) == pytest.approx(300, abs=10)
