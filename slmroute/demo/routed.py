"""What of a run went as it was routed, and what an outage changed: the latter is neither a saving nor the router's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from slmroute.demo.run import Outcome
from slmroute.estimate import Bill
from slmroute.price import total_of

__all__ = ["CALLS_A_MONTH", "AsRouted", "as_routed", "measured_month"]

CALLS_A_MONTH: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AsRouted:
    """The requests that went as they were routed, what they cost, and how many did not.

    Attributes:
        calls: How many were answered by the tier that they were routed to, or moved up from there after a weak answer.
        cost: Dollars for these; None where something is unpriced.
        baseline: Dollars for these, had all gone to the frontier.
        degraded: How many were for the frontier, did not get its answer, and were given the small model's.
        covered: How many were for the small model, which did not answer, and were answered by the frontier.
        failed: How many got no answer.
        elsewhere: Baseline minus cost of those that did not go as they were routed; None where something is unpriced.
    """

    calls: int
    cost: Decimal | None
    baseline: Decimal | None
    degraded: int
    covered: int
    failed: int
    elsewhere: Decimal | None

    @property
    def others(self) -> int:
        """How many did not go as they were routed."""
        return self.degraded + self.covered + self.failed

    @property
    def gain(self) -> Decimal | None:
        """Baseline minus cost of those that did; negative for a loss, None where something is unpriced."""
        return None if self.cost is None or self.baseline is None else self.baseline - self.cost


def as_routed(outcomes: Sequence[Outcome]) -> AsRouted:
    """Tell apart what went as it was routed and what did not.

    Args:
        outcomes: What became of the requests.
    """
    went = [outcome for outcome in outcomes if outcome.as_routed]
    others = [outcome for outcome in outcomes if not outcome.as_routed]
    saved = [total_of(getattr(outcome.record, name) for outcome in others) for name in ("baseline", "cost")]
    failed = sum(outcome.record.status != "ok" for outcome in others)
    degraded = sum(outcome.record.degraded and outcome.record.status == "ok" for outcome in others)
    return AsRouted(
        calls=len(went),
        cost=total_of(outcome.record.cost for outcome in went),
        baseline=total_of(outcome.record.baseline for outcome in went),
        degraded=degraded,
        covered=len(others) - failed - degraded,
        failed=failed,
        elsewhere=None if saved[0] is None or saved[1] is None else saved[0] - saved[1],
    )


def measured_month(outcomes: Sequence[Outcome]) -> tuple[Bill, Decimal] | None:
    """Give a month of calls like these: the mix that the router chose, at what the calls cost that went as routed.

    Args:
        outcomes: What became of the requests, one or more.

    Returns:
        The month's bill, and the part of its baseline that the calls make which stay local; None where a call that
        counts is unpriced, or one side of the mix has no call that went as routed.
    """
    bills: list[tuple[Decimal, Outcome]] = []
    local_baseline = Decimal(0)
    for local in (True, False):
        chosen = [outcome for outcome in outcomes if outcome.local is local]
        counted = [outcome for outcome in chosen if outcome.as_routed]
        if chosen and not counted:
            return None
        times = Decimal(CALLS_A_MONTH * len(chosen)) / (len(outcomes) * len(counted)) if counted else Decimal(0)
        bills += [(times, outcome) for outcome in counted]
        if local:
            local_baseline = sum((times * (each.record.baseline or 0) for each in counted), Decimal(0))
    if any(outcome.record.cost is None or outcome.record.baseline is None for _, outcome in bills):
        return None
    tiers: dict[str, Decimal] = {}
    classifier = baseline = Decimal(0)
    for times, outcome in bills:
        baseline += times * (outcome.record.baseline or 0)
        for attempt in outcome.record.attempts:
            cost = times * (attempt.cost or 0)
            if attempt.role == "classifier":
                classifier += cost
            else:
                tiers[attempt.tier] = tiers.get(attempt.tier, Decimal(0)) + cost
    bill = Bill(calls=CALLS_A_MONTH, classifier=classifier, tiers=tiers, escalations=Decimal(0), baseline=baseline)
    return bill, local_baseline / baseline if baseline else Decimal(0)
