"""What an attempt costs: the user's own prices first, then the public lists, by provider and never by name alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Final, cast

from slmroute.errors import ConfigError
from slmroute.policy import declared_prices
from slmroute.steps import Usage
from slmroute.tier import Money, Tier, money

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

__all__ = ["FREE", "UNPRICED", "PriceBook", "Priced", "Prices", "own_prices", "token_price", "total_of"]

Prices = Mapping[str, tuple[Money, ...]]
"""A user's prices by ``"provider:model"`` or tier name: two to four amounts, see ``PriceBook``."""

MILLION: Final = Decimal(1_000_000)
SECONDS_PER_HOUR: Final = Decimal(3600)

_LIST_NAMES: Final[Mapping[str, str]] = {
    "anthropic": "anthropic",
    "anthropic_bedrock": "aws",
    "azure": "azure",
    "azure_openai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "deepseek": "deepseek",
    "google_genai": "google",
    "google_vertexai": "google",
    "groq": "groq",
    "mistralai": "mistral",
    "openai": "openai",
    "xai": "x-ai",
}
"""The frameworks' names of providers, as the price lists call them; others are looked up as they are."""

_PROBE: Final = Usage(input_tokens=7_000, output_tokens=500, cached_tokens=2_000, cache_write_tokens=1_000)
"""Tokens of every kind, to see whether a listed price is the plain sum that it looks like."""

_SELF_HOSTED: Final = frozenset({"ollama", "llamacpp", "vllm", "slmroute"})
"""Servers that anyone can run: what a call costs there only its owner knows, whatever the model is called."""


@dataclass(frozen=True, slots=True)
class Priced:
    """A cost and where its price comes from.

    Attributes:
        cost: Dollars, or None when no price is known.
        price_id: ``tier:NAME``, ``prices:KEY``, ``genai-prices:PROVIDER/MODEL``, ``free``, ``routed`` (a router as
            a tier) or ``unpriced``.
        hour_price: Dollars for an hour of the machine, where its time is a part of the cost; else None.
        machine_cost: That part; else None.
    """

    cost: Decimal | None
    price_id: str
    hour_price: Decimal | None = None
    machine_cost: Decimal | None = None


UNPRICED: Final = Priced(None, "unpriced")
FREE: Final = Priced(Decimal(0), "free")
"""Nothing was generated or called: an in-process classifier, a cache hit, a call that failed before it began."""


def token_price(usage: Usage, input_price: Decimal, output_price: Decimal) -> Decimal:
    """Price tokens.

    Args:
        usage: The tokens.
        input_price: Dollars for a million input tokens.
        output_price: Dollars for a million output tokens.

    Returns:
        Dollars, exact.
    """
    return (usage.input_tokens * input_price + usage.output_tokens * output_price) / MILLION


