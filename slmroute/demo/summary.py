"""What the demo found: per tier, in money, and how far confidence would have caught the wrong answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Final

from slmroute.demo.routed import CALLS_A_MONTH, AsRouted, as_routed, measured_month
from slmroute.demo.run import IN_FLIGHT, SMALL_PRICES, Outcome
from slmroute.demo.small import SmallModel
from slmroute.estimate import Bill, Estimate, estimate
from slmroute.price import total_of
from slmroute.tier import Tier

__all__ = ["CALLS_A_MONTH", "DemoSummary", "KindLine", "SweepLine", "TierLine", "auc", "summarise", "sweep"]

THRESHOLDS: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class TierLine:
    """What one tier did.

    Attributes:
        tier: Its name.
        model: Its model.
        dry_run: Whether it generated nothing.
        calls: How many calls it answered.
        right: How many answers were right.
        wrong: How many were wrong.
        ungraded: How many are not graded: no right answer is known, or none was generated.
        input_tokens: Tokens of the prompts it was sent, drafts included.
        output_tokens: Tokens it generated, or would have.
        cost: Dollars; None where one attempt is unpriced.
        median_ms: Milliseconds that its answers took, the middle one.
        started: How many calls the router sent to it first, whichever tier answered them.
        agrees: How many of those a person would have sent there as well.
    """

    tier: str
    model: str
    dry_run: bool
    calls: int
    right: int
    wrong: int
    ungraded: int
    input_tokens: int
    output_tokens: int
    cost: Decimal | None
    median_ms: float | None
    started: int
    agrees: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KindLine:
    """What became of one kind of work.

    Attributes:
        kind: The kind.
        calls: How many requests.
        local: How many the small model answered.
        failed: How many got no answer.
        right: How many local answers were right.
        wrong: How many were wrong.
    """

    kind: str
    calls: int
    local: int
    failed: int
    right: int
    wrong: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepLine:
    """What escalating at one threshold would have done to the graded local answers.

    Attributes:
        threshold: Answers whose confidence is under it would have moved up.
        caught: How many wrong answers would have.
        wrong: How many wrong answers there are.
        disturbed: How many right answers would have as well.
        right: How many right answers there are.
    """

    threshold: float
    caught: int
    wrong: int
    disturbed: int
    right: int

    @property
    def served_right(self) -> float | None:
        """The share of right answers among those that would have stayed; None where none would."""
        stay = self.right - self.disturbed + self.wrong - self.caught
        return (self.right - self.disturbed) / stay if stay else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSummary:
    """All that the demo found.

    Attributes:
        small: The small model.
        frontier: The frontier's model.
        dry_run: Whether the frontier generated nothing, so that its costs and the saving are projected.
        requests: How many requests there were.
        seconds: How long they took, all together.
        tiers: One line for each tier.
        kinds: One line for each kind of work.
        agreement: The share of requests that the router sent first where a person would have sent them.
        cost: Dollars in all; None where something is unpriced.
        baseline: Dollars if all had gone to the frontier.
        routed: The requests that went as they were routed; the saving is theirs.
        local: How many requests the router kept at the small tier, whether or not that answered.
        textbook: What that mix comes to at the textbook's prices a call, at 100,000 calls a month.
        measured: The same from what the requests cost that went as they were routed; None where that is not known.
        local_weight: The part of that month's baseline that the calls make which stay local.
        sweep: What escalation by confidence would have done.
        auc: How well confidence tells right local answers from wrong ones: 0.5 is chance, 1 is always.
    """

    small: SmallModel
    frontier: str
    dry_run: bool
    requests: int
    seconds: float
    tiers: tuple[TierLine, ...]
    kinds: tuple[KindLine, ...]
    agreement: float
    cost: Decimal | None
    baseline: Decimal | None
    routed: AsRouted
    local: int
    textbook: Estimate
    measured: Bill | None
    local_weight: Decimal | None
    sweep: tuple[SweepLine, ...]
    auc: float | None

    @property
    def gain(self) -> Decimal | None:
        """Baseline minus cost of what went as it was routed; negative for a loss, None where something is unpriced."""
        return self.routed.gain

    @property
    def gain_share(self) -> Decimal | None:
        """The same as a share; None where requests that went otherwise are missing from the mix, or prices are."""
        if self.gain is None or not self.routed.baseline or self.routed.others:
            return None
        return self.gain / self.routed.baseline

    @property
    def local_share(self) -> float:
        """The share of requests that the router kept at the small tier."""
        return self.local / self.requests

    def to_json(self) -> dict[str, object]:
        """Give the summary as plain JSON, money as exact strings."""
        gain = "projected" if self.dry_run else "saved"
        return {
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "small": {"model": self.small.name, "server": self.small.server, "parameters": self.small.parameters,
                      "stand_in": self.small.stand_in, "prices_per_million_tokens": list(SMALL_PRICES)},
            "frontier": {"model": self.frontier, "dry_run": self.dry_run},
            "requests_in_flight": IN_FLIGHT,
            "tiers": [_fields(line) for line in self.tiers],
            "kinds": [_fields(line) for line in self.kinds],
            "agreement_with_a_person": round(self.agreement, 6),
            "agreement_is_of": "the tier that the router chose, whichever answered",
            "cost": _money(self.cost),
            "baseline": _money(self.baseline),
            "as_routed": {"calls": self.routed.calls, "cost": _money(self.routed.cost),
                          "baseline": _money(self.routed.baseline)},
            gain: _money(self.gain),
            "not_as_routed": {"calls": self.routed.others, "degraded": self.routed.degraded,
                              "covered": self.routed.covered, "failed": self.routed.failed,
                              "baseline_minus_cost": _money(self.routed.elsewhere)},
            "local_share": round(self.local_share, 6),
            "at_100000_calls_a_month": {
                "textbook_prices": self.textbook.month.to_json(),
                "measured_costs": None if self.measured is None else self.measured.to_json(),
            },
            "escalation_by_confidence": {
                "auc": None if self.auc is None else round(self.auc, 6),
                "thresholds": [{**_fields(line), "served_right": line.served_right} for line in self.sweep],
            },
        }  # fmt: skip


def summarise(outcomes: Sequence[Outcome], *, small: SmallModel, tiers: Sequence[Tier], seconds: float) -> DemoSummary:
    """Sum up a run.

    Args:
        outcomes: What became of the requests, one or more.
        small: The small model.
        tiers: The tiers, cheapest first.
        seconds: How long the run took.
    """
    frontier = tiers[-1]
    cost = total_of(outcome.record.cost for outcome in outcomes)
    baseline = total_of(outcome.record.baseline for outcome in outcomes)
    measured, weight = measured_month(outcomes) or (None, None)
    local = sum(outcome.local for outcome in outcomes)
    share = round(Decimal(local) / len(outcomes), 3)
    answered = [outcome for outcome in outcomes if outcome.local and outcome.as_routed]
    graded = [(outcome.record.confidence, outcome.right) for outcome in answered if outcome.right is not None]
    judged = [(confidence, right) for confidence, right in graded if confidence is not None]
    return DemoSummary(
        small=small,
        frontier=(frontier.spec or "").partition(":")[2],
        dry_run=frontier.dry_run,
        requests=len(outcomes),
        seconds=seconds,
        tiers=tuple(_tier_line(tier, outcomes) for tier in tiers),
        kinds=_kind_lines(outcomes, tiers[0].name),
        agreement=sum(outcome.agrees for outcome in outcomes) / len(outcomes),
        cost=cost,
        baseline=baseline,
        routed=as_routed(outcomes),
        local=local,
        textbook=estimate(CALLS_A_MONTH, simple=share),
        measured=measured,
        local_weight=weight,
        sweep=sweep(judged),
        auc=auc(judged),
    )


def sweep(judged: Sequence[tuple[float, bool]]) -> tuple[SweepLine, ...]:
    """Tell what each threshold would have done.

    Args:
        judged: The confidence in each graded local answer, and whether it was right.
    """
    right = sum(good for _, good in judged)
    return tuple(
        SweepLine(
            threshold=threshold,
            caught=sum(confidence < threshold and not good for confidence, good in judged),
            wrong=len(judged) - right,
            disturbed=sum(confidence < threshold and good for confidence, good in judged),
            right=right,
        )
        for threshold in THRESHOLDS
        if judged
    )


def auc(judged: Sequence[tuple[float, bool]]) -> float | None:
    """Give the probability that a right answer has the higher confidence of a right and a wrong one.

    Args:
        judged: The confidence in each answer, and whether it was right.

    Returns:
        The area under the ROC curve, ties counting half (the Mann-Whitney statistic); None without both kinds.
    """
    right = [confidence for confidence, good in judged if good]
    wrong = [confidence for confidence, good in judged if not good]
    if not right or not wrong:
        return None
    wins = sum((a > b) + (a == b) / 2 for a in right for b in wrong)
    return wins / (len(right) * len(wrong))


def _tier_line(tier: Tier, outcomes: Sequence[Outcome]) -> TierLine:
    own = [outcome for outcome in outcomes if outcome.record.tier == tier.name]
    attempts = [attempt for outcome in outcomes for attempt in outcome.record.attempts if attempt.tier == tier.name]
    final = [attempt.total_ms for attempt in attempts if attempt.role == "final"]
    verdicts = Counter(outcome.right for outcome in own)
    return TierLine(
        tier=tier.name,
        model=(tier.spec or "").partition(":")[2],
        dry_run=tier.dry_run,
        calls=len(own),
        right=verdicts[True],
        wrong=verdicts[False],
        ungraded=verdicts[None],
        input_tokens=sum(attempt.usage.input_tokens for attempt in attempts if attempt.usage),
        output_tokens=sum(attempt.usage.output_tokens for attempt in attempts if attempt.usage),
        cost=total_of(attempt.cost for attempt in attempts),
        median_ms=median(final) if final and not tier.dry_run else None,
        started=sum(outcome.start == tier.name for outcome in outcomes),
        agrees=sum(outcome.agrees for outcome in outcomes if outcome.start == tier.name),
    )


def _kind_lines(outcomes: Sequence[Outcome], small: str) -> tuple[KindLine, ...]:
    def of(kind: str, true: Callable[[Outcome], bool]) -> int:
        return sum(outcome.request.kind == kind and true(outcome) for outcome in outcomes)

    return tuple(
        KindLine(
            kind=kind,
            calls=of(kind, lambda _: True),
            local=of(kind, lambda outcome: outcome.record.tier == small),
            failed=of(kind, lambda outcome: outcome.record.status != "ok"),
            right=of(kind, lambda outcome: outcome.record.tier == small and outcome.right is True),
            wrong=of(kind, lambda outcome: outcome.record.tier == small and outcome.right is False),
        )
        for kind in dict.fromkeys(outcome.request.kind for outcome in outcomes)
    )


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")


def _fields(line: TierLine | KindLine | SweepLine) -> dict[str, object]:
    values = {name: getattr(line, name) for name in type(line).__slots__}
    return {name: _money(value) if isinstance(value, Decimal) else value for name, value in values.items()}
