"""A mix of calls over tiers, and what it costs: nothing is rounded but for display."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from slmroute.errors import ConfigError

__all__ = ["Bill", "Mix", "TierShare", "bill", "break_even", "plain"]


@dataclass(frozen=True, slots=True)
class TierShare:
    """A tier's part of the traffic.

    Attributes:
        name: The tier.
        share: The share of all calls that start there, in [0, 1].
        price: Dollars for one call.
    """

    name: str
    share: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How calls spread over the tiers, and what each kind of call costs.

    Attributes:
        tiers: Cheapest first; their shares add up to 1.
        classifier: Dollars for one classification; every call has one.
        escalated: The share of the answers below the last tier that are thrown away and asked again of the last one.
    """

    tiers: tuple[TierShare, ...]
    classifier: Decimal
    escalated: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        if len(self.tiers) < 2:
            raise ConfigError("tiers= needs two or more tiers, cheapest first: small=0.8:0.001 frontier=0.2:0.03")
        names = [tier.name for tier in self.tiers]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"Two tiers are called {twice!r}: give each a name of its own.")
        total = sum((tier.share for tier in self.tiers), Decimal(0))
        if total != 1:
            raise ConfigError(f"The tiers' shares add up to {total.normalize():f}, not 1: correct one of them.")

    @property
    def local_share(self) -> Decimal:
        """The share of calls that start below the last tier."""
        return 1 - self.tiers[-1].share

    def with_local_share(self, share: Decimal) -> Mix:
        """Give the mix with another share below the last tier, spread as before (evenly where there was none)."""
        share = min(max(share, Decimal(0)), Decimal(1))
        low, old = self.tiers[:-1], self.local_share
        parts = [tier.share / old if old else Decimal(1) / len(low) for tier in low[:-1]]
        parts.append(1 - sum(parts, Decimal(0)))
        tiers = [TierShare(tier.name, part * share, tier.price) for tier, part in zip(low, parts, strict=True)]
        rest = 1 - sum((tier.share for tier in tiers), Decimal(0))
        last = TierShare(self.tiers[-1].name, rest, self.tiers[-1].price)
        return Mix(tiers=(*tiers, last), classifier=self.classifier, escalated=self.escalated)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a number of calls costs.

    Attributes:
        calls: How many.
        classifier: Dollars for classifying each of them.
        tiers: Dollars for the calls that started at each tier.
        escalations: Dollars for asking the last tier again after weak answers.
        baseline: Dollars if every call went to the last tier and nothing was classified.
    """

    calls: int
    classifier: Decimal
    tiers: Mapping[str, Decimal]
    escalations: Decimal
    baseline: Decimal

    @property
    def total(self) -> Decimal:
        """Dollars in all."""
        return self.classifier + sum(self.tiers.values(), Decimal(0)) + self.escalations

    @property
    def saved(self) -> Decimal:
        """Baseline minus total; negative for a loss."""
        return self.baseline - self.total

    @property
    def saved_share(self) -> Decimal | None:
        """The saving as a share of the baseline; None where the baseline is nothing."""
        return self.saved / self.baseline if self.baseline else None

    @property
    def per_call(self) -> Decimal | None:
        """Dollars for one call; None for no calls."""
        return self.total / self.calls if self.calls else None

    def to_json(self) -> dict[str, object]:
        """Give the bill as plain JSON, money as exact strings."""
        share = self.saved_share
        return {
            "calls": self.calls,
            "classifier": plain(self.classifier),
            "tiers": {name: plain(cost) for name, cost in self.tiers.items()},
            "escalations": plain(self.escalations),
            "total": plain(self.total),
            "per_call": None if self.per_call is None else plain(self.per_call),
            "baseline": plain(self.baseline),
            "saved": plain(self.saved),
            "saved_share": None if share is None else round(float(share), 6),
        }


def bill(calls: int, mix: Mix) -> Bill:
    """Work out what calls cost.

    Args:
        calls: How many.
        mix: How they spread, and the prices.
    """
    last = mix.tiers[-1]
    return Bill(
        calls=calls,
        classifier=calls * mix.classifier,
        tiers={tier.name: calls * tier.share * tier.price for tier in mix.tiers},
        escalations=calls * mix.local_share * mix.escalated * last.price,
        baseline=calls * last.price,
    )


def break_even(mix: Mix) -> Decimal | None:
    """Give the share of calls below the last tier at which routing costs as much as it saves.

    Returns:
        The share, over 1 where even a mix without the last tier would not pay for the classifier; None where a small
        answer costs no less than a large one.
    """
    whole = bill(1, mix.with_local_share(Decimal(1)))
    gain = whole.baseline - (whole.total - whole.classifier)
    return mix.classifier / gain if gain > 0 else None


def plain(amount: Decimal) -> str:
    """Write an exact amount without zeros that say nothing and without an exponent."""
    return f"{amount.normalize():f}" if amount else "0"
