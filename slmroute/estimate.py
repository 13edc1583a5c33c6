"""What routing would cost and save at a volume of calls, a mix and prices: arithmetic, exact to the last digit.

The textbook case is 100,000 calls a month at $0.03 a frontier call, $0.001 a small one and $0.0002 a classification::

    80% simple:  classifier $20 + small $80 + frontier $600 = $700 a month, $0.0070 a call, saved $2,300 of $3,000
    90% simple:  classifier $20 + small $90 + frontier $300 = $410 a month, $0.0041 a call, saved $2,590 of $3,000

Published lines often round these, or leave something out that is paid all the same: $680 at 80% is the sum without the
classifier, $600 the frontier's part alone, and "80% saved" takes what stays local to be free; 76.7% is saved. Here
everything that is paid is counted, and nothing is rounded but for display.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final, TypeVar, cast

from slmroute.errors import ConfigError
from slmroute.mix import Bill, Mix, TierShare, bill, break_even, plain
from slmroute.tier import Money, money

__all__ = ["Amount", "Bill", "Estimate", "Mix", "TierShare", "bill", "break_even", "estimate", "read_share"]

Amount = Money | tuple[Money, Money]
"""A number, or the lowest and the highest it may be."""

T = TypeVar("T")

MONTHS: Final = 12
MILLION: Final = 1_000_000
MARGIN: Final = Decimal("0.1")
"""How far the mix may be off where no range was given: 10 points either way."""
FAILING: Final = Decimal("0.05")
"""The share of failed small answers up to which routing is thought to be worth its trouble."""
MIXES: Final = tuple(Decimal(share) / 100 for share in (50, 60, 70, 75, 80, 85, 90, 95))


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What routing would do to a bill.

    Attributes:
        mix: What was reckoned with; the middle where a range was given.
        month: The month's bill.
        year: Twelve such months.
        million: A million calls.
        least: The month that saves least within the ranges.
        most: The month that saves most.
        ranges: What was varied for these two, in words.
        failing: The month if 5% of the answers below the last tier have to be asked again.
        break_even: The share of calls below the last tier under which routing costs more than it saves; None where it
            never pays.
        mixes: The month at other shares below the last tier, lowest first.
    """

    mix: Mix
    month: Bill
    year: Bill
    million: Bill
    least: Bill
    most: Bill
    ranges: tuple[str, ...]
    failing: Bill
    break_even: Decimal | None
    mixes: tuple[tuple[Decimal, Bill], ...] = field(repr=False)

    def to_json(self) -> dict[str, object]:
        """Give the estimate as plain JSON, money as exact strings."""
        return {
            "mix": {
                "tiers": [
                    {"name": tier.name, "share": plain(tier.share), "price": plain(tier.price)}
                    for tier in self.mix.tiers
                ],
                "classifier": plain(self.mix.classifier),
                "escalated": plain(self.mix.escalated),
            },
            "month": self.month.to_json(),
            "year": self.year.to_json(),
            "million": self.million.to_json(),
            "range": {"varied": list(self.ranges), "least": self.least.to_json(), "most": self.most.to_json()},
            "five_percent_failing": self.failing.to_json(),
            "break_even_local_share": None if self.break_even is None else round(float(self.break_even), 6),
            "mixes": [{"local_share": plain(share), **month.to_json()} for share, month in self.mixes],
        }


