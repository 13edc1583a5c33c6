"""A stream that is left is charged for the prompt as its first chunks told it, cached tokens and all, and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.llms import ChatMessage, ChatResponse, MockLLM
from llama_index.core.schema import TextNode
from pydantic import BaseModel

from llama_index_slmroute import RoutingLLM
from slmroute import Tier
from slmroute.testing import FakeServer, Reply


class Floors(BaseModel):
    """How many floors there are."""

    count: int


class TellsAtOnce(MockLLM):
    """Tells its prompt's tokens with its first word, as Anthropic does."""

    def stream_chat(self, messages: Any, **kwargs: Any) -> Generator[ChatResponse]:
        def chunks() -> Generator[ChatResponse]:
            for place, word in enumerate(("one ", "two ", "three ")):
                usage = {"usage": {"input_tokens": 100, "cache_read_input_tokens": 900, "output_tokens": 1}}
                yield ChatResponse(message=ChatMessage(word, role="assistant"), delta=word, raw={} if place else usage)

        return chunks()


def test_what_was_told_of_a_stream_that_is_left_is_charged() -> None:
    records: list[Any] = []
    prices: dict[str, Any] = {"input_price": "1", "output_price": "1", "cached_input_price": "0.1"}
    tiers = [Tier("cheap", MockLLM(), input_price=0, output_price=0), Tier("big", TellsAtOnce(), **prices)]
    llm = RoutingLLM(tiers=tiers, classifier=lambda _request: 0.9, hooks=[records.append])
    chunks = llm.stream_chat([ChatMessage("word " * 2000)])
    next(chunks)
    next(chunks)
    chunks.close()
    assert llm.engine.hooks.flush()
    cut = records[0].attempts[-1]
    assert (cut.usage.input_tokens, cut.usage.cached_tokens, cut.usage.source) == (1000, 900, "estimated")
    assert (cut.usage.output_tokens > 1, cut.cost > 0) == (True, True)


async def chat(llm: RoutingLLM) -> Any:
    return await llm.astream_chat([ChatMessage("A hard one.")])


async def objects(llm: RoutingLLM) -> Any:
    return await llm.as_structured_llm(Floors).astream_chat([ChatMessage("A hard one.")])


async def query(llm: RoutingLLM) -> Any:
    engine = VectorStoreIndex([TextNode(text="A report.")]).as_query_engine(llm=llm, streaming=True)
    answer: Any = await engine.aquery("A hard one.")
    return answer.async_response_gen()


@pytest.mark.parametrize("ask", [chat, objects, query])
def test_an_event_loop_that_ends_before_a_stream_closes_it_once(
    bench: Any, server: FakeServer, caplog: pytest.LogCaptureFixture, ask: Any
) -> None:
    server.script("gpt-4.1", Reply('{"count": 6, "more": "of it all the way, and further on"}'))
    made, held = bench(), []

    async def begin() -> None:
        held.append(await ask(made.llm))
        async for _ in held[0]:
            break

    asyncio.run(begin())
    assert caplog.messages == []
    assert [record.tier for record in made.records] == ["frontier"]
