"""What routing would have done to the calls of a log: cost, saving and speed, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from slmroute.presets import CLASSIFIER_PRICES, MICRO_PRICES, SMALL_PRICES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Column = NDArray[np.float64]

__all__ = ["PATTERNS", "Costs", "Interval", "Pattern", "Ratio", "Tallied", "patterns"]

MILLION: Final = 1_000_000
CLASSIFIER_TOKENS: Final = 1_050
"""What the few-shot classifier reads a call, with its examples; see ``slmroute.presets``."""

FIRST_TOKEN_MS: Final = 200.0
TOKEN_MS: Final = 20.0
CLASSIFIER_MS: Final = 120.0
EMBEDDED_MS: Final = 1.0
"""A small model's speed as an assumption: 0.2 s to the first token and 50 tokens a second, as an 8B model on one GPU;
the few-shot classifier 0.12 s, the embedded one a millisecond."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Costs:
    """Some calls as columns, one entry for each.

    Attributes:
        today: What each cost, in dollars.
        input_tokens: Tokens of its prompt.
        output_tokens: Tokens of its answer.
        score: P(its task is complex).
        latency_ms: How long it took; NaN where that is not known.
        frontier: Dollars for an input token of the frontier, for drafts that are passed on.
    """

    today: Column
    input_tokens: Column
    output_tokens: Column
    score: Column
    latency_ms: Column
    frontier: float

    def small(self, prices: tuple[object, object]) -> Column:
        """What each would cost at prices for a million tokens."""
        return (self.input_tokens * float(str(prices[0])) + self.output_tokens * float(str(prices[1]))) / MILLION

    @property
    def small_ms(self) -> Column:
        """How long a small model would take for each."""
        return FIRST_TOKEN_MS + TOKEN_MS * self.output_tokens


@dataclass(frozen=True, slots=True)
class Pattern:
    """A way to route.

    Attributes:
        name: What it is called.
        what: What it is, in a few words.
        cost: What each call would have cost, in dollars, given how complex it is taken to be.
        time: How long each would have taken, in milliseconds.
        stays: Which calls would have stayed below the frontier.
    """

    name: str
    what: str
    cost: Callable[[Costs, Column], Column]
    time: Callable[[Costs, Column], Column]
    stays: Callable[[Column], NDArray[np.bool_]]


PATTERNS: Final = ("embedded", "binary", "three_tier", "cascade")


def patterns(threshold: float) -> tuple[Pattern, ...]:
    """Give the patterns: the default router, and the three presets.

    Args:
        threshold: Scores above it go to the frontier, where there are two tiers.
    """
    import numpy as np

    few_shot = CLASSIFIER_TOKENS * float(str(CLASSIFIER_PRICES[0])) / MILLION

    def two(cost: float, ms: float) -> tuple[Callable[[Costs, Column], Column], Callable[[Costs, Column], Column]]:
        return (
            lambda calls, score: cost + np.where(score > threshold, calls.today, calls.small(SMALL_PRICES)),
            lambda calls, score: ms + np.where(score > threshold, calls.latency_ms, calls.small_ms),
        )

    def three(calls: Costs, score: Column) -> Column:
        below = np.where(score > 0.35, calls.small(SMALL_PRICES), calls.small(MICRO_PRICES))
        return few_shot + np.where(score > 0.7, calls.today, below)

    def cascade(calls: Costs, score: Column) -> Column:
        again = calls.today + calls.output_tokens * calls.frontier  # the draft goes along as context
        return calls.small(SMALL_PRICES) + np.where(score > threshold, again, 0.0)

    def stays(limit: float) -> Callable[[Column], NDArray[np.bool_]]:
        return lambda score: score <= limit

    return (
        Pattern("embedded", "two tiers, classified in process", *two(0.0, EMBEDDED_MS), stays(threshold)),
        Pattern("binary", "two tiers, classified by a small model", *two(few_shot, CLASSIFIER_MS), stays(threshold)),
        Pattern("three_tier", "three tiers, classified by a small model", three,
                lambda calls, score: CLASSIFIER_MS + np.where(score > 0.7, calls.latency_ms, calls.small_ms),
                stays(0.7)),
        Pattern("cascade", "the small model first, weak answers move up", cascade,
                lambda calls, score: calls.small_ms + np.where(score > threshold, calls.latency_ms, 0.0),
                stays(threshold)),
    )  # fmt: skip


@dataclass(slots=True)
class Ratio:
    """A ratio of two sums over a random sample, and how far it may be off.

    The estimator and its variance are those of W. G. Cochran, "Sampling Techniques" (1977), section 6.3; sums are added
    up so that a sample of any size needs no memory.
    """

    calls: int = 0
    top: float = 0.0
    bottom: float = 0.0
    top_squares: float = 0.0
    bottom_squares: float = 0.0
    products: float = 0.0

    def add(self, top: Column, bottom: Column) -> None:
        """Add some calls."""
        self.calls += len(top)
        self.top += float(top.sum())
        self.bottom += float(bottom.sum())
        self.top_squares += float((top * top).sum())
        self.bottom_squares += float((bottom * bottom).sum())
        self.products += float((top * bottom).sum())

    @property
    def value(self) -> float | None:
        """The ratio; None where the bottom is nothing."""
        return self.top / self.bottom if self.bottom else None

    def interval(self, population: int, level: float = 0.95) -> Interval | None:
        """Give where the whole log's ratio lies.

        Args:
            population: How many calls the sample was drawn from.
            level: How sure one wants to be.
        """
        value = self.value
        if value is None:
            return None
        if self.calls >= population or self.calls < 2:
            return value, value
        spread = self.top_squares - 2 * value * self.products + value * value * self.bottom_squares
        variance = max(0.0, spread) / (self.calls - 1) / self.calls * (1 - self.calls / population)
        half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(variance) / (self.bottom / self.calls)
        return value - half, value + half


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallied:
    """What one pattern comes to.

    Attributes:
        name: The pattern.
        what: What it is.
        stays: The share of calls that would have stayed below the frontier.
        cost_share: What it would have cost, as a share of today's cost.
        low: The same at its lowest: unsure calls stay below, and the sample is off by its 95% interval.
        high: The same at its highest: unsure calls go up, and the sample is off the other way.
        median_ms: The middle of the times it would have taken; None where the log has no times.
        slowest_ms: The time that nine in ten would have been within; None where the log has no times.
    """

    name: str
    what: str
    stays: float
    cost_share: float
    low: float
    high: float
    median_ms: float | None
    slowest_ms: float | None

    @property
    def saved_share(self) -> float:
        """The saving as a share of today's cost; negative for a loss."""
        return 1 - self.cost_share

    @property
    def saved_interval(self) -> Interval:
        """Where the saving lies."""
        return 1 - self.high, 1 - self.low


def quantiles(times: Sequence[Column]) -> tuple[float | None, float | None]:
    """Give the median and the 90% quantile of times; None where there are none."""
    import numpy as np

    known = np.concatenate(times) if times else np.empty(0)
    known = known[~np.isnan(known)]
    if not len(known):
        return None, None
    return float(np.quantile(known, 0.5)), float(np.quantile(known, 0.9))
