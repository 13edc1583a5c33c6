"""What a call has cost, and what it would have cost at the last tier."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from slmroute.attempt import Attempt
from slmroute.price import UNPRICED, PriceBook, Priced
from slmroute.steps import Usage
from slmroute.tier import Tier

__all__ = ["baseline_of", "price_of"]


def price_of(attempt: Attempt, tier: Tier, prices: PriceBook) -> Priced:
    """Price an attempt at a tier's prices; one that was routed itself costs what all of that did."""
    if attempt.within.calls:
        return UNPRICED if attempt.within.unpriced else Priced(attempt.within.cost, "routed")
    return prices.price(
        tier, attempt.usage, provider=attempt.provider, model=attempt.model, seconds=attempt.busy_s or 0.0
    )


def baseline_of(final: Attempt, last_tier: Tier, prices: PriceBook) -> Decimal | None:
    """Tell what the same call would have cost at the last tier, without the draft that it may have been shown.

    Args:
        final: The attempt whose answer the caller got, priced.
        last_tier: The router's last tier.
        prices: The router's prices.

    Returns:
        Dollars; None where they cannot be known.
    """
    # That a tier's own class asked again does not mean that the last tier's would have.
    usage = final.last_usage or final.usage
    if usage is None or usage.source == "cached":
        return final.priced.cost
    if final.draft_tokens:
        prompt = max(usage.input_tokens - final.draft_tokens, 0)
        usage = _within(usage, prompt)
    if final.name == last_tier.name:
        own = price_of(replace(final, usage=usage), last_tier, prices) if final.draft_tokens else final.priced
        return own.cost
    if last_tier.hour_price is not None:
        return None  # how long its machine would have taken is not known
    # What one provider cached or reasoned tells nothing about what the last tier would have.
    usage = Usage(usage.input_tokens, usage.output_tokens, source=usage.source)
    return prices.price(last_tier, usage, provider=None, model=None).cost


def _within(usage: Usage, prompt: int) -> Usage:
    """Give tokens as they would have been with a shorter prompt: of its parts there are no more than fit into it."""
    cached = min(usage.cached_tokens, prompt)
    written = min(usage.cache_write_tokens, prompt - cached)
    return replace(
        usage,
        input_tokens=prompt,
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=min(usage.cache_write_1h_tokens, written),
        audio_input_tokens=min(usage.audio_input_tokens, prompt),
    )
