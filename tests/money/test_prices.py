"""What things cost: the user's prices, other currencies, cached tokens, machines paid by the hour."""

from __future__ import annotations

import multiprocessing
import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.errors import ConfigError
from slmroute.machine import Machine
from slmroute.price import FREE, UNPRICED, PriceBook, Priced
from slmroute.steps import Usage
from slmroute.tier import Tier

SMALL = Tier("small", "ollama:phi3:mini", local=True)
FRONTIER = Tier("frontier", "openai:gpt-4.1")
USAGE = Usage(1_000_000, 500_000, cached_tokens=400_000, cache_write_tokens=100_000, reasoning_tokens=100_000)


def cost(tier: Tier, usage: Usage | None = USAGE, prices: Any = None, **served: Any) -> Priced:
    return PriceBook([tier], prices).price(tier, usage, **{"provider": None, "model": None} | served)


def test_two_amounts_are_for_input_and_output_cached_or_not() -> None:
    assert cost(FRONTIER, prices={"openai:gpt-4.1": ("2", "8")}) == Priced(Decimal(6), "prices:openai:gpt-4.1")
    assert cost(SMALL, prices={"small": ("0.05", "0.08")}) == Priced(Decimal("0.09"), "prices:small")


def test_a_third_and_fourth_amount_are_for_cached_tokens() -> None:
    assert cost(FRONTIER, prices={"frontier": ("2", "8", "0.5")}).cost == Decimal("1.2") + Decimal("0.2") + 4
    assert cost(FRONTIER, prices={"frontier": ("2", "8", "0.5", "2.5")}).cost == Decimal("1.45") + 4


def test_a_tier_has_prices_of_its_own_for_cached_tokens() -> None:
    prices: dict[str, Any] = {"input_price": "2", "output_price": "8"}
    usage = USAGE  # a million read, of which 400,000 from the cache and 100,000 to it; 500,000 written
    assert cost(Tier("big", "openai:a", **prices), usage) == Priced(Decimal(6), "tier:big")
    cheap = Tier("big", "openai:a", **prices, cached_input_price="0.5 EUR @ 2")
    assert cost(cheap, usage) == Priced(Decimal(6) - Decimal("0.4"), "tier:big")
    both = Tier("big", "openai:a", **prices, cached_input_price="0.5", cache_write_price="2.5")
    assert cost(both, usage) == Priced(Decimal("1.45") + 4, "tier:big")
    assert cost(both, usage).cost == cost(FRONTIER, usage, {"frontier": ("2", "8", "0.5", "2.5")}).cost


@pytest.mark.parametrize("setting", ["cached_input_price", "cache_write_price"])
def test_a_price_for_cached_tokens_goes_with_those_for_others(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting):
        Tier("big", "openai:a", **{setting: "1"})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=setting):
        Tier("big", "openai:a", input_price=1, output_price=1, **{setting: "-1"})  # type: ignore[arg-type]


def test_the_public_list_knows_cached_tokens() -> None:
    priced = cost(FRONTIER, Usage(1_000_000, 0, cached_tokens=400_000))
    assert priced == Priced(Decimal("1.4"), "genai-prices:openai/gpt-4.1")


def test_reasoning_is_paid_for_as_output_and_once() -> None:
    with_reasoning, without = Usage(10, 1000, reasoning_tokens=900), Usage(10, 1000)
    for prices in (None, {"frontier": ("2", "8")}):
        assert cost(FRONTIER, with_reasoning, prices) == cost(FRONTIER, without, prices)


def test_what_is_not_known_is_unpriced_and_what_was_not_called_is_free() -> None:
    assert cost(SMALL) == UNPRICED
    assert cost(SMALL, provider="deepseek", model="deepseek-chat") == UNPRICED  # never by a local model's name
    assert cost(Tier("mine", object()), provider=None) == UNPRICED
    assert cost(FRONTIER, model="gpt-of-next-year") == UNPRICED
    assert cost(FRONTIER, None) == FREE
    assert cost(FRONTIER, Usage(5, 5, source="cached")) == FREE


@pytest.mark.parametrize("amount", ["0.05 EUR @ 1.08", " 0.05  EUR@1.08 "])
def test_another_currency_comes_with_its_rate(amount: str) -> None:
    tier = Tier("small", "ollama:a", input_price=amount, output_price="1")
    assert tier.input_price == Decimal("0.054")
    assert cost(SMALL, Usage(1_000_000, 0), {"small": (amount, 0)}).cost == Decimal("0.054")
    assert Tier("gpu", "ollama:a", hour_price="0.60 EUR @ 1.08").hour_price == Decimal("0.648")


