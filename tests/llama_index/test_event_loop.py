"""Nothing that is awaited holds up the event loop: no file, no socket and no wait on its thread that blocks."""

from __future__ import annotations

import builtins
import io
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import tiktoken
from llama_index.core import VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool
from llama_index.core.utils import get_tokenizer
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from llama_index_slmroute import RoutingLLM
from slmroute import Confidence, Tier
from slmroute.ledger import Ledger
from slmroute.testing import FakeServer, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
HELLO = [ChatMessage(content="Hello?")]

pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step"),
]


class Floors(BaseModel):
    """How many floors there are."""

    count: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOL = FunctionTool.from_defaults(add)


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Note, and refuse, what would block the thread that the test's own event loop runs on; other threads may."""
    seen: list[str] = []
    loops_thread: list[int] = []

    def refuse(holder: Any, name: str, *, blocks: Callable[..., bool] = lambda *args, **kwargs: True) -> None:
        real = getattr(holder, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            if loops_thread == [threading.get_ident()] and blocks(*args, **kwargs):
                seen.append(f"{name}{args[:1]}")
                raise AssertionError(f"{name} would hold up the event loop")
            return real(*args, **kwargs)

        monkeypatch.setattr(holder, name, watched)

    get_tokenizer()("LlamaIndex reads its tokenizer's file when it is first used.")
    refuse(httpx.Client, "send")
    refuse(socket, "getaddrinfo")
    refuse(socket.socket, "connect", blocks=lambda self, *args: self.gettimeout() != 0)
    refuse(time, "sleep")
    refuse(sqlite3, "connect")
    refuse(tiktoken, "get_encoding")
    refuse(tiktoken, "encoding_for_model")
    for module in (builtins, io):
        refuse(module, "open")
    loops_thread.append(threading.get_ident())
    yield seen
    loops_thread.clear()


def tiers_of_objects(server: FakeServer) -> list[Tier]:
    return [
        Tier("small", Ollama(model=SMALL, base_url=server.url)),
        Tier("frontier", OpenAI(model=FRONTIER, api_base=server.openai_url, api_key="k", max_retries=0)),
    ]


def tiers_of_strings(server: FakeServer) -> list[Tier]:
    return [
        Tier("small", f"ollama:{SMALL}", model_args={"base_url": server.url}),
        Tier("frontier", f"openai:{FRONTIER}", model_args={"base_url": server.openai_url, "api_key": "k"}),
    ]


@pytest.fixture(params=[tiers_of_objects, tiers_of_strings], ids=["objects", "strings"])
def llm(request: pytest.FixtureRequest, server: FakeServer, tmp_path: Path) -> Iterator[RoutingLLM]:
    """A router whose every call asks both tiers, and writes into a real ledger."""
    server.script(SMALL, Reply('{"count": 5}', logprobs=[-3.0]), window=8000)
    server.script(FRONTIER, answer)
    ledger = Ledger(f"sqlite:///{tmp_path}/slmroute.db")
    yield RoutingLLM(tiers=request.param(server), classifier=None, escalation=Confidence(0.85), ledger=ledger)
    ledger.close()


def answer(body: Any) -> Reply:
    messages = str(body["messages"])
    if body.get("tools") and body["messages"][-1]["role"] != "tool":
        return Reply(tool_calls=[("add", {"a": 1, "b": 2})])
    if "Action Input" in messages and "Observation: 3" not in messages:
        return Reply('Thought: I need a tool.\nAction: add\nAction Input: {"a": 1, "b": 2}')
    return Reply("Thought: I can answer now.\nAnswer: It is 3." if "Action Input" in messages else '{"count": 6}')


async def drained(stream: Any) -> list[Any]:
    return [part async for part in await stream]


async def test_no_way_of_asking_does(llm: RoutingLLM, blocked: list[str], server: FakeServer) -> None:
    prompt, structured = PromptTemplate("How many?"), llm.as_structured_llm(Floors)
    assert llm.metadata.is_function_calling_model
    await llm.achat(HELLO)
    await llm.acomplete("Hello?")
    await llm.apredict(prompt)
    await llm.achat_with_tools([TOOL], user_msg="1+2?")
    await llm.apredict_and_call([TOOL], "1+2?")
    await llm.astructured_predict(Floors, prompt)
    await structured.achat(HELLO)
    await structured.acomplete("Hello?")
    for stream in (
        llm.astream_chat(HELLO),
        llm.astream_complete("Hello?"),
        llm.astream(prompt),
        llm.astream_chat_with_tools([TOOL], user_msg="1+2?"),
        llm.astream_structured_predict(Floors, prompt),
        structured.astream_chat(HELLO),
    ):
        assert await drained(stream)
    assert blocked == []
    assert len(server.calls(FRONTIER)) == 14


async def test_no_engine_does(llm: RoutingLLM, blocked: list[str]) -> None:
    index = VectorStoreIndex([TextNode(text=f"Report {number} of the floors.") for number in range(3)])
    for mode in ("compact", "refine", "tree_summarize", "accumulate"):
        engine = index.as_query_engine(llm=llm, response_mode=mode, similarity_top_k=3)
        assert str(await engine.aquery("How many floors?"))
    streamed: Any = await index.as_query_engine(llm=llm, streaming=True).aquery("How many floors?")
    assert [text async for text in streamed.async_response_gen()]
    memory = ChatMemoryBuffer.from_defaults(token_limit=1_000)
    chat: Any = index.as_chat_engine(chat_mode="context", llm=llm, memory=memory)
    assert str(await chat.achat("How many floors?"))
    spoken = await chat.astream_chat("And how high?")
    assert [text async for text in spoken.async_response_gen()]
    assert blocked == []


@pytest.mark.parametrize("kind", [FunctionAgent, ReActAgent])
async def test_no_agent_does(llm: RoutingLLM, blocked: list[str], kind: Any) -> None:
    memory = ChatMemoryBuffer.from_defaults(token_limit=1_000)
    assert str(await kind(tools=[add], llm=llm).run("What is 1+2?", memory=memory))
    assert blocked == []


async def test_the_default_classifier_does_not(blocked: list[str], server: FakeServer) -> None:
    for model in (SMALL, FRONTIER):
        server.script(model, Reply("Well."))
    llm = made_outside(lambda: RoutingLLM(tiers=tiers_of_strings(server)))
    assert (await llm.achat(HELLO)).message.content == "Well."
    assert (await drained(llm.astream_chat([ChatMessage(content="Prove that it halts.")])))[
        -1
    ].message.content == "Well."
    assert blocked == []


def made_outside(make: Callable[[], RoutingLLM]) -> RoutingLLM:
    """Make a router as programs do, before their event loop runs."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(make).result()


async def test_what_blocks_is_noticed(blocked: list[str], server: FakeServer) -> None:
    with pytest.raises(AssertionError, match="hold up"):
        httpx.Client().get(server.url)
    with pytest.raises(AssertionError, match="hold up"):
        Path("there is none").read_text()  # noqa: ASYNC240
    with pytest.raises(AssertionError, match="hold up"):
        socket.create_connection(("127.0.0.1", 1))
    assert [each.partition("(")[0] for each in blocked] == ["send", "open", "getaddrinfo"]
