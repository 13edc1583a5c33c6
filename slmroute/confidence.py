"""From token log-probabilities to confidence: P(the answer is good)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, cast, runtime_checkable

__all__ = ["Calibrator", "GeometricMean", "confidence_of", "judged_by", "needs_margins"]


@runtime_checkable
class Calibrator(Protocol):
    """Maps the log-probabilities of an answer's tokens to P(the answer is good)."""

    @property
    def version(self) -> str:
        """What the ledger notes, so that thresholds can be compared over time."""
        ...

    def __call__(self, logprobs: Sequence[float]) -> float | None:
        """Give a number in [0, 1], or None when the log-probabilities do not allow one."""
        ...


def needs_margins(calibrator: Calibrator) -> bool:
    """Tell whether a calibrator looks at how far tokens were ahead of others, which providers tell when asked to."""
    return bool(getattr(calibrator, "needs_margins", False))


def judged_by(
    calibrator: Calibrator, logprobs: Sequence[float], margins: Sequence[float] | None = None
) -> float | None:
    """Have a calibrator judge tokens, with their margins where it looks at them."""
    if needs_margins(calibrator):
        return cast("_WithMargins", calibrator)(logprobs, margins)
    return calibrator(logprobs)


class _WithMargins(Protocol):
    def __call__(self, logprobs: Sequence[float], margins: Sequence[float] | None) -> float | None: ...


class GeometricMean:
    """Confidence is the geometric mean of the tokens' probabilities, ``exp(mean(logprobs))``.

    A plain mapping that is not calibrated: it ranks answers (length-normalised sequence likelihood, Malinin and Gales,
    "Uncertainty Estimation in Autoregressive Structured Prediction", ICLR 2021), but 0.85 does not yet mean that 85 of
    100 such answers are right.
    """

    @property
    def version(self) -> str:
        """The mapping's name; it has no fitted numbers."""
        return "geometric-mean-1"

    def __call__(self, logprobs: Sequence[float]) -> float | None:
        """Give ``exp(mean(logprobs))``; None for no tokens, or where one is NaN or above 0."""
        return confidence_of(logprobs)


def confidence_of(logprobs: Sequence[float]) -> float | None:
    """Give the geometric mean of the tokens' probabilities.

    Args:
        logprobs: Natural log-probabilities, one for each generated token.

    Returns:
        A number in (0, 1], or None when there are none or one of them is no log-probability. Tokens that a provider
        reports as certain a hair above 0 are taken as 0.
    """
    if not logprobs or any(math.isnan(p) or p > 1e-3 for p in logprobs):
        return None
    mean = math.fsum(max(min(p, 0.0), -100.0) for p in logprobs) / len(logprobs)
    return math.exp(mean)