def total_of(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Add amounts up; None where one of them is not known."""
    total = Decimal(0)
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total


class PriceBook:
    """The prices in force for one router.

    Args:
        tiers: The router's tiers. Public price lists are read at once (0.2 s) when one needs them: no call waits.
        prices: The user's prices beside those on the tiers: ``{"openai:gpt-4.1": ("2", "8")}``, dollars for a million
            input and output tokens, by ``"provider:model"`` or by a tier's name. A third and a fourth amount are for
            input tokens that are read from a provider's cache and written to it, which else cost as much as others.
        named: The ``"provider:model"`` of tiers whose model is an object, or is served by another than its string
            says, by the tier's name, as far as the adapter knows them; without it what such a tier would have cost is
            only known once it has answered.
        asked: The classifier and the judge, whose own prices are a part of the version.

    Attributes:
        version: What the records refer to: the public list's version and a hash of the user's prices.

    Raises:
        ConfigError: A price is not an amount, or tiers are not cheapest first by their list prices.
    """

    def __init__(
        self,
        tiers: Sequence[Tier],
        prices: Prices | None = None,
        named: Mapping[str, str] | None = None,
        asked: Sequence[object] = (),
    ) -> None:
        self._own = {key: _own_prices(key, amounts) for key, amounts in (prices or {}).items()}
        self._declared = [
            (tier.name, tier.input_price, tier.output_price, tier.hour_price, *_cache_prices(tier))
            for tier in tiers
            if tier.input_price is not None or tier.hour_price is not None
        ]
        self._asked = [own_prices(each, "a classifier's or judge's price") for each in asked]
        self._named = dict(named or {})
        self._flat: dict[str, _Flat] = {}
        self._check_order(tiers)
        self.version = self._versions()

    def _versions(self) -> str:
        # Read at once: the installed version stands in a file, and a call's record may be made in an event loop.
        from importlib.metadata import version

        prices = (sorted(self._own.items()), self._declared, [own for own in self._asked if own is not None])
        own = hashlib.sha256(repr(prices).encode()).hexdigest()[:8] if any(prices) else "none"
        return f"genai-prices {version('genai-prices')}, own {own}"

    def price(
        self, tier: Tier, usage: Usage | None, *, provider: str | None, model: str | None, seconds: float = 0.0
    ) -> Priced:
        """Price one attempt.

        Args:
            tier: The tier that was called, or that the baseline imagines called.
            usage: Its tokens; None when nothing was generated.
            provider: Who served it, as the framework names it; by default the one in the tier's model string.
            model: The model's name as the provider reports it; by default the one in the tier's model string.
            seconds: How long the machine was busy with it, for tiers priced by the hour.
        """
        if usage is None and tier.hour_price is not None and seconds > 0:
            usage = Usage()  # a call that failed has kept the machine busy all the same
        if usage is None or usage.source == "cached":
            return FREE
        if not usage.adds_up:
            return UNPRICED
        if tier.input_price is not None or tier.hour_price is not None:
            return _declared(tier, usage, seconds)
        named = self._named.get(tier.name) or tier.spec or ":"
        provider, model = provider or named.partition(":")[0], model or named.partition(":")[2]
        for key in (tier.name, f"{provider}:{model}", named, tier.spec) if self._own else ():
            if key in self._own:
                return self._own[key].price(usage)
        return UNPRICED if tier.local else self.price_of(usage, provider, model)

    def price_of(self, usage: Usage, provider: str, model: str, *, asked_for: str | None = None) -> Priced:
        """Price tokens of a model that is no tier's, a classifier's for example.

        Args:
            usage: The tokens.
            provider: Who served it, as the framework names it; may be empty.
            model: The model's name, as the provider reports it.
            asked_for: The name it was asked for by, where that is another: the user's prices may be under either.
        """
        if usage.source == "cached":
            return FREE
        if not usage.adds_up:
            return UNPRICED
        key = f"{provider}:{model}"
        for name in (key, f"{provider}:{asked_for}") if self._own else ():
            if name in self._own:
                return self._own[name].price(usage)
        if not provider or provider in _SELF_HOSTED:
            return UNPRICED
        special = _is_special(usage)
        flat = None if special else self._flat.get(key)
        if flat is not None and usage.input_tokens <= flat.up_to_tokens:
            return flat.price(usage)
        found = _list_price(usage, provider, model)
        if found is None:
            return UNPRICED
        if flat is None and not special and (flat := _flat_prices(found, _list_price(_PROBE, provider, model))):
            self._flat[key] = flat
        return Priced(found.total_price, _list_id(found, usage.service_tier))

    def _check_order(self, tiers: Sequence[Tier]) -> None:
        sample = Usage(input_tokens=3_000, output_tokens=1_000)
        listed = [(tier, self.price(tier, sample, provider=None, model=None).cost) for tier in tiers]
        priced = [(tier, cost) for tier, cost in listed if cost is not None and tier.hour_price is None]
        for (low, low_cost), (high, high_cost) in pairwise(priced):
            if high_cost < low_cost:
                raise ConfigError(
                    f"tiers= must be cheapest first, but {self._shown(high)} costs less than {self._shown(low)}, which "
                    "stands before it: swap them, or set input_price= and output_price=."
                )

    def _shown(self, tier: Tier) -> str:
        """Name a tier and its model; a model object's own text may hold its key."""
        return f"{tier.name!r} ({self._named.get(tier.name) or tier.spec or type(tier.model).__name__})"


def own_prices(asked: object, setting: str) -> tuple[Decimal, Decimal] | None:
    """Give the prices that a classifier or a judge declares, in dollars for a million input and output tokens.

    Raises:
        ConfigError: One is no amount.
    """
    input_price: Money | None = getattr(asked, "input_price", None)
    output_price: Money | None = getattr(asked, "output_price", None)
    if input_price is None or output_price is None:
        return None
    return money(input_price, setting), money(output_price, setting)


def _own_prices(key: str, amounts: tuple[Money, ...]) -> _Flat:
    if not isinstance(amounts, Sequence) or isinstance(amounts, str) or not 2 <= len(amounts) <= 4:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(
            f'prices[{key!r}]={amounts!r} must be two amounts, dollars for a million input and output tokens: ("2", '
            '"8"); a third is for cached input, a fourth for what is written to the cache.'
        )
    read = [money(amount, f"prices[{key!r}][{place}]") for place, amount in enumerate(amounts)]
    uncached, output, cached, written = (*read, read[0], read[0])[:4]
    return _Flat(uncached, cached, written, output, f"prices:{key}", math.inf)


def _declared(tier: Tier, usage: Usage, seconds: float) -> Priced:
    tokens = Decimal(0) if tier.input_price is None else _declared_tokens(tier, usage)
    if tier.hour_price is None:
        return Priced(tokens, f"tier:{tier.name}")
    hour_price = cast("Decimal", tier.hour_price)  # a tier reads its prices when it is made
    time = hour_price * Decimal(str(round(seconds, 6))) / SECONDS_PER_HOUR
    return Priced(tokens + time, f"tier:{tier.name}", hour_price, time)


def _declared_tokens(tier: Tier, usage: Usage) -> Decimal:
    uncached, output = declared_prices(tier)
    cost = token_price(usage, uncached, output)
    cached, written = _cache_prices(tier) or (None, None)
    if cached is not None:
        cost += usage.cached_tokens * (cached - uncached) / MILLION
    if written is not None:
        cost += usage.cache_write_tokens * (written - uncached) / MILLION
    return cost


def _cache_prices(tier: Tier) -> tuple[Decimal | None, ...]:
    """Give the prices that a tier declares for its provider's cache, read and written; nothing where it has none."""
    prices = (tier.cached_input_price, tier.cache_write_price)
    return () if prices == (None, None) else cast("tuple[Decimal | None, ...]", prices)


@dataclass(frozen=True, slots=True)
class _Flat:
    """The prices of a model that asks the same for every token of a kind, in dollars for a million.

    The public list's own calculation takes longer than all the rest of a routed call; for prices as plain as these,
    sums do. Where prompts over a length cost more, ``up_to_tokens`` is that length.
    """

    uncached: Decimal
    cached: Decimal
    cache_write: Decimal
    output: Decimal
    price_id: str
    up_to_tokens: float

    def price(self, usage: Usage) -> Priced:
        """Price tokens."""
        plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        cost = plain * self.uncached + usage.output_tokens * self.output
        if usage.cached_tokens or usage.cache_write_tokens:
            cost += usage.cached_tokens * self.cached + usage.cache_write_tokens * self.cache_write
        return Priced(cost / MILLION, self.price_id)


def _list_price(usage: Usage, provider: str, model: str) -> PriceCalculation | None:
    from genai_prices import Usage as ListUsage
    from genai_prices import calc_price

    # How much of the sound came from the cache is not told: as little as can be.
    cached_audio = max(usage.cached_tokens + usage.audio_input_tokens - usage.input_tokens, 0)
    tokens = ListUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens or None,
        cache_write_tokens=usage.cache_write_tokens or None,
        cache_write_1h_tokens=usage.cache_write_1h_tokens or None,
        input_audio_tokens=usage.audio_input_tokens or None,
        cache_audio_read_tokens=cached_audio if usage.audio_input_tokens and usage.cached_tokens else None,
        output_audio_tokens=usage.audio_output_tokens or None,
    )
    listed = _LIST_NAMES.get(provider, provider)
    service = None if usage.service_tier is None else {"service_tier": usage.service_tier}
    try:
        found = calc_price(tokens, model_ref=model, provider_id=listed, price_context=service)
    except (LookupError, ValueError):  # not in the lists, or not so many tokens of a kind
        return None
    if service is not None and all(variant.when != service for variant in found.model.price_variants or ()):
        return None  # what the list gives is the usual price
    # The lists also take a name that is like one of theirs: "my-openai-proxy" has prices of its own.
    return found if found.provider.id == listed else None


