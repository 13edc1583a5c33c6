"""Platt scaling: a classifier's raw log-odds made into a probability that can be compared with a threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from slmroute.errors import ConfigError

__all__ = ["IDENTITY", "Platt"]

ROUNDS = 100
SMALLEST_STEP = 1e-10
RIDGE = 1e-12
FLAT = 1e-5
ENOUGH_DESCENT = 1e-4


@dataclass(frozen=True, slots=True)
class Platt:
    """A sigmoid over log-odds: ``1 / (1 + exp(-(slope * raw + intercept)))``.

    Args:
        slope: How sharply the probability rises; 1 leaves the model's own log-odds as they are.
        intercept: The log-odds at which a raw score of 0 stands: it takes a model's bias out.
        version: What the ledger notes.

    Raises:
        ConfigError: A number is not finite.
    """

    slope: float = 1.0
    intercept: float = 0.0
    version: str = "identity"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and math.isfinite(self.intercept)):
            raise ConfigError(
                "Platt(slope=, intercept=) must be finite numbers; Platt.fit(raw_scores, labels) finds them."
            )

    def __call__(self, raw: float) -> float:
        """Give the probability that belongs to a raw score.

        Args:
            raw: Log-odds.

        Returns:
            A probability in [0, 1].
        """
        return sigmoid(self.slope * raw + self.intercept)

    @classmethod
    def fit(cls, raw_scores: Sequence[float], labels: Sequence[bool]) -> Self:
        """Fit the sigmoid to labelled scores.

        The targets are smoothed as in J. Platt, "Probabilistic outputs for support vector machines" (1999), so that few
        labels do not give certainty; the likelihood is maximised by Newton's method with backtracking as in H.-T. Lin,
        C.-J. Lin and R. C. Weng, "A note on Platt's probabilistic outputs for support vector machines" (2007).

        Args:
            raw_scores: Log-odds, one for each label.
            labels: True where the task is complex.

        Returns:
            The fitted sigmoid.

        Raises:
            ConfigError: The lengths differ, a score is not finite, or only one class is there.
        """
        scores, truths = [float(score) for score in raw_scores], [bool(label) for label in labels]
        if len(scores) != len(truths):
            raise ConfigError(f"Platt.fit has {len(scores)} raw_scores for {len(truths)} labels: give one for each.")
        if not all(map(math.isfinite, scores)):
            raise ConfigError("Platt.fit(raw_scores=) must be finite numbers.")
        positive = sum(truths)
        negative = len(truths) - positive
        if not positive or not negative:
            raise ConfigError("Platt.fit(labels=) holds one class only: give examples of both, simple and complex.")
        high, low = (positive + 1) / (positive + 2), 1 / (negative + 2)
        targets = [high if truth else low for truth in truths]
        slope, intercept = newton(scores, targets, math.log((positive + 1) / (negative + 1)))
        digest = sha256(f"{slope:.6g} {intercept:.6g}".encode()).hexdigest()[:8]
        return cls(slope, intercept, f"platt-{len(scores)}-{digest}")


IDENTITY = Platt()
"""The model's own log-odds as they are."""


def newton(scores: Sequence[float], targets: Sequence[float], intercept: float) -> tuple[float, float]:
    """Minimise the cross-entropy over slope and intercept, starting from a slope of 0."""
    slope = 0.0
    loss = cross_entropy(scores, targets, slope, intercept)
    for _ in range(ROUNDS):
        h11 = h22 = RIDGE
        h21 = g1 = g2 = 0.0
        for score, target in zip(scores, targets, strict=True):
            chance = sigmoid(slope * score + intercept)
            weight, miss = chance * (1 - chance), chance - target
            h11 += score * score * weight
            h21 += score * weight
            h22 += weight
            g1 += score * miss
            g2 += miss
        if abs(g1) < FLAT and abs(g2) < FLAT:
            break
        determinant = h11 * h22 - h21 * h21
        d1 = -(h22 * g1 - h21 * g2) / determinant
        d2 = -(h11 * g2 - h21 * g1) / determinant
        descent = g1 * d1 + g2 * d2
        step = 1.0
        while step >= SMALLEST_STEP:
            trial = cross_entropy(scores, targets, slope + step * d1, intercept + step * d2)
            if trial < loss + ENOUGH_DESCENT * step * descent:
                slope, intercept, loss = slope + step * d1, intercept + step * d2, trial
                break
            step /= 2
        else:
            break
    return slope, intercept


def cross_entropy(scores: Sequence[float], targets: Sequence[float], slope: float, intercept: float) -> float:
    """Add up ``-t*log(p) - (1-t)*log(1-p)``, written so that nothing overflows."""
    total = 0.0
    for score, target in zip(scores, targets, strict=True):
        logit = slope * score + intercept
        total += max(logit, 0.0) - target * logit + math.log1p(math.exp(-abs(logit)))
    return total


def sigmoid(logit: float) -> float:
    """Give ``1 / (1 + exp(-logit))`` without overflow."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    small = math.exp(logit)
    return small / (1 + small)
