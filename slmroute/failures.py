"""What counts as a failed answer, defined here and nowhere else, and how sure one may be of its rate.

An answer of a tier has failed when

- the caller got it and someone said that it was bad (``said``); whoever said that it was good overrules the rest;
- it is wrong on its face: one of ``validate.FAULTS`` (``invalid``);
- it was judged more likely wrong than right: its confidence was under one half, or its stream was broken off as
  hopeless (``judged``). An answer that was only not confident enough for the threshold has not failed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final, Literal

from slmroute.record import Role
from slmroute.steps import ABORTED
from slmroute.validate import FAULTS

__all__ = ["LINE", "WRONG_BELOW", "FailureKind", "FailureRate", "failure_of", "is_answer", "wilson"]

FailureKind = Literal["said", "invalid", "judged"]

LINE: Final = 0.05
"""The rate of failed answers that a small model must stay under to be worth its place."""

WRONG_BELOW: Final = 0.5


def is_answer(role: Role, *, dry_run: bool, whole: bool) -> bool:
    """Tell whether an attempt gave an answer that can have failed: given or not, but really generated, and whole.

    Args:
        role: The attempt's role.
        dry_run: Whether its tier generates nothing.
        whole: Whether it came to its end. What broke off, or was left by whoever read it, is no answer to judge.
    """
    return role in ("draft", "final") and not dry_run and whole


def failure_of(role: Role, fault: str | None, confidence: float | None, said_good: bool | None) -> FailureKind | None:
    """Tell whether an answer has failed, and how that is known.

    Args:
        role: The attempt's role, ``draft`` or ``final``.
        fault: Why it was rejected, or None.
        confidence: What the judge or the log-probabilities said of it, or None.
        said_good: What the call's feedback says, or None; it is about the answer that was given, the final one.
    """
    if role == "final" and said_good is not None:
        return None if said_good else "said"
    if fault in FAULTS:
        return "invalid"
    if fault == ABORTED or (confidence is not None and confidence < WRONG_BELOW):
        return "judged"
    return None


def wilson(failures: int, answers: int, level: float = 0.95) -> tuple[float, float]:
    """Give the interval that the true rate lies in.

    Args:
        failures: How many failed.
        answers: Of how many.
        level: How sure one wants to be.

    Returns:
        The bounds by Wilson's score method (E. B. Wilson, 1927), which holds for few answers and rates near zero,
        where the textbook's normal interval does not; ``(0, 1)`` without answers.
    """
    if answers == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate = failures / answers
    middle = (rate + z * z / (2 * answers)) / (1 + z * z / answers)
    half = z / (1 + z * z / answers) * math.sqrt(rate * (1 - rate) / answers + z * z / (4 * answers * answers))
    low = 0.0 if failures == 0 else max(0.0, middle - half)
    high = 1.0 if failures == answers else min(1.0, middle + half)
    return low, high


@dataclass(frozen=True, slots=True)
class FailureRate:
    """How often a tier's answers failed.

    Attributes:
        tier: The tier.
        category: The kind of task, from tags ``category:...``; None for calls without one, or when not asked for.
        answers: How many answers it gave.
        kinds: How many of them failed in each way.
    """

    tier: str
    category: str | None
    answers: int
    kinds: Mapping[FailureKind, int] = field(default_factory=dict["FailureKind", int])

    @property
    def failures(self) -> int:
        """How many failed."""
        return sum(self.kinds.values())

    @property
    def rate(self) -> float | None:
        """The share that failed; None without answers."""
        return self.failures / self.answers if self.answers else None

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true rate lies, at 95%."""
        return wilson(self.failures, self.answers)

    @property
    def verdict(self) -> Literal["under", "over", "open"]:
        """Whether the rate is under or over the 5% line; ``open`` while the interval still holds the line."""
        low, high = self.interval
        if high < LINE:
            return "under"
        return "over" if low > LINE else "open"
