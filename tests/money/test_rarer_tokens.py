"""Tokens with prices of their own: other classes of service, kept in a cache for an hour, sound."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from anthropic.types import Usage as AnthropicUsage
from langchain_anthropic.chat_models import _create_usage_metadata as anthropic_usage
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_openai.chat_models.base import _create_usage_metadata, _create_usage_metadata_responses
from llama_index.core.llms import ChatMessage, ChatResponse

from langchain_slmroute.messages import answer_of
from llama_index_slmroute.answers import answer_of as answer_of_llama_index
from slmroute.ledger import Ledger, LedgerReader
from slmroute.price import UNPRICED, PriceBook, Priced
from slmroute.record import AttemptRecord, RouteRecord
from slmroute.steps import Usage, summed
from slmroute.tier import Tier

CHAT: dict[str, Any] = {
    "prompt_tokens": 1000,
    "completion_tokens": 100,
    "total_tokens": 1100,
    "prompt_tokens_details": {"cached_tokens": 800},
    "completion_tokens_details": {"reasoning_tokens": 60},
}
RESPONSES: dict[str, Any] = {
    "input_tokens": 1000,
    "output_tokens": 100,
    "total_tokens": 1100,
    "input_tokens_details": {"cached_tokens": 800},
    "output_tokens_details": {"reasoning_tokens": 60},
}
SERVED = Usage(1000, 100, cached_tokens=800, reasoning_tokens=60)


def priced(spec: str, usage: Usage | None, **settings: Any) -> Priced:
    tier = Tier("tier", spec, **settings)
    return PriceBook([tier]).price(tier, usage, provider=None, model=None)


def in_langchain(usage: Any, **message: Any) -> Usage | None:
    return answer_of(AIMessage("Yes.", usage_metadata=usage, **message), "openai").usage


def in_llama_index(**raw: Any) -> Usage | None:
    return answer_of_llama_index([ChatResponse(message=ChatMessage("Yes."), raw=raw)], "openai").usage


@pytest.mark.parametrize("service", [None, "flex", "priority"])
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_classes_of_service_are_read_alike(service: str | None, api: str) -> None:
    read, body = (_create_usage_metadata, CHAT) if api == "chat" else (_create_usage_metadata_responses, RESPONSES)
    expected = Usage(1000, 100, 800, 0, 60, service_tier=service)
    assert in_langchain(read(body, service)) == expected
    given = {"usage": body, "service_tier": service}
    assert (in_llama_index(**given) if api == "chat" else in_llama_index(response=given)) == expected


def test_a_streams_chunks_add_up_to_their_class_of_service() -> None:
    chunk = AIMessageChunk("Yes", usage_metadata=_create_usage_metadata(CHAT, "flex"))
    assert answer_of(AIMessageChunk("") + chunk + AIMessageChunk("."), "openai").usage == Usage(
        1000, 100, 800, 0, 60, service_tier="flex"
    )


def test_each_class_of_service_has_its_price() -> None:
    def flex(service: str | None) -> Usage:
        return Usage(1000, 100, 800, 0, 60, service_tier=service)

    assert priced("openai:gpt-5", flex(None)) == Priced(Decimal("0.00135"), "genai-prices:openai/gpt-5")
    assert priced("openai:gpt-5", flex("flex")) == Priced(Decimal("0.000675"), "genai-prices:openai/gpt-5@flex")
    assert priced("openai:gpt-5", flex("priority")) == Priced(Decimal("0.0027"), "genai-prices:openai/gpt-5@priority")
    # Nobody says what this model costs so: the usual price would be wrong.
    assert priced("openai:gpt-4.1", flex("flex")) == UNPRICED
    # What the user says holds for whatever is served.
    own = priced("openai:gpt-4.1", flex("flex"), input_price="1", output_price="1")
    assert own.cost == Decimal("0.0011")


def test_what_is_written_to_a_cache_for_an_hour_costs_more() -> None:
    told = {
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_creation_input_tokens": 1500,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
    }
    expected = Usage(1510, 5, cache_write_tokens=1500, cache_write_1h_tokens=1000)
    usage = AnthropicUsage.model_validate(told)
    assert in_langchain(anthropic_usage(usage)) == expected
    assert in_llama_index(usage=usage) == in_llama_index(usage=told) == expected
    cost = 10 * 3 + 500 * Decimal("3.75") + 1000 * 6 + 5 * 15
    assert priced("anthropic:claude-sonnet-4-5", expected).cost == cost / 1_000_000


def test_sound_has_prices_of_its_own() -> None:
    body = {
        **CHAT,
        "prompt_tokens_details": {"audio_tokens": 900},
        "completion_tokens_details": {"audio_tokens": 50},
    }
    expected = Usage(1000, 100, audio_input_tokens=900, audio_output_tokens=50)
    assert in_langchain(_create_usage_metadata(body)) == in_llama_index(usage=body) == expected
    cost = 100 * Decimal("2.5") + 900 * 32 + 50 * 10 + 50 * 64
    assert priced("openai:gpt-audio", expected).cost == cost / 1_000_000
    # A model whose sound is cached, too: as little of it as can be.
    cached = Usage(1000, 0, cached_tokens=500, audio_input_tokens=600)
    cost = 400 * Decimal("0.4") + 100 * Decimal("0.4") + 500 * 32
    assert priced("openai:gpt-realtime", cached).cost == cost / 1_000_000


def test_plain_tokens_cost_the_same_before_and_after() -> None:
    book = PriceBook([Tier("tier", "openai:gpt-5")])
    costs = [
        book.price_of(usage, "openai", "gpt-5").cost
        for usage in (SERVED, Usage(1000, 100, 800, service_tier="flex"), SERVED, SERVED)
    ]
    assert costs == [Decimal("0.00135"), Decimal("0.000675"), Decimal("0.00135"), Decimal("0.00135")]


def test_parts_must_fit_into_their_whole() -> None:
    assert SERVED.plausible
    assert not Usage(10, 1, cache_write_tokens=5, cache_write_1h_tokens=6).plausible
    assert not Usage(10, 1, audio_input_tokens=11).plausible
    assert not Usage(10, 1, audio_output_tokens=2).plausible
    assert not Usage(10, 1, audio_output_tokens=-1).plausible


def test_calls_add_up_and_differ_in_their_class_of_service() -> None:
    one = Usage(
        10, 5, 1, 4, 2, cache_write_1h_tokens=3, audio_input_tokens=2, audio_output_tokens=1, service_tier="flex"
    )
    assert summed(one, one) == Usage(
        20, 10, 2, 8, 4, cache_write_1h_tokens=6, audio_input_tokens=4, audio_output_tokens=2, service_tier="flex"
    )
    both = summed(one, Usage(1, 1))
    assert both is not None
    assert both.service_tier is None


def test_records_and_the_ledger_keep_them_apart(tmp_path: Any) -> None:
    usage = Usage(
        10, 5, 1, 4, 2, cache_write_1h_tokens=3, audio_input_tokens=2, audio_output_tokens=1, service_tier="flex"
    )
    attempts = tuple(
        AttemptRecord(role="final", tier="big", usage=each, cost=Decimal(1)) for each in (usage, Usage(1, 1))
    )
    record = RouteRecord(call_id="1", started_at=datetime.now(UTC), status="ok", attempts=attempts, cost=Decimal(2))
    rare, plain = (attempt["usage"] for attempt in record.to_json()["attempts"])  # type: ignore[attr-defined]
    assert (rare["cache_write_1h_tokens"], rare["audio_input_tokens"], rare["service_tier"]) == (3, 2, "flex")
    assert (plain["cache_write_1h_tokens"], plain["audio_output_tokens"], plain["service_tier"]) == (0, 0, None)
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.write(record)
    (stored,) = LedgerReader(tmp_path / "ledger.db").calls()
    assert [attempt.usage for attempt in stored.record.attempts] == [usage, Usage(1, 1)]
