"""Prices of the public lists and of the user: which one counts, and that the quick sum is the list's own."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage as ListUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from slmroute.errors import ConfigError
from slmroute.price import FREE, UNPRICED, PriceBook, token_price
from slmroute.steps import Usage
from slmroute.tier import Tier

MODELS = [
    ("openai", "gpt-4.1"),
    ("anthropic", "claude-haiku-4-5"),
    ("anthropic", "claude-sonnet-4-5"),  # dearer from 200,000 tokens on
    ("google", "gemini-2.5-pro"),
    ("groq", "llama-3.1-8b-instant"),
    ("deepseek", "deepseek-chat"),  # cheaper at some hours
]
BOOK = PriceBook([])


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    total = draw(st.integers(0, 400_000))
    cached = draw(st.integers(0, total))
    written = draw(st.integers(0, total - cached))
    return Usage(total, draw(st.integers(0, 50_000)), cached, written)


@given(usages(), st.sampled_from(MODELS))
def test_list_prices_are_the_lists_own(usage: Usage, named: tuple[str, str]) -> None:
    provider, model = named
    expected = calc_price(
        ListUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens or None,
            cache_write_tokens=usage.cache_write_tokens or None,
        ),
        model_ref=model,
        provider_id=provider,
    )
    assert BOOK.price_of(usage, provider, model).cost == expected.total_price


@pytest.mark.parametrize("own", [{}, {"input_price": 2, "output_price": 8, "cached_input_price": 1}])
def test_usage_that_contradicts_itself_is_unpriced_at_a_tier_s_own_prices(own: Any) -> None:
    tier = Tier("frontier", "openai:gpt-4.1", **own)
    for usage in (Usage(10, 1, 20), Usage(10, 1, -1), Usage(10, 1, audio_output_tokens=2), Usage(10, -1)):
        for book in (PriceBook([tier]), PriceBook([tier], {"frontier": (2, 8, 1)})):
            assert book.price(tier, usage, provider=None, model=None) == UNPRICED


def test_usage_that_contradicts_itself_is_unpriced() -> None:
    book = PriceBook([])
    for provider, model in MODELS:
        assert book.price_of(Usage(10, 1, 20), provider, model) == UNPRICED
        assert book.price_of(Usage(20, 1, 10), provider, model) != UNPRICED
        assert book.price_of(Usage(10, 1, 20), provider, model) == UNPRICED


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.decimals(0, 1000, places=6), st.decimals(0, 1000, places=6))
def test_a_price_is_exact(read: int, written: int, input_price: Decimal, output_price: Decimal) -> None:
    cost = token_price(Usage(read, written), input_price, output_price)
    assert cost * 1_000_000 == read * input_price + written * output_price


def test_a_tiers_own_price_comes_first_then_the_users_then_the_lists() -> None:
    usage = Usage(1_000_000, 0)
    declared = Tier("a", "openai:gpt-4.1", input_price="7", output_price="9")
    listed = Tier("b", "openai:gpt-4.1")
    book = PriceBook([declared], {"openai:gpt-4.1": ("5", "6"), "c": ("4", "4")})
    assert book.price(declared, usage, provider=None, model=None).cost == 7
    assert book.price(listed, usage, provider=None, model=None).price_id == "prices:openai:gpt-4.1"
    assert book.price(Tier("c", "openai:gpt-4.1"), usage, provider=None, model=None).cost == 4
    assert BOOK.price(listed, usage, provider=None, model=None).cost == 2


def test_the_model_that_answered_is_priced_not_the_one_asked_for() -> None:
    tier = Tier("a", "openai:gpt-4.1")
    answered = BOOK.price(tier, Usage(1_000_000, 0), provider="openai", model="gpt-4.1-nano-2025-04-14")
    assert answered.cost == Decimal("0.1")


@pytest.mark.parametrize("spec", ["ollama:deepseek-r1:7b", "vllm:gpt-oss-20b", "ollama:gpt-4.1"])
def test_a_model_on_ones_own_server_is_never_priced_by_its_name(spec: str) -> None:
    assert BOOK.price(Tier("a", spec), Usage(10, 10), provider=None, model=None) == UNPRICED
    local = Tier("a", spec.replace("ollama", "openai"), local=True)
    assert BOOK.price(local, Usage(10, 10), provider=None, model=None) == UNPRICED


def test_what_a_model_object_is_can_be_told() -> None:
    tier = Tier("frontier", object())
    assert BOOK.price(tier, Usage(1_000_000, 0), provider=None, model=None) == UNPRICED
    told = PriceBook([tier], named={"frontier": "openai:gpt-4.1"})
    assert told.price(tier, Usage(1_000_000, 0), provider=None, model=None).cost == 2
    assert told.price(tier, Usage(1_000_000, 0), provider="openai", model="gpt-4.1-nano").cost == Decimal("0.1")


def test_what_was_not_generated_costs_nothing_and_what_was_and_is_not_known_is_no_zero() -> None:
    tier = Tier("a", "openai:gpt-4.1")
    assert BOOK.price(tier, None, provider=None, model=None) == FREE
    assert BOOK.price(tier, Usage(9, 9, source="cached"), provider=None, model=None) == FREE
    unknown = Tier("b", "openai:never-heard-of")
    assert BOOK.price(unknown, Usage(9, 9), provider=None, model=None).cost is None


def test_a_local_tier_may_be_declared_free() -> None:
    tier = Tier("a", "ollama:a", local=True, input_price=0, output_price="0")
    priced = BOOK.price(tier, Usage(9, 9), provider=None, model=None)
    assert priced.cost == 0
    assert priced.price_id == "tier:a"


def test_tiers_that_are_not_cheapest_first_by_the_list_are_refused() -> None:
    big, small = Tier("big", "openai:gpt-4.1"), Tier("small", "openai:gpt-4.1-nano")
    with pytest.raises(ConfigError, match=r"'small'.*costs less than 'big'.*swap them"):
        PriceBook([big, small])
    with pytest.raises(ConfigError, match="swap them"):
        PriceBook([Tier("x", object()), Tier("y", object())], named={"x": "openai:gpt-4.1", "y": "openai:gpt-4.1-nano"})


def test_a_provider_that_only_sounds_like_a_listed_one_has_no_list_price() -> None:
    for provider in ("openai_compatible", "my-openai-proxy", "custom-google"):
        assert BOOK.price_of(Usage(1_000, 100), provider, "gpt-4.1") == UNPRICED
        assert BOOK.price_of(Usage(1_000, 100), provider, "gemini-2.5-pro") == UNPRICED


def test_a_call_that_failed_has_kept_a_paid_machine_busy() -> None:
    machine = Tier("gpu", "ollama:a", local=True, hour_price="3600")
    found = BOOK.price(machine, None, provider=None, model=None, seconds=1.5)
    assert (found.cost, found.hour_price) == (Decimal("1.5"), Decimal(3600))
    assert BOOK.price(machine, None, provider=None, model=None) == FREE


def test_the_version_tells_of_a_classifiers_and_a_judges_prices() -> None:
    class Asked:
        def __init__(self, price: str) -> None:
            self.input_price = self.output_price = price

    versions = {PriceBook([], asked=asked).version for asked in ((), (Asked("1"),), (Asked("2"),), (None, Asked("3")))}
    assert len(versions) == 4
    assert PriceBook([], asked=(None, None)).version == BOOK.version


def test_a_price_that_nothing_has_is_refused_wherever_it_is_given() -> None:
    class Asked:
        input_price, output_price = "1", "1e400"

    with pytest.raises(ConfigError, match=r"prices\['a:b'\]\[1\]='1e400' is over 1,000,000,000 dollars"):
        PriceBook([], {"a:b": ("1", "1e400")})
    with pytest.raises(ConfigError, match="a classifier's or judge's price='1e400' is over"):
        PriceBook([], asked=(Asked(),))
