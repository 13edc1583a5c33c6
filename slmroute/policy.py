"""The rules of the game: which tiers there are and when a call moves up. Frozen, and checked when made."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, cast

from slmroute.errors import ConfigError, UnknownTier
from slmroute.request import RouteRequest
from slmroute.tier import Tier
from slmroute.validate import FAULTS, checks_of

if TYPE_CHECKING:
    from slmroute.confidence import Calibrator
    from slmroute.steps import Answer, Usage

__all__ = ["FIRST_TOKENS", "HOPELESS", "Confidence", "Judge", "Judgement", "Policy", "Rule"]

Rule = Callable[[RouteRequest], str | None]
"""A user's rule: the name of the tier to start at, or None to leave it to the next rule and the classifier. What must
not leave the house is for ``local_only``: a call may move on from any tier it starts at."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge found, and what finding it took.

    Attributes:
        confidence: P(the answer is good) in [0, 1], or None when it cannot tell.
        usage: The tokens it took, or None when no model was called.
        model: The model's name, where one was called.
        provider: Who served it.
    """

    confidence: float | None
    usage: Usage | None = None
    model: str | None = None
    provider: str | None = None


Verdict = float | Judgement | None
Judge = Callable[[RouteRequest, "Answer"], Verdict | Awaitable[Verdict]]
"""A user's judge: gives P(the answer is good) in [0, 1], or None when it cannot tell. One that calls a model gives a
``Judgement`` with its tokens, so that they are counted and priced. Models of the router's framework are heard of by
themselves; what is called in another way costs nothing where a bare number is given."""


FIRST_TOKENS: Final = 16
HOPELESS: Final = 0.3
"""A stream is judged by so many tokens, and broken off below that, unless told otherwise."""


def probability(value: object, setting: str) -> float:
    """Check that a setting is a number in [0, 1].

    Raises:
        ConfigError: It is not; the message names the setting.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError(f"{setting}={value!r} must be a number from 0 to 1.")
    return float(value)