def estimate(
    volume: int | str | tuple[int | str, int | str] = 100_000,
    *,
    simple: Amount = "0.8",
    classifier: Amount = "0.0002",
    small: Amount = "0.001",
    frontier: Amount = "0.03",
    escalated: Amount = "0",
    tiers: Sequence[TierShare] | None = None,
) -> Estimate:
    """Estimate what routing costs and saves.

    Args:
        volume: Calls a month; a pair for a range.
        simple: The share of calls that a small model answers, in [0, 1].
        classifier: Dollars for classifying one call.
        small: Dollars for one small answer.
        frontier: Dollars for one frontier answer.
        escalated: The share of small answers that are thrown away and asked again of the frontier, in [0, 1].
        tiers: Three tiers or more, in place of ``simple``, ``small`` and ``frontier``.

    Returns:
        The estimate. Its range spans all that was given as a pair; where nothing was, the mix is varied by 10 points.

    Raises:
        ConfigError: A number is out of its range; the message names the setting.
    """
    _check_order(tiers or ())
    calls = [_count(value, "volume") for value in _pair(volume, "volume")]
    fixed = {
        "classifier": [money(value, "classifier") for value in _pair(classifier, "classifier")],
        "escalated": [read_share(value, "escalated") for value in _pair(escalated, "escalated")],
    }
    mixed = {
        "simple": [read_share(value, "simple") for value in _pair(simple, "simple")],
        "small": [money(value, "small") for value in _pair(small, "small")],
        "frontier": [money(value, "frontier") for value in _pair(frontier, "frontier")],
    }
    varied = fixed if tiers is not None else {**mixed, **fixed}
    for name, values in (("volume", [Decimal(n) for n in calls]), *varied.items()):
        if values[0] > values[-1]:
            raise ConfigError(f"{name}= is a range from {values[0]} down to {values[-1]}: write the lower end first.")

    def mix_of(numbers: Mapping[str, Decimal]) -> Mix:
        shares = tuple(tiers) if tiers is not None else (
            TierShare("small", numbers["simple"], numbers["small"]),
            TierShare("frontier", 1 - numbers["simple"], numbers["frontier"]),
        )  # fmt: skip
        return Mix(tiers=shares, classifier=numbers["classifier"], escalated=numbers["escalated"])

    middle = mix_of({name: (values[0] + values[-1]) / 2 for name, values in varied.items()})
    usual = (calls[0] + calls[-1]) // 2
    corners = [
        bill(count, mix_of(dict(zip(varied, corner, strict=True))))
        for count in calls
        for corner in itertools.product(*varied.values())
    ]
    named = [("volume", calls), *varied.items()]
    ranges = tuple(f"{name} {_said(values[0])} to {_said(values[-1])}" for name, values in named if len(values) > 1)
    if not ranges:
        ends = [max(middle.local_share - MARGIN, Decimal(0)), min(middle.local_share + MARGIN, Decimal(1))]
        corners = [bill(usual, middle.with_local_share(end)) for end in ends]
        ranges = (f"{'local' if tiers is not None else 'simple'} {_said(ends[0])} to {_said(ends[1])}",)
    return Estimate(
        mix=middle,
        month=bill(usual, middle),
        year=bill(usual * MONTHS, middle),
        million=bill(MILLION, middle),
        least=min(corners, key=lambda corner: corner.saved),
        most=max(corners, key=lambda corner: corner.saved),
        ranges=ranges,
        failing=bill(usual, Mix(tiers=middle.tiers, classifier=middle.classifier, escalated=FAILING)),
        break_even=break_even(middle),
        mixes=tuple((share, bill(usual, middle.with_local_share(share))) for share in MIXES),
    )


def _pair(value: T | tuple[T, T], setting: str) -> tuple[T, ...]:
    if not isinstance(value, tuple):
        return (value,)
    ends = cast("tuple[T, ...]", value)
    if len(ends) != 2:
        raise ConfigError(f"{setting}={value!r} must be one number, or two: the lowest and the highest.")
    return ends if ends[0] != ends[1] else ends[:1]


def read_share(value: Money, setting: str) -> Decimal:
    """Read a share: ``0.8`` or ``"80%"``.

    Raises:
        ConfigError: It is not a number from 0 to 1.
    """
    text = str(value).strip()
    try:
        share = Decimal(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except InvalidOperation:
        share = Decimal("NaN")
    if not (share.is_finite() and 0 <= share <= 1):
        said = repr(value) if share.is_nan() else str(value)
        raise ConfigError(f"{setting}={said} must be a share from 0 to 1 (or a percentage: 80%).")
    return share


def _check_order(tiers: Sequence[TierShare]) -> None:
    """Refuse tiers that are not cheapest first: the last one is what all calls would go to without routing."""
    ordered = sorted(tiers, key=lambda tier: tier.price)
    if [tier.price for tier in ordered] != [tier.price for tier in tiers]:
        raise ConfigError(
            f"tiers= are to be given cheapest first, which is here {', '.join(tier.name for tier in ordered)}; "
            f"they came as {', '.join(tier.name for tier in tiers)}."
        )


def _count(value: int | str, setting: str) -> int:
    try:
        count = Decimal(str(value).replace(",", "").replace("_", ""))
    except InvalidOperation:
        count = Decimal("NaN")
    if not count.is_finite() or count < 0 or count != int(count):
        raise ConfigError(f"{setting}={value} must be a whole number of calls, for example 100000.")
    return int(count)


def _said(value: Decimal | int) -> str:
    return f"{value:,}" if isinstance(value, int) else plain(value)