@pytest.mark.parametrize(
    "amount",
    ["0.05 EUR", "EUR", "0.05 EUR @", "x EUR @ 1", "0.05 EUR @ -1", "1 EUR @ NaN", "€1", "2 EUR @ 0", "-1 EUR @ -1"],
)
def test_a_currency_without_a_usable_rate_is_refused(amount: str) -> None:
    with pytest.raises(ConfigError, match="input_price"):
        Tier("small", "ollama:a", input_price=amount, output_price="1")


@pytest.mark.parametrize(
    "amounts", ["28", ("2",), ("2", "8", "1", "1", "1"), 3, None, {"input": 2}, ("2", "-8"), ("a", "b")]
)
def test_prices_that_cannot_be_read_are_refused_by_name(amounts: Any) -> None:
    with pytest.raises(ConfigError, match=r"prices\['frontier'\]"):
        PriceBook([FRONTIER], {"frontier": amounts})


def test_the_version_tells_any_two_sets_of_prices_apart() -> None:
    books = [
        PriceBook([SMALL, FRONTIER]),
        PriceBook([SMALL, FRONTIER], {"small": ("1", "1")}),
        PriceBook([SMALL, FRONTIER], {"small": ("1", "1", "0.5")}),
        PriceBook([Tier("small", "ollama:a", input_price=1, output_price=1), FRONTIER]),
        PriceBook([Tier("small", "ollama:a", input_price=1, output_price=1, cached_input_price="0.5"), FRONTIER]),
        PriceBook([Tier("small", "ollama:a", input_price=1, output_price=1, cache_write_price="0.5"), FRONTIER]),
        PriceBook([Tier("small", "ollama:a", hour_price=1), FRONTIER]),
        PriceBook([Tier("small", "ollama:a", hour_price="1 EUR @ 1.1"), FRONTIER]),
    ]
    assert len({book.version for book in books}) == len(books)
    assert books[0].version.endswith("own none")
    assert PriceBook([SMALL, FRONTIER], {"small": ("1", "1")}).version == books[1].version


def test_an_hour_costs_what_it_says_beside_the_tokens() -> None:
    tier = Tier("gpu", "ollama:a", local=True, hour_price=36, input_price=1, output_price=1)
    priced = cost(tier, Usage(1_000_000, 0), seconds=10.0)
    assert priced == Priced(Decimal("1.1"), "tier:gpu", Decimal(36), Decimal("0.1"))


steps = st.lists(st.tuples(st.floats(0, 100), st.booleans(), st.integers(0, 9)), max_size=60)


@given(steps)
def test_what_calls_are_charged_adds_up_to_the_time_the_machine_was_busy(steps: list[tuple[float, bool, int]]) -> None:
    machine, now, busy = Machine(), 1000.0, 0.0
    running: list[float] = []
    charged: list[float] = []
    for seconds, begins, which in [*steps, *((1.0, False, 0) for _ in steps)]:
        now += seconds
        busy += seconds if running else 0.0
        if begins:
            running.append(machine.begin(now))
        elif running:
            charged.append(machine.end(running.pop(which % len(running)), now))
    assert not running
    assert sum(charged) == pytest.approx(busy)
    assert all(seconds >= 0 for seconds in charged)


def test_a_machine_shares_each_second_among_those_that_run_in_it() -> None:
    machine = Machine()
    first = machine.begin(0.0)
    second = machine.begin(10.0)
    assert machine.end(second, 14.0) == 2.0
    assert machine.end(first, 15.0) == 13.0
    assert pickle.loads(pickle.dumps(machine)).begin(99.0) == 0.0  # noqa: S301


def test_a_forked_child_pays_for_its_own_calls_alone() -> None:
    machine = Machine()
    machine.begin(0.0)

    def in_child(charged: Any) -> None:
        charged.value = machine.end(machine.begin(10.0), 12.0)

    fork = multiprocessing.get_context("fork")
    charged = fork.Value("d")
    child = fork.Process(target=in_child, args=(charged,))
    child.start()
    child.join()
    assert charged.value == 2.0