@dataclass(frozen=True)
class Confidence:
    """Escalate an answer whose confidence is under a threshold.

    Confidence is P(the answer is good). An unknown confidence (the provider gave no log-probabilities and there is
    no judge) escalates.

    Args:
        threshold: Answers under it escalate.
        judge: Called with the request and the answer in place of the log-probabilities; may be async. Where it calls
            a model that must be paid for, it gives a ``Judgement``, and may have ``input_price`` and ``output_price``
            (dollars for a million tokens) as attributes.
        calibrator: Maps log-probabilities to confidence; by default ``confidence.GeometricMean``.
        pass_draft: Whether the escalated call sees the weak answer as context.
        stream: When a streamed answer is shown: once its ``"first_tokens"`` are confident, or the ``"whole"`` of it.
            With a judge it is always the whole.
        first_tokens: How many tokens the stream is judged by.
        abort_below: A stream whose first tokens are less confident than this is broken off, so that the rest of a
            hopeless draft is not paid for; by default 0.3, or the threshold where that is lower. A stream that is
            shown ``"whole"`` is broken off only where this is given; with a judge, none is, and it may not be given.

    Raises:
        ConfigError: A number is out of its range; or ``abort_below`` is given with a judge.
    """

    threshold: float = 0.85
    judge: Judge | None = field(default=None, kw_only=True)
    calibrator: Calibrator | None = field(default=None, kw_only=True)
    pass_draft: bool = field(default=True, kw_only=True)
    stream: Literal["first_tokens", "whole"] = field(default="first_tokens", kw_only=True)
    first_tokens: int = field(default=FIRST_TOKENS, kw_only=True)
    abort_below: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        probability(self.threshold, "Confidence: threshold")
        if self.abort_below is not None:
            probability(self.abort_below, "Confidence: abort_below")
        if self.abort_under > self.threshold:
            raise ConfigError(
                f"Confidence(abort_below={self.abort_below}) must not be over threshold={self.threshold}: "
                "an answer cannot be good enough to show and too weak to finish."
            )
        if self.judge is not None and self.abort_below is not None:
            raise ConfigError(
                f"Confidence(abort_below={self.abort_below}) breaks a stream off by its first tokens, and a judge sees "
                "whole answers only: leave abort_below= or judge= out."
            )
        if self.judge is not None and not callable(self.judge):
            raise ConfigError(
                f"Confidence(judge={self.judge!r}) must be callable: judge(request, answer) gives a number from 0 to 1."
            )
        if self.calibrator is not None and not callable(self.calibrator):
            raise ConfigError(f"Confidence(calibrator={self.calibrator!r}) must be a Calibrator, or None.")
        if not isinstance(self.first_tokens, int) or self.first_tokens < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"Confidence(first_tokens={self.first_tokens}) must be 1 or more.")
        if self.stream not in ("first_tokens", "whole"):
            raise ConfigError(f"Confidence(stream={self.stream!r}) must be 'first_tokens' or 'whole'.")

    @property
    def abort_under(self) -> float:
        """``abort_below`` with its default filled in."""
        if self.abort_below is not None:
            return self.abort_below
        return 0.0 if self.stream == "whole" else min(HOPELESS, self.threshold)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a router decides by; see ``RoutingChatModel`` for the meaning of each setting.

    Attributes:
        tiers: Cheapest first, two or more.
        thresholds: One fewer than tiers, rising; a score above the k-th goes above the k-th tier.
        escalation: When a weak answer moves up, or None for never.
        rules: Asked in order before the classifier.
        default_tier: Where a call goes when the classifier cannot be asked.
        classify: Whether there is a classifier; without one every call starts at the cheapest tier.
        validate: Which answers wrong on their face escalate; names out of ``validate.FAULTS``.
        failover: Whether a tier that is not available is replaced by another. A weak answer that is already there is
            given, marked degraded, either way.
        deadline_s: Seconds for the whole call, all tiers together, or None.

    Raises:
        ConfigError: Too few tiers, a name twice, tiers not cheapest first, thresholds of the wrong number or order.
        UnknownTier: ``default_tier`` is none of the tiers.
    """

    tiers: tuple[Tier, ...]
    thresholds: tuple[float, ...]
    escalation: Confidence | None = None
    rules: tuple[Rule, ...] = ()
    default_tier: str
    classify: bool = True
    validate: frozenset[str] = FAULTS
    failover: bool = True
    deadline_s: float | None = None

    @classmethod
    def build(
        cls,
        tiers: Sequence[Tier],
        *,
        threshold: float | None = None,
        thresholds: Sequence[float] | None = None,
        classifier_threshold: float | None = None,
        default_tier: str | None = None,
        escalation: Confidence | None = None,
        rules: Sequence[Rule] = (),
        classify: bool = True,
        validate: bool | AbstractSet[str] = True,
        failover: bool = True,
        deadline_s: float | None = None,
    ) -> Policy:
        """Make a policy from what a user writes, with the defaults filled in.

        Args:
            tiers: Cheapest first.
            threshold: The one threshold of a router with two tiers.
            thresholds: The thresholds of a router with any number of tiers.
            classifier_threshold: The threshold the classifier ships with; 0.5 where it has none.
            default_tier: By default the last.
            escalation: See the class, as for the rest.
            rules: See the class.
            classify: See the class.
            validate: True for every fault, False for none, or their names.
            failover: See the class.
            deadline_s: See the class.

        Raises:
            ConfigError: See the class; or both ``threshold`` and ``thresholds`` were given.
        """
        tiers = checked_tiers(tiers)
        if threshold is not None and thresholds is not None:
            raise ConfigError("Give threshold= (two tiers) or thresholds= (any number), not both.")
        if threshold is not None:
            if len(tiers) > 2:
                raise ConfigError(
                    f"threshold={threshold!r} parts two tiers, and there are {len(tiers)}: give "
                    f"thresholds={list(default_thresholds(len(tiers)))} or the like, one number fewer than tiers."
                )
            thresholds = (probability(threshold, "threshold"),)
        elif thresholds is not None and (isinstance(thresholds, str) or not hasattr(thresholds, "__iter__")):
            raise ConfigError(f"thresholds={thresholds!r} must be a list of numbers, for example [0.35, 0.7].")
        elif thresholds is None:
            thresholds = default_thresholds(len(tiers), 0.5 if classifier_threshold is None else classifier_threshold)
        return cls(
            tiers=tiers,
            thresholds=tuple(thresholds),
            default_tier=tiers[-1].name if default_tier is None and tiers else str(default_tier),
            escalation=escalation,
            rules=_listed(rules),
            classify=classify,
            validate=checks_of(validate),
            failover=failover,
            deadline_s=deadline_s,
        )

    def __post_init__(self) -> None:
        names = self.names
        if len(names) < 2:
            raise ConfigError(
                f"tiers= has {len(names)} of the two or more tiers that a router needs, cheapest first: "
                "for example [Tier('small', 'ollama:phi3:mini', local=True), Tier('frontier', 'openai:gpt-4.1')]."
            )
        if twice := {name for name in names if names.count(name) > 1}:
            raise ConfigError(f"tiers= names {', '.join(sorted(twice))} twice; every tier needs a name of its own.")
        self._check_order()
        self._check_thresholds()
        if self.default_tier not in names:
            raise UnknownTier(self.default_tier, names, "default_tier")
        self._check_escalation()
        deadline_s = cast("object", self.deadline_s)
        if deadline_s is not None and not (isinstance(deadline_s, int | float) and 0 < deadline_s < math.inf):
            raise ConfigError(f"deadline_s={deadline_s!r} must be a positive number of seconds, or None.")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The tiers' names, cheapest first."""
        return tuple(tier.name for tier in self.tiers)

    @cached_property
    def ranks(self) -> dict[str, int]:
        """The places of the tiers by their names, the cheapest's 0."""
        return {name: place for place, name in enumerate(self.names)}

    @property
    def judge(self) -> Judge | None:
        """The user's judge, where answers are judged by one."""
        return self.escalation.judge if self.escalation else None

    def tier(self, name: str, setting: str = "tier") -> Tier:
        """Find a tier by its name.

        Raises:
            UnknownTier: There is none of that name.
        """
        for tier in self.tiers:
            if tier.name == name:
                return tier
        raise UnknownTier(name, self.names, setting)

    def tier_for(self, score: float) -> Tier:
        """Find the tier that a score in [0, 1] starts at: it goes up past every threshold that it is above."""
        return self.tiers[bisect_left(self.thresholds, score)]

    def _check_order(self) -> None:
        priced = [tier for tier in self.tiers if tier.input_price is not None]
        for low, high in itertools.pairwise(priced):
            low_prices, high_prices = declared_prices(low), declared_prices(high)
            if low_prices != high_prices and all(a >= b for a, b in zip(low_prices, high_prices, strict=True)):
                raise ConfigError(
                    f"tiers= must be cheapest first, but {high.name!r} costs less than {low.name!r}, which stands "
                    f"before it: swap them, or correct their input_price= and output_price=."
                )

    def _check_escalation(self) -> None:
        escalation = cast("object", self.escalation)
        if escalation is not None and not isinstance(escalation, Confidence):
            raise ConfigError(f"escalation={escalation!r} must be a Confidence, for example Confidence(0.85), or None.")
        for rule in self.rules:
            if not callable(rule):
                raise ConfigError(f"rules= holds {rule!r}: a rule is a callable from a RouteRequest to a tier or None.")

    def _check_thresholds(self) -> None:
        wanted = len(self.tiers) - 1
        example = list(default_thresholds(len(self.tiers)))
        if len(self.thresholds) != wanted:
            raise ConfigError(
                f"thresholds={list(self.thresholds)} must have {wanted} number{'s' * (wanted > 1)} for "
                f"{len(self.tiers)} tiers, one fewer than tiers; for example {example}."
            )
        for threshold in cast("tuple[object, ...]", self.thresholds):
            if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
                raise ConfigError(
                    f"thresholds={list(self.thresholds)} must be numbers from 0 to 1, for example {example}."
                )
        if list(self.thresholds) != sorted(set(self.thresholds)):
            raise ConfigError(
                f"thresholds={list(self.thresholds)} must rise from each to the next, the cheapest tier's first; "
                f"in order they are {sorted(self.thresholds)}, and no two may be the same."
            )


