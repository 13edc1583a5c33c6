"""Thresholds with a promise: the failure rate of what is served stays under a target, with a stated confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Tested", "answers_needed", "safe_threshold", "safe_thresholds", "upper_bound"]

HALVINGS = 60
MOST_ANSWERS = 10_000_000


@dataclass(frozen=True, slots=True)
class Tested:
    """A threshold that was tested.

    Attributes:
        threshold: Answers with this confidence or more are served.
        served: How many of the answers of the test were.
        failures: How many of those were wrong.
        bound: What the failure rate is under, with the confidence asked for.
    """

    threshold: float
    served: int
    failures: int
    bound: float


def upper_bound(failures: int, answers: int, confidence: float) -> float:
    """Give what a failure rate is under: the exact binomial bound of Clopper and Pearson (Biometrika, 1934).

    Args:
        failures: How many failed.
        answers: Of how many; they must be independent.
        confidence: How sure one wants to be, above 0 and below 1.
    """
    if failures >= answers:
        return 1.0
    low, high = failures / answers, 1.0
    for _ in range(HALVINGS):
        rate = (low + high) / 2
        if chance_of_at_most(failures, answers, rate) > 1 - confidence:
            low = rate
        else:
            high = rate
    return high


def chance_of_at_most(failures: int, answers: int, rate: float) -> float:
    """Give the binomial distribution function, by logarithms so that nothing underflows."""
    if rate <= 0:
        return 1.0
    if rate >= 1:
        return float(failures >= answers)
    ratio = math.log(rate) - math.log1p(-rate)
    term = answers * math.log1p(-rate)
    total = math.exp(term)
    for count in range(1, failures + 1):
        term += math.log(answers - count + 1) - math.log(count) + ratio
        total += math.exp(term)
    return min(total, 1.0)


def answers_needed(target: float, confidence: float, rate: float = 0.0) -> int | None:
    """Tell how many answers it takes to show that a failure rate is under a target.

    Args:
        target: The target, above 0.
        confidence: How sure one wants to be.
        rate: The rate that is expected; the more it comes to the target, the more answers it takes.

    Returns:
        The least number; None where the rate is not under the target, or there would have to be millions.
    """
    if rate >= target:
        return None

    def too_few(answers: int) -> bool:
        # That the bound is over the target, told without looking for the bound.
        return chance_of_at_most(round(rate * answers), answers, target) > 1 - confidence

    low, high = 0, 1
    while too_few(high):
        low, high = high, high * 2
        if high > MOST_ANSWERS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if too_few(middle):
            low = middle
        else:
            high = middle
    return high


def safe_threshold(
    scores: Sequence[float],
    correct: Sequence[bool],
    candidates: Sequence[float],
    *,
    target: float,
    confidence: float,
    starts: Sequence[int] = (0,),
) -> Tested | None:
    """Find the lowest threshold at which the failure rate of what is served is under a target.

    See ``safe_thresholds``, of which it is the lowest; None where none passes.
    """
    passed = safe_thresholds(scores, correct, candidates, target=target, confidence=confidence, starts=starts)
    return min(passed, key=lambda one: one.threshold, default=None)


def safe_thresholds(
    scores: Sequence[float],
    correct: Sequence[bool],
    candidates: Sequence[float],
    *,
    target: float,
    confidence: float,
    starts: Sequence[int] = (0,),
) -> list[Tested]:
    """Find the thresholds at which the failure rate of what is served is under a target.

    Fixed-sequence testing with several starts, as in Angelopoulos, Bates, Candès, Jordan and Lei, "Learn then test"
    (2021): from each start thresholds are tested downwards until one fails, with the error shared out among the starts
    (Bonferroni); each test is Clopper and Pearson's. With the confidence asked for, none of the thresholds that pass
    serves answers that fail more often than the target, whatever the calibrator is worth.

    That holds for answers drawn as those of the test were, and thresholds and starts that were not chosen by them.

    Args:
        scores: The answers' confidences; equal ones are served together.
        correct: Whether each is right.
        candidates: Thresholds, falling.
        target: What the failure rate must be under.
        confidence: How sure one wants to be.
        starts: Places in ``candidates``.

    Returns:
        The thresholds that pass, each with its bound.
    """
    order = sorted(zip(scores, correct, strict=True), reverse=True)
    share = 1 - (1 - confidence) / max(len(starts), 1)
    counts: list[tuple[int, int]] = []
    served = failures = 0
    for threshold in candidates:
        while served < len(order) and order[served][0] >= threshold:
            failures += not order[served][1]
            served += 1
        counts.append((served, failures))
    passed: dict[int, Tested] = {}
    for start in starts:
        for place in range(start, len(candidates)):
            served, failures = counts[place]
            bound = upper_bound(failures, served, share) if served else 1.0
            if bound > target:
                break
            passed[place] = Tested(candidates[place], served, failures, bound)
    return list(passed.values())
