"""Two classifiers in a row: a cheap one for every request, a second only where the first is unsure."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from numbers import Real
from typing import cast

from slmroute.classify.protocol import Classification, ClassifierLike, aasked, asked, check_classifier
from slmroute.errors import ClassifierUnavailable, ClassifierUnsure, ConfigError, ModelMissing
from slmroute.health import Breaker, Permit
from slmroute.policy import probability
from slmroute.request import RouteRequest, checked_request
from slmroute.steps import summed
from slmroute.tier import Money

__all__ = ["ChainClassifier"]

SUREST = 1e-6
"""Scores are kept so far from 0 and 1 when they are averaged: no classifier is certain."""


class ChainClassifier:
    """Asks a cheap classifier, and a second one where the first one's score lies inside a band.

    Outside the band the first one's score stands: it costs a millisecond. Inside, the two are averaged as log-odds, so
    that both must speak of the same thing, P(the task is complex); calibrate a ``FewShotClassifier`` before it goes in
    here. Where the second cannot be asked, or what it says cannot be trusted, the first one's score stands as well; a
    second that keeps failing is left alone for a while, as tiers are.

    Args:
        first: The cheap classifier, for example ``EmbeddedClassifier()``.
        second: The dear one, for example ``FewShotClassifier("phi3:mini")``.
        band: The scores of the first between which the second is asked, ends included. It should hold the router's
            threshold, or the second can change nothing.
        weight: How much the second one's log-odds count, from 0 to 1; 1 takes its score alone.
        threshold: What the router's threshold is by default; None for the first one's own.

    Raises:
        ConfigError: The band is no range within [0, 1], a number is out of its range, or a classifier is none.

    Example:
        >>> from slmroute import ChainClassifier, EmbeddedClassifier, FewShotClassifier
        >>> chain = ChainClassifier(EmbeddedClassifier(), FewShotClassifier("phi3:mini"), band=(0.2, 0.6))
    """

    def __init__(
        self,
        first: ClassifierLike,
        second: ClassifierLike,
        *,
        band: tuple[float, float] = (0.2, 0.6),
        weight: float = 0.5,
        threshold: float | None = None,
    ) -> None:
        for setting, given in (("first", first), ("second", second)):
            check_classifier(given, f"ChainClassifier: {setting}")
        try:
            low, high = band
        except (TypeError, ValueError):
            raise ConfigError("ChainClassifier(band=) must be two numbers, for example (0.2, 0.6).") from None
        self.band = probability(low, "ChainClassifier: band"), probability(high, "ChainClassifier: band")
        if low > high:
            raise ConfigError(f"ChainClassifier(band=({low}, {high})) must rise from the first to the second.")
        self.weight = probability(weight, "ChainClassifier: weight")
        self._threshold = None if threshold is None else probability(threshold, "ChainClassifier: threshold")
        self.first = first
        self.second = second
        self.breaker = Breaker()

    def __repr__(self) -> str:
        return f"ChainClassifier({self.first!r}, {self.second!r}, band={self.band}, weight={self.weight:g})"

    @property
    def threshold(self) -> float | None:
        """The threshold it comes with: its own, or the first one's; None where neither has one."""
        own = self._threshold
        return cast("float | None", getattr(self.first, "threshold", None)) if own is None else own

    @property
    def version(self) -> str:
        """What the ledger notes: both versions, the band and the weight."""
        low, high = self.band
        return f"chain:{version_of(self.first)}+{version_of(self.second)}:{low:g}-{high:g}:{self.weight:g}"

    @property
    def input_price(self) -> Money | None:
        """The second one's price for a million input tokens, where it declares one."""
        return cast("Money | None", getattr(self.second, "input_price", None))

    @property
    def output_price(self) -> Money | None:
        """The second one's price for a million output tokens, where it declares one."""
        return cast("Money | None", getattr(self.second, "output_price", None))

    def score(self, request: RouteRequest) -> float:
        """Give P(the task is complex) in [0, 1].

        Args:
            request: The call.

        Raises:
            ClassifierUnavailable: The first cannot be asked, or what it says is no probability.
        """
        return self.classify(request).score

    async def ascore(self, request: RouteRequest) -> float:
        """Do what ``score`` does, asynchronously."""
        return (await self.aclassify(request)).score

    def classify(self, request: RouteRequest) -> Classification:
        """Give the score with the tokens that the second took, where it was asked."""
        first = checked(asked(self.first, checked_request(request, "ChainClassifier.classify")), "first")
        permit = self._permit(first)
        if permit is None:
            return first
        try:
            second = checked(asked(self.second, request), "second")
            permit.success()
        except (ClassifierUnavailable, ModelMissing) as error:
            give_up(permit, error)
            return with_spent(first, error)
        finally:
            permit.release()  # whatever else ended it says nothing of the second
        return self._both(first, second)

    async def aclassify(self, request: RouteRequest) -> Classification:
        """Do what ``classify`` does, asynchronously."""
        first = checked(await aasked(self.first, checked_request(request, "ChainClassifier.aclassify")), "first")
        permit = self._permit(first)
        if permit is None:
            return first
        try:
            second = checked(await aasked(self.second, request), "second")
            permit.success()
        except (ClassifierUnavailable, ModelMissing) as error:
            give_up(permit, error)
            return with_spent(first, error)
        finally:
            permit.release()
        return self._both(first, second)

    def _permit(self, first: Classification) -> Permit | None:
        """Tell whether the second is to be asked, and may be."""
        low, high = self.band
        return self.breaker.admit(time.monotonic()) if low <= first.score <= high else None

    def _both(self, first: Classification, second: Classification) -> Classification:
        logit = self.weight * log_odds(second.score) + (1 - self.weight) * log_odds(first.score)
        return Classification(
            1 / (1 + math.exp(-logit)), summed(first.usage, second.usage), second.model, second.provider
        )


def with_spent(first: Classification, error: Exception) -> Classification:
    """Give the first one's score, with what the second took although its answer is of no use."""
    spent = getattr(error, "spent", None)
    if not isinstance(spent, Classification):
        return first
    return Classification(first.score, summed(first.usage, spent.usage), spent.model, spent.provider)


def give_up(permit: Permit, error: Exception) -> None:
    """Note that the second is not there; what it cannot judge says nothing of whether it is."""
    if not isinstance(error, ClassifierUnsure):
        permit.failure(time.monotonic())


def checked(found: object, which: str) -> Classification:
    """Make sure that what a classifier gave is a probability."""
    given = found if isinstance(found, Classification) else Classification(cast("float", found))
    score = cast("object", given.score)
    if isinstance(score, bool) or not isinstance(score, Real) or not 0 <= float(score) <= 1:
        raise ClassifierUnsure(f"ChainClassifier({which}=) gave no number from 0 to 1.")
    return replace(given, score=float(score))


def log_odds(score: float) -> float:
    """Give the log-odds of a score, bounded."""
    bounded = min(max(score, SUREST), 1 - SUREST)
    return math.log(bounded / (1 - bounded))


def version_of(classifier: ClassifierLike) -> str:
    """Name a classifier: by its version, or by what it is called."""
    version = getattr(classifier, "version", None)
    return str(version) if version else getattr(classifier, "__name__", type(classifier).__name__)