def _is_special(usage: Usage) -> bool:
    """Whether tokens are among these that have prices beside the four of ``_Flat``."""
    sound = usage.audio_input_tokens or usage.audio_output_tokens
    return bool(sound or usage.cache_write_1h_tokens or usage.service_tier)


def _list_id(found: PriceCalculation, service_tier: str | None = None) -> str:
    named = f"genai-prices:{found.provider.id}/{found.model.id}"
    return named if service_tier is None else f"{named}@{service_tier}"


def _flat_prices(found: PriceCalculation, probed: PriceCalculation | None) -> _Flat | None:
    """Read the prices of a model where a sum gives them, for prompts up to some length at least."""
    from genai_prices.types import TieredPrices

    asked = dict[str, object](vars(found.model_price))
    uncached, output = asked.get("input_mtok"), asked.get("output_mtok")
    prices = [uncached, asked.get("cache_read_mtok") or uncached, asked.get("cache_write_mtok") or uncached, output]
    steps = [step.start for price in prices if isinstance(price, TieredPrices) for step in price.tiers]
    plain = [price.base if isinstance(price, TieredPrices) else price for price in prices]
    # Prices that change with the date or the hour are looked up each time.
    if isinstance(found.model.prices, list) or probed is None:
        return None
    match plain:
        case [Decimal() as fresh, Decimal() as cached, Decimal() as written, Decimal() as generated]:
            flat = _Flat(fresh, cached, written, generated, _list_id(found), min(steps, default=math.inf))
            return flat if flat.price(_PROBE).cost == probed.total_price else None
        case _:
            return None
