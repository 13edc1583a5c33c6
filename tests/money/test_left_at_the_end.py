"""A stream that is left when its provider has told what it took: that is charged, and no estimate of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from llama_index.core.llms import ChatMessage, ChatResponse, MockLLM
from llama_index.llms.openai import OpenAI

from langchain_slmroute import RoutingChatModel
from llama_index_slmroute import RoutingLLM
from slmroute import Tier
from slmroute.steps import Usage
from slmroute.testing import FakeServer, Reply

MODEL = "gpt-4.1-mini"
FEW = Reply("word " * 200, input_tokens=1_000, output_tokens=3)
"""It is told of far fewer tokens than its text looks like, so that no estimate is the same."""


@pytest.fixture(autouse=True)
def _clean(closed_clients: None) -> None:
    """Every test closes its clients."""


@pytest.fixture
def server() -> Generator[FakeServer]:
    with FakeServer() as running:
        yield running


def routed(kind: type[Any], model: Any, records: list[Any], classifier: Any = None) -> Any:
    tiers = [Tier(name, model, input_price="1", output_price="1", cached_input_price="1") for name in ("small", "big")]
    return kind(tiers=tiers, classifier=classifier, hooks=[records.append])


def langchain(server: FakeServer, records: list[Any], classifier: Any = None) -> Any:
    model = ChatOpenAI(model=MODEL, base_url=server.openai_url, api_key="k", max_retries=0)
    return routed(RoutingChatModel, model, records, classifier)


def llama_index(server: FakeServer, records: list[Any], classifier: Any = None) -> Any:
    model = OpenAI(model=MODEL, api_base=server.openai_url, api_key="k", max_retries=0)
    return routed(RoutingLLM, model, records, classifier)


def charged(router: Any, records: list[Any]) -> Usage:
    assert router.engine.hooks.flush()
    (record,) = records
    assert record.status == "cancelled"
    assert record.cost * 1_000_000 == record.attempts[0].usage.input_tokens + record.attempts[0].usage.output_tokens
    return record.attempts[0].usage


def leave(chunks: Any, last: Callable[[Any], bool]) -> None:
    assert any(last(chunk) for chunk in chunks)
    chunks.close()


async def aleave(chunks: AsyncGenerator[Any], last: Callable[[Any], bool]) -> None:
    async for chunk in chunks:
        if last(chunk):
            break
    await chunks.aclose()


def test_langchains_closing_usage_is_what_is_charged(server: FakeServer) -> None:
    server.script(MODEL, FEW)
    router = langchain(server, records := [])
    leave(router.stream("Say it."), lambda chunk: chunk.usage_metadata is not None)
    assert charged(router, records) == Usage(1_000, 3)


async def test_langchains_closing_usage_is_what_is_charged_asynchronously(server: FakeServer) -> None:
    server.script(MODEL, FEW)
    router = langchain(server, records := [])
    await aleave(router.astream("Say it."), lambda chunk: chunk.usage_metadata is not None)
    assert charged(router, records) == Usage(1_000, 3)


class TellsAgain(MockLLM):
    """Tells what its stream has taken so far again and again, as Anthropic does, and has chunks after the last."""

    def stream_chat(self, messages: Any, **kwargs: Any) -> Generator[ChatResponse]:
        def chunks() -> Generator[ChatResponse]:
            begun = {"usage": {"input_tokens": 100, "cache_read_input_tokens": 900, "output_tokens": 1}}
            ended = {"usage": {"input_tokens": 100, "cache_read_input_tokens": 900, "output_tokens": 3}}
            for raw in (begun, {}, {**ended, "stop_reason": "end_turn"}, {}, {}):
                yield ChatResponse(message=ChatMessage("word " * 200), delta="word " * 200, raw=raw)

        return chunks()


def test_llama_indexs_closing_usage_is_what_is_charged() -> None:
    router = routed(RoutingLLM, TellsAgain(), records := [])
    leave(router.stream_chat([ChatMessage("Say it.")]), lambda chunk: "stop_reason" in chunk.raw)
    assert charged(router, records) == Usage(1_000, 3, cached_tokens=900)


def test_what_was_not_read_to_the_closing_usage_is_estimated(server: FakeServer) -> None:
    server.script(MODEL, FEW)
    router = langchain(server, records := [])
    leave(router.stream("Say it."), lambda chunk: "finish_reason" in chunk.response_metadata)
    usage = charged(router, records)
    assert (usage.source, usage.output_tokens > 100) == ("estimated", True)


class Asks:
    """Asks a model of LangChain's in a stream, and leaves it when its usage has come."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, _request: Any) -> float:
        leave(self.model.stream("How hard?"), lambda chunk: chunk.usage_metadata is not None)
        return 0.1


class AsksLlamaIndex(Asks):
    """Asks a model of LlamaIndex's."""

    def __call__(self, _request: Any) -> float:
        leave(self.model.stream_chat([ChatMessage("How hard?")]), lambda chunk: chunk.raw.usage is not None)
        return 0.1


@pytest.mark.parametrize("kind", ["langchain", "llama_index"])
def test_a_classifiers_stream_is_charged_so_too(server: FakeServer, kind: str) -> None:
    server.script("gpt-4.1-nano", FEW)
    included = {"stream_options": {"include_usage": True}}
    asks: Any = Asks(ChatOpenAI(model="gpt-4.1-nano", base_url=server.openai_url, api_key="k", stream_usage=True))
    if kind == "llama_index":
        asks = AsksLlamaIndex(
            OpenAI(model="gpt-4.1-nano", api_base=server.openai_url, api_key="k", additional_kwargs=included)
        )
    router = (langchain if kind == "langchain" else llama_index)(server, records := [], classifier=asks)
    server.script(MODEL, Reply("Yes.", input_tokens=9, output_tokens=1))
    _ = router.invoke("Yes?") if kind == "langchain" else router.chat([ChatMessage("Yes?")])
    assert router.engine.hooks.flush()
    assert records[0].attempts[0].usage == Usage(1_000, 3)
