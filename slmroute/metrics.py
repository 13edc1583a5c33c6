"""What a router's scores are worth: ranking, calibration, and the quality that a share of strong calls buys.

PGR (performance gap recovered), APGR and CPT are those of Ong et al., "RouteLLM: Learning to Route LLMs with Preference
Data" (2024).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = [
    "Interval",
    "QualityCurve",
    "ReliabilityBin",
    "area",
    "bootstrap",
    "calibration_error",
    "kept_below",
    "quality_curve",
    "reliability",
]

BINS = 10
ROUNDS = 300
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its bootstrap interval.

    Attributes:
        value: The figure on all rows.
        low: The lower end, at 95%.
        high: The upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bar of a reliability diagram.

    Attributes:
        low: Where the bin begins.
        high: Where it ends.
        predicted: The mean score of what falls into it.
        observed: The share of it that is true.
        count: How many fall into it.
    """

    low: float
    high: float
    predicted: float
    observed: float
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class QualityCurve:
    """What quality a share of strong calls gives when the calls that score highest go up.

    Attributes:
        shares: Rising from 0 (all weak) to 1 (all strong), of shape ``(n + 1,)``.
        quality: The mean quality at each share, of the same shape.
    """

    shares: Vector
    quality: Vector

    @property
    def weak(self) -> float:
        """The mean quality of the weak model alone."""
        return float(self.quality[0])

    @property
    def strong(self) -> float:
        """The mean quality of the strong model alone."""
        return float(self.quality[-1])

    @property
    def apgr(self) -> float | None:
        """The mean share of the gap that is recovered, over all shares of strong calls; random gives 0.5.

        None where the strong model is no better: there is no gap.
        """
        gap = self.strong - self.weak
        # By the trapezoidal rule over equal steps.
        middle = self.quality[:-1] / 2 + self.quality[1:] / 2
        return float(middle.mean() - self.weak) / gap if gap > 0 else None

    def cpt(self, recovered: float) -> float | None:
        """Give the least share of strong calls that recovers so much of the gap, or None where there is no gap."""
        gap = self.strong - self.weak
        return self._first(self.weak + recovered * gap) if gap > 0 else None

    def saved_at(self, share_of_quality: float) -> float:
        """Give the largest share of calls that can stay weak while the quality is that share of the strong model's."""
        return 1 - self._first(share_of_quality * self.strong)

    def at(self, share: float) -> float:
        """Give the quality at a share of strong calls."""
        import numpy as np

        return float(np.interp(share, self.shares, self.quality))

    def _first(self, quality: float) -> float:
        import numpy as np

        return float(self.shares[np.argmax(self.quality >= quality - 1e-12)])


def area(scores: Vector, labels: Flags) -> float | None:
    """Give the area under the ROC curve (the rank sum of what is true, ties counted half); None for one class only."""
    import numpy as np

    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[labels].sum() - positive * (positive + 1) / 2) / (positive * negative))


def kept_below(scores: Vector, labels: Flags, recall: float) -> float | None:
    """Give the share of what is false that stays below a threshold which that share of what is true exceeds."""
    import numpy as np

    if labels.all() or not labels.any():
        return None
    # Equal scores go up together: of complex ones that tie at the edge none may stay.
    order = np.sort(scores[labels])
    return float((scores[~labels] < order[int((1 - recall) * len(order) + 1e-9)]).mean())


def reliability(scores: Vector, labels: Flags, bins: int = BINS) -> list[ReliabilityBin]:
    """Compare scores with what came true, in bins of equal width; empty bins are left out."""
    import numpy as np

    place = np.minimum((np.clip(scores, 0, 1) * bins).astype(int), bins - 1)
    found: list[ReliabilityBin] = []
    for one in range(bins):
        here = place == one
        if here.any():
            predicted, observed = float(scores[here].mean()), float(labels[here].mean())
            found.append(ReliabilityBin(one / bins, (one + 1) / bins, predicted, observed, int(here.sum())))
    return found


def calibration_error(scores: Vector, labels: Flags, bins: int = BINS) -> float:
    """Give the expected calibration error: the mean distance of predicted from observed, weighted by count.

    Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (2015).
    """
    return sum(abs(one.predicted - one.observed) * one.count for one in reliability(scores, labels, bins)) / len(scores)


def quality_curve(scores: Vector, weak: Vector, strong: Vector) -> QualityCurve:
    """Send the highest scores up one by one, calls with the same score in equal parts.

    Args:
        scores: P(complex) of each call.
        weak: The quality of the weak model's answer to each.
        strong: The quality of the strong model's.
    """
    import numpy as np

    _, inverse, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    # The mean gain among calls that tie, so that their order among each other does not matter.
    gains = (np.bincount(inverse, weights=strong - weak) / counts)[np.sort(inverse)]
    quality = (weak.sum() + np.concatenate([[0.0], np.cumsum(gains)])) / len(scores)
    return QualityCurve(np.linspace(0, 1, len(scores) + 1), quality)


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float | None], count: int, *, rounds: int = ROUNDS, seed: int = 0
) -> Interval | None:
    """Give a figure with its percentile bootstrap interval (Efron, 1979).

    Args:
        statistic: From the rows to count (their numbers, some repeated) to the figure; None where it has none.
        count: How many rows there are.
        rounds: How many samples to draw.
        seed: What they are drawn with.

    Returns:
        The figure and its interval, or None where the figure does not exist.
    """
    import numpy as np

    value = statistic(np.arange(count))
    if value is None:
        return None
    dice = np.random.default_rng(seed)
    drawn = [statistic(dice.integers(0, count, count)) for _ in range(rounds)]
    known = [one for one in drawn if one is not None] or [value]
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value, float(low), float(high))
