"""Testing thresholds on outcomes that a fit has not seen, for whole answers and for streams that are broken off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from slmroute.calibrators import FittedCalibrator
from slmroute.outcomes import Outcome
from slmroute.policy import FIRST_TOKENS, HOPELESS
from slmroute.risk import Tested, answers_needed, safe_threshold, safe_thresholds

__all__ = ["MOST_STARTS", "confidences", "is_hopeless", "tested_abort", "tested_threshold"]

MOST_CANDIDATES: Final = 200
MOST_STARTS: Final = 3
FEWEST_LONG: Final = 20
"""So many answers must be long enough to be broken off, for anything to be said of that."""

MOST_LOST: Final = 0.05
"""Where breaking off loses more of the answers that would be served, it is left alone."""


def confidences(calibrator: FittedCalibrator, outcomes: Sequence[Outcome]) -> list[float]:
    """Give the confidence of each outcome; where there is none it is 0, as unknown escalates."""
    return [calibrator(one.logprobs, one.margins) or 0.0 for one in outcomes]


def is_hopeless(calibrator: FittedCalibrator, outcome: Outcome, below: float = HOPELESS) -> bool:
    """Tell whether a stream would be broken off after its first tokens; shorter answers are never judged by them."""
    if len(outcome.logprobs) < FIRST_TOKENS:
        return False
    start = calibrator(outcome.logprobs[:FIRST_TOKENS], outcome.margins and outcome.margins[:FIRST_TOKENS])
    return start is not None and start < below


def tested_threshold(
    fitted: FittedCalibrator,
    fit_half: Sequence[Outcome],
    test_half: Sequence[Outcome],
    target: float,
    confidence: float,
) -> Tested | None:
    """Test thresholds on outcomes that the fit has not seen; which ones, and in which order, only the fit decides."""
    candidates, starts = plan(fitted, fit_half, len(test_half), target, confidence)
    return safe_threshold(
        confidences(fitted, test_half),
        [one.correct for one in test_half],
        candidates,
        target=target,
        confidence=confidence,
        starts=starts,
    )


def tested_abort(
    fitted: FittedCalibrator,
    fit_half: Sequence[Outcome],
    test_half: Sequence[Outcome],
    tested: Tested,
    target: float,
    confidence: float,
) -> float | None:
    """Test whether streams may break hopeless drafts off.

    The first tokens are judged by what was fitted on whole answers, so what that comes to must be seen: the promise
    must pass the same test with the answers that are broken off not served, and few of those that would be are lost.

    Returns:
        The confidence under which the first tokens are hopeless; None where that may not be said.
    """
    below = min(HOPELESS, tested.threshold)
    broken = [is_hopeless(fitted, one, below) for one in test_half]
    whole = confidences(fitted, test_half)
    lost = sum(score >= tested.threshold for score, off in zip(whole, broken, strict=True) if off)
    if sum(len(one.logprobs) >= FIRST_TOKENS for one in test_half) < FEWEST_LONG or lost > MOST_LOST * tested.served:
        return None
    candidates, starts = plan(fitted, fit_half, len(test_half), target, confidence)
    passed = safe_thresholds(
        [-1.0 if off else score for score, off in zip(whole, broken, strict=True)],
        [one.correct for one in test_half],
        candidates,
        target=target,
        confidence=confidence,
        starts=starts,
    )
    return below if any(one.threshold == tested.threshold for one in passed) else None


def plan(
    fitted: FittedCalibrator, fit_half: Sequence[Outcome], tests: int, target: float, confidence: float
) -> tuple[list[float], list[int]]:
    """Choose the thresholds to be tested, falling, and where testing begins."""
    surest = sorted(confidences(fitted, fit_half), reverse=True)
    known = sorted(set(surest), reverse=True)
    step = max(1, len(known) // MOST_CANDIDATES)
    candidates = known[step - 1 :: step]
    expected = [sum(one >= threshold for one in surest) * tests / len(surest) for threshold in candidates]
    return candidates, starts_of(expected, target, confidence)


def starts_of(expected: Sequence[float], target: float, confidence: float) -> list[int]:
    """Choose where testing begins: where enough answers are expected to be served, and at twice and four times that."""
    for count in range(MOST_STARTS, 0, -1):
        least = answers_needed(target, 1 - (1 - confidence) / count) or 1
        wanted = [1.25 * least * 2**power for power in range(count)]
        places = [next((place for place, n in enumerate(expected) if n >= one), None) for one in wanted]
        found = [place for place in places if place is not None]
        if len(found) == count:
            return sorted(set(found))
    return [max(len(expected) - 1, 0)]