def checked_tiers(tiers: Sequence[object]) -> tuple[Tier, ...]:
    """Make sure that tiers are tiers.

    Raises:
        ConfigError: One is something else; the message says how to make a tier of it.
    """
    for tier in tiers:
        if not isinstance(tier, Tier):
            spec = repr(tier) if isinstance(tier, str) else type(tier).__name__
            raise ConfigError(f"tiers= holds {spec}, which is no Tier: write Tier('small', {spec}).")
    return cast("tuple[Tier, ...]", tuple(tiers))


def declared_prices(tier: Tier) -> tuple[Decimal, Decimal]:
    """The prices of a tier that declares them, as (input, output) in dollars for a million tokens."""
    assert isinstance(tier.input_price, Decimal)  # noqa: S101  a tier reads its prices when it is made
    assert isinstance(tier.output_price, Decimal)  # noqa: S101  it has both or neither
    return tier.input_price, tier.output_price


def default_thresholds(tiers: int, middle: float = 0.5) -> tuple[float, ...]:
    """Spread thresholds evenly, the one at half of the way being ``middle``.

    Args:
        tiers: How many tiers there are.
        middle: The threshold that two tiers would have.
    """
    halves = [2 * step / tiers for step in range(1, tiers)]
    return tuple(round(middle * h if h <= 1 else middle + (1 - middle) * (h - 1), 4) for h in halves)


def _listed(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    if callable(rules):
        raise ConfigError("rules= is a single callable; it must be a list of them: rules=[...].")
    return tuple(rules)
