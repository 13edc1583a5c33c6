"""A call of the log in the terms of an audit: its prompt, its tokens, what it cost and how long it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from slmroute.audit.currency import DOLLARS, NoRateError, currency_name, read_rates
from slmroute.audit.formats import Format, at, first_prompt
from slmroute.errors import ConfigError
from slmroute.price import PriceBook
from slmroute.request import CHARACTERS_PER_TOKEN
from slmroute.steps import Usage
from slmroute.tier import Tier

__all__ = ["Assumptions", "LoggedCall", "call_of", "logged_cost"]

MILLION: Final = 1_000_000

Doc = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What is taken for granted where the log is silent.

    Attributes:
        frontier: The model, as ``provider:model``, whose list price is used where the log has no cost.
        prices: Dollars for a million input and output tokens of that model, where given.
        answer_tokens: The tokens of an answer whose length is not told.
        rates: Dollars for one unit of other currencies.

    Raises:
        ConfigError: A rate is of no use.
    """

    frontier: str = "openai:gpt-4.1"
    prices: tuple[Decimal, Decimal] | None = None
    answer_tokens: int = 200
    rates: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])

    def __post_init__(self) -> None:
        object.__setattr__(self, "rates", read_rates(self.rates))

    def dollars(self, amount: float, currency: str) -> float:
        """Give an amount in dollars.

        Raises:
            NoRateError: No rate of its currency is known.
        """
        if currency == DOLLARS:
            return amount
        if currency not in self.rates:
            raise NoRateError(f"--rate {currency}=DOLLARS is missing: there are costs in {currency}.")
        return amount * float(self.rates[currency])

    def frontier_price(self) -> tuple[float, float]:
        """Give the dollars for a million input and output tokens of the frontier.

        Raises:
            ConfigError: No price is known for it.
        """
        if self.prices is not None:
            return float(self.prices[0]), float(self.prices[1])
        found = list_price(*self.frontier.partition(":")[::2])
        if found is None:
            raise ConfigError(
                f"--frontier {self.frontier}: no price is known for it. Give one with --frontier-price IN,OUT "
                "(dollars for a million tokens), or another model."
            )
        return found[:2]


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One call.

    Attributes:
        place: Its number in its file.
        text: The text to judge.
        input_tokens: Tokens of the prompt.
        output_tokens: Tokens of the answer.
        cost: Dollars.
        cost_source: ``logged``; ``listed``, the tokens at the list price of the log's model; ``assumed``, at the
            frontier's; ``unreadable``, at one of these, because what the log says is no number.
        tokens_source: ``logged`` or ``estimated``.
        latency_ms: How long it took, or None.
        category: What kind of task the log says it was, or None.
    """

    place: int
    text: str = field(repr=False)
    input_tokens: int
    output_tokens: int
    cost: float
    cost_source: str
    tokens_source: str
    latency_ms: float | None
    category: str | None


def call_of(place: int, doc: Doc, given: Format, assumed: Assumptions) -> LoggedCall | None:
    """Read a record.

    Args:
        place: Its number.
        doc: The record.
        given: The log's format.
        assumed: What is taken for granted.

    Returns:
        None where it has no prompt.

    Raises:
        NoRateError: Its cost is in a currency without a rate.
    """
    prompt = first_prompt(doc, given)
    if prompt is None:
        return None
    tokens_in, tokens_out = _number(doc, given.input_tokens), _number(doc, given.output_tokens)
    told = tokens_in is not None and tokens_out is not None
    tokens_in = tokens_in if tokens_in is not None else max(1, prompt.characters // CHARACTERS_PER_TOKEN)
    tokens_out = tokens_out if tokens_out is not None else assumed.answer_tokens
    cost, source = _cost(doc, given, assumed, tokens_in, tokens_out)
    category = _first(doc, given.category)
    return LoggedCall(
        place,
        prompt.text,
        int(tokens_in),
        int(tokens_out),
        cost,
        source,
        "logged" if told else "estimated",
        _latency(doc, given),
        category if isinstance(category, str) and category else None,
    )


def logged_cost(doc: Doc, given: Format) -> tuple[float, str] | None:
    """Give what a record says that it cost, and in which currency.

    Returns:
        None where it says nothing of use: no number, or 0 for a call that no cache answered.
    """
    logged = _number(doc, given.cost)
    if not logged and not (logged == 0 and str(_first(doc, given.cached)).lower() == "true"):
        return None
    said = _first(doc, given.currency)
    return logged or 0.0, DOLLARS if said is None else currency_name(said)


def _cost(doc: Doc, given: Format, assumed: Assumptions, tokens_in: float, tokens_out: float) -> tuple[float, str]:
    logged = logged_cost(doc, given)
    if logged is not None:
        return assumed.dollars(*logged), "logged"
    model, provider = _first(doc, given.model), _first(doc, given.provider) or given.serves
    listed = list_price(str(provider), model) if isinstance(model, str) and provider else None
    price_in, price_out = listed[:2] if listed else assumed.frontier_price()
    again = min(_number(doc, given.tokens_from_cache) or 0.0, tokens_in)
    less = again * (price_in - listed[2]) if listed else 0.0
    cost = (tokens_in * price_in + tokens_out * price_out - less) / MILLION * given.list_share
    if _first(doc, given.cost) is not None and _number(doc, given.cost) is None:
        return cost, "unreadable"
    return cost, "assumed" if listed is None else "listed"


def _latency(doc: Doc, given: Format) -> float | None:
    ms = _number(doc, given.latency_ms)
    if ms is not None:
        return ms
    seconds = _number(doc, given.latency_s)
    if seconds is not None:
        return seconds * 1000
    began, ended = _moment(_first(doc, given.began)), _moment(_first(doc, given.ended))
    return (ended - began) * 1000 if began is not None and ended is not None and ended >= began else None


def _moment(value: Any) -> float | None:
    """Read a moment as seconds: ISO 8601, or seconds or milliseconds since 1970."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 1000 if value > 1e11 else float(value)
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value.strip()).timestamp()
        except ValueError:
            return None
    return None


def _first(doc: Doc, places: Sequence[str]) -> Any:
    for place in places:
        value = at(doc, place)
        if value is not None and not (isinstance(value, str) and not value.strip()):
            return value
    return None


def _number(doc: Doc, places: Sequence[str]) -> float | None:
    value = _first(doc, places)
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.strip().removeprefix("$")
    try:
        number = float(value) if value is not None else None
    except (TypeError, ValueError):
        return None
    return number if number is not None and 0 <= number < float("inf") else None


@lru_cache(maxsize=512)
def list_price(provider: str, model: str) -> tuple[float, float, float] | None:
    """Give what a model costs in the public lists.

    Returns:
        Dollars for a million input tokens, output tokens, and input tokens read from the provider's cache; None where
        the model is not in the lists.
    """
    first, second = Tier("first", f"{provider}:{model}"), Tier("second", f"{provider}:{model}")
    book = PriceBook((first, second))
    usages = (Usage(input_tokens=1000), Usage(output_tokens=1000), Usage(input_tokens=1000, cached_tokens=1000))
    found = [book.price(first, usage, provider=provider, model=model).cost for usage in usages]
    if found[0] is None or found[1] is None:
        return None
    cached = found[0] if found[2] is None else found[2]
    return float(found[0]) * 1000, float(found[1]) * 1000, float(cached) * 1000
