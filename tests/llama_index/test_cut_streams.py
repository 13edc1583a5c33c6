"""A stream that is left is charged for the prompt as its first chunks told it, cached tokens and all."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from llama_index.core.llms import ChatMessage, ChatResponse, MockLLM

from llama_index_slmroute import RoutingLLM
from slmroute import Tier


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
