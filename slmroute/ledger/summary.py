"""What sums over the ledger look like. Sums of money add up exactly, whatever the grouping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from slmroute.record import RouteRecord

__all__ = ["AttemptSummary", "CallSummary", "Machine", "Quantiles", "StoredCall", "Tokens"]

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A call as the ledger has it.

    Attributes:
        record: The call.
        feedback: What each source said of its answer: good or not.
    """

    record: RouteRecord
    feedback: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """How long things took, in milliseconds: by nearest rank, so that each is a time that was really measured."""

    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of all attempts; ``estimated_attempts`` of them were not reported by the provider but estimated."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated_attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSummary:
    """The calls of one group.

    Attributes:
        group: What they have in common: a day, tier, key ...; None for calls that have none, and for the total.
        calls: How many.
        statuses: How many ended in each way.
        escalated: How many a weak answer moved up.
        degraded: How many got a weaker answer than wanted.
        cost: Dollars for all their attempts that are priced.
        dry_run_cost: The part of it that was not paid, because the tier generates nothing.
        unpriced: How many calls hold an attempt whose price is not known, so that they cost more than is said.
        compared: How many calls have both a cost and a baseline.
        compared_cost: What those cost.
        baseline: What those would have cost at the last tier.
        saved: ``baseline - compared_cost`` where the last tier is real; negative for a loss.
        projected: The same where it is a dry run. ``saved + projected == baseline - compared_cost``, exactly.
        degraded_gain: The part of ``saved + projected`` that comes from degraded calls: they cost less than the last
            tier because a better one did not answer, which is no saving that routing made.
        degraded_projected: The part of that which is in ``projected``.
        role_cost: The part of ``cost`` that went into each role.
        role_unpriced: How many attempts of each role are not priced.
        tokens: The tokens of all attempts.
        dry_runs: How many calls hold an attempt at a tier that generates nothing.
        total_ms: How long the other calls took.
        ttft_ms: How long the first token shown took, for calls that were streamed.
    """

    group: str | None = None
    calls: int = 0
    statuses: Mapping[str, int] = field(default_factory=dict[str, int])
    escalated: int = 0
    degraded: int = 0
    cost: Decimal = ZERO
    dry_run_cost: Decimal = ZERO
    unpriced: int = 0
    compared: int = 0
    compared_cost: Decimal = ZERO
    baseline: Decimal = ZERO
    saved: Decimal = ZERO
    projected: Decimal = ZERO
    degraded_gain: Decimal = ZERO
    degraded_projected: Decimal = ZERO
    role_cost: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    role_unpriced: Mapping[str, int] = field(default_factory=dict[str, int])
    tokens: Tokens = Tokens()
    dry_runs: int = 0
    total_ms: Quantiles = Quantiles()
    ttft_ms: Quantiles = Quantiles()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSummary:
    """The attempts of one group.

    Attributes:
        group: What they have in common: a role, tier, model, provider or price.
        attempts: How many.
        cost: Dollars for those that are priced.
        dry_run_cost: The part of it that was not paid.
        unpriced: How many are not priced.
        errors: How many ended in each class of error.
        faults: How many answers were rejected for each fault.
        tokens: Their tokens.
        total_ms: How long they took.
        ttft_ms: How long the first token took, where they were streamed.
    """

    group: str | None
    attempts: int = 0
    cost: Decimal = ZERO
    dry_run_cost: Decimal = ZERO
    unpriced: int = 0
    errors: Mapping[str, int] = field(default_factory=dict[str, int])
    faults: Mapping[str, int] = field(default_factory=dict[str, int])
    tokens: Tokens = Tokens()
    total_ms: Quantiles = Quantiles()
    ttft_ms: Quantiles = Quantiles()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A tier priced by the hour, over a time: what the machine cost, and how little of that its calls account for.

    Attributes:
        tier: The tier.
        since: From when.
        until: To when.
        calls: How many attempts it served.
        rent: Dollars for all the hours, busy and idle.
        charged: Dollars that the calls were charged, for the time they kept it busy.
    """

    tier: str
    since: datetime
    until: datetime
    calls: int
    rent: Decimal
    charged: Decimal

    @property
    def idle(self) -> Decimal:
        """Dollars for the hours in which it waited for work.

        Zero where the calls were charged more, as those of several processes were up to schema 0004.
        """
        return max(self.rent - self.charged, ZERO)

    @property
    def cost_per_call(self) -> Decimal | None:
        """The rent spread over the calls served; None when there were none."""
        return self.rent / self.calls if self.calls else None
