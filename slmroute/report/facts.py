"""The facts of a report: what the ledger says of a time, and what follows from it by plain arithmetic."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

from slmroute.errors import LedgerError
from slmroute.failures import FailureRate, wilson
from slmroute.report.gains import gain_of
from slmroute.report.period import Period

if TYPE_CHECKING:
    from slmroute.ledger.summary import AttemptSummary, CallSummary, Machine

__all__ = ["Certainty", "Group", "MoneyPart", "PartName", "Report", "read_report"]

ZERO: Final = Decimal(0)

AS_BASELINE: Final = Decimal("0.95")
"""Where calls do not say so, a tier is the one of their baseline whose answers cost nearly what that says."""

ASSUMED: Final = Decimal("0.2")
"""By how much the last tier's answers may have been cheaper or dearer than those that were really given."""

Group = Literal["day", "tier", "key", "tag"]

PartName = Literal["classifier", "small answers", "drafts thrown away", "frontier answers", "judges", "failed attempts"]


@dataclass(frozen=True, slots=True)
class MoneyPart:
    """A part of the money spent.

    Attributes:
        name: What it was spent on.
        cost: Dollars.
        unpriced: How many attempts have no known price, so that more was spent than is said.
    """

    name: PartName
    cost: Decimal
    unpriced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Certainty:
    """How far the saving can be relied on.

    Attributes:
        low: The saving, had the last tier answered the calls that it did not get 20% cheaper than assumed.
        high: The same, 20% dearer.
        assumed: The part of the baseline that rests on calls which the last tier did not get.
        projected: The part of the saving against a tier that was not really called.
        compared: How many calls the saving is of.
        left_out: How many calls are in no comparison, for want of a price.
        attempts: How many attempts were made.
        estimated: How many of them have estimated tokens, not reported ones.
        lost: How many rows of the ledger are known to be lost, whenever that was.
    """

    low: Decimal
    high: Decimal
    assumed: Decimal
    projected: Decimal
    compared: int
    left_out: int
    attempts: int
    estimated: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the ledger says of a time.

    Attributes:
        ledger: Where the ledger is.
        period: The time.
        made_at: When this was read.
        total: All calls together.
        before: All calls of the time of the same length before.
        days: The calls of each day that has some.
        tiers: The calls that each tier answered; the group None got no answer.
        keys: The calls of each key, dearest first.
        tags: The calls with each tag, dearest first; a call counts in each of its tags.
        reasons: The calls by why they started where they started.
        called: The attempts at each tier, classifier and judge, by whom they were sent to.
        roles: The attempts by role.
        failures: How often each tier's answers failed.
        failures_by_category: The same for each kind of task.
        machines: Tiers priced by the hour, to their last call where the time has not ended yet.
        baseline_tiers: How many of the calls that each tier answered have a baseline of which tier, as far as they say.
        lost: How many rows the ledger is known to have lost.
    """

    ledger: str
    period: Period
    made_at: datetime
    total: CallSummary
    before: CallSummary
    days: tuple[CallSummary, ...]
    tiers: tuple[CallSummary, ...]
    keys: tuple[CallSummary, ...]
    tags: tuple[CallSummary, ...]
    reasons: tuple[CallSummary, ...]
    called: tuple[AttemptSummary, ...]
    roles: tuple[AttemptSummary, ...]
    failures: tuple[FailureRate, ...]
    failures_by_category: tuple[FailureRate, ...]
    machines: tuple[Machine, ...]
    baseline_tiers: Mapping[str | None, Mapping[str, int]]
    lost: int

    def groups(self, by: Group) -> tuple[CallSummary, ...]:
        """Give the calls by day, by tier that answered, by key or by tag."""
        return {"day": self.days, "tier": self.tiers, "key": self.keys, "tag": self.tags}[by]

    @property
    def gain(self) -> Decimal:
        """Dollars saved, and projected to be saved; negative for a loss."""
        return self.total.baseline - self.total.compared_cost

    @property
    def achieved(self) -> Decimal:
        """The part of the gain that routing made: without what an answer that should have been better cost less."""
        return gain_of(self.total).both

    @property
    def idle(self) -> Decimal:
        """Dollars for the hours in which machines paid by the hour waited for work, which no call was charged."""
        return sum((machine.idle for machine in self.machines), ZERO)

    @property
    def unanswered(self) -> int:
        """How many calls failed, before or within the answer; what callers gave up themselves is none of them."""
        return self.total.statuses.get("error", 0) + self.total.statuses.get("partial", 0)

    @property
    def gain_share(self) -> float | None:
        """What routing achieved as a share of the baseline; None without a baseline."""
        return gain_of(self.total).share

    @property
    def compares(self) -> bool:
        """Whether anything can be compared: an answer whose cost and baseline are known, or money spent without one."""
        if not self.total.compared:
            return False
        answered = any(tier.compared for tier in self.tiers if tier.group is not None)
        return answered or bool(self.total.baseline or self.total.compared_cost)

    @property
    def last_tiers(self) -> frozenset[str]:
        """The tiers that the baseline is reckoned with and that gave answers.

        Several routers may write to one ledger: a tier that is the last of one only is none where most of its answers
        are another's. Calls from before the ledger kept the tier's name leave it to what their answers cost.
        """
        return frozenset(tier.group for tier in self.tiers if tier.group is not None and self._is_last(tier))

    def _is_last(self, tier: CallSummary) -> bool:
        known = self.baseline_tiers.get(tier.group, {})
        if known:
            return 2 * known.get(tier.group or "", 0) > sum(known.values())
        return tier.baseline > 0 and tier.role_cost.get("final", ZERO) >= AS_BASELINE * tier.baseline

    @property
    def local(self) -> tuple[int, int]:
        """How many calls were answered below the last tier, and how many were answered at all."""
        answered = [tier for tier in self.tiers if tier.group is not None]
        return sum(t.calls for t in answered if t.group not in self.last_tiers), sum(t.calls for t in answered)

    @property
    def money(self) -> tuple[MoneyPart, ...]:
        """Where the money went; the parts add up to ``total.cost`` exactly."""
        last = self.last_tiers

        def role(name: PartName, role: str) -> MoneyPart:
            return MoneyPart(name, self.total.role_cost.get(role, ZERO), self.total.role_unpriced.get(role, 0))

        def answers(name: PartName, *, of_last: bool) -> MoneyPart:
            tiers = [tier for tier in self.tiers if (tier.group in last) == of_last]
            cost = sum((tier.role_cost.get("final", ZERO) for tier in tiers), ZERO)
            return MoneyPart(name, cost, sum(tier.role_unpriced.get("final", 0) for tier in tiers))

        return (
            role("classifier", "classifier"),
            answers("small answers", of_last=False),
            role("drafts thrown away", "draft"),
            answers("frontier answers", of_last=True),
            role("judges", "judge"),
            role("failed attempts", "failed"),
        )

    @property
    def dry_tiers(self) -> frozenset[str]:
        """The tiers that generated nothing in all calls that they answered, so that nothing is known of their times."""
        return frozenset(tier.group for tier in self.tiers if tier.group is not None and tier.dry_runs == tier.calls)

    @property
    def speed_up(self) -> float | None:
        """How many times faster the middle answer below the last tier came; None where it cannot be told."""
        last = [tier for tier in self.tiers if tier.group in self.last_tiers - self.dry_tiers]
        small = [tier for tier in self.tiers if tier.group is not None and tier.group not in self.last_tiers]
        slow, fast = _middle(last), _middle(small)
        return slow / fast if slow and fast else None

    @property
    def escalation(self) -> tuple[int, int, tuple[float, float]]:
        """How many calls moved up after a weak answer, of how many, and where the true rate lies at 95%."""
        return self.total.escalated, self.total.calls, wilson(self.total.escalated, self.total.calls)

    @property
    def certainty(self) -> Certainty:
        """How far the saving can be relied on."""
        assumed = sum((tier.baseline for tier in self.tiers if tier.group not in self.last_tiers), ZERO)
        return Certainty(
            low=self.achieved - ASSUMED * assumed,
            high=self.achieved + ASSUMED * assumed,
            assumed=assumed,
            projected=gain_of(self.total).projected,
            compared=self.total.compared,
            left_out=self.total.calls - self.total.compared,
            attempts=sum(role.attempts for role in self.roles),
            estimated=self.total.tokens.estimated_attempts,
            lost=self.lost,
        )

    @property
    def every_day(self) -> tuple[tuple[str, CallSummary | None], ...]:
        """All days of the time, those without calls included, first to last."""
        found: Mapping[str | None, CallSummary] = {day.group: day for day in self.days}
        first, last = self.period.since.date(), (self.period.until - timedelta(microseconds=1)).date()
        dates = [str(first + timedelta(days=n)) for n in range((last - first).days + 1)]
        return tuple((date, found.get(date)) for date in dates)


def read_report(ledger: str | os.PathLike[str], period: Period | None = None) -> Report:
    """Read a report from a ledger.

    Args:
        ledger: The ledger: a file or a database URL.
        period: The time it is about; None for the week that ends now.

    Raises:
        LedgerError: There is no ledger, it cannot be read, or it has no calls in this time; the message says what it
            has.
        MissingExtra: The extra ``ledger`` is not installed.
    """
    from slmroute.ledger import LedgerReader

    reader = LedgerReader(ledger)
    period = period or Period.read()
    span = (period.since, period.until)
    total = reader.total(*span)
    if total.calls == 0:
        raise LedgerError(_nothing(reader.address.shown, period, reader.sums("day")))
    return Report(
        ledger=reader.address.shown,
        period=period,
        made_at=datetime.now(UTC),
        total=total,
        before=reader.total(period.before.since, period.before.until),
        days=tuple(reader.sums("day", *span)),
        tiers=tuple(reader.sums("tier", *span)),
        keys=_dearest(reader.sums("key", *span)),
        tags=_dearest(reader.sums("tag", *span)),
        reasons=tuple(reader.sums("reason", *span)),
        called=tuple(reader.attempt_sums("tier", *span)),
        roles=tuple(reader.attempt_sums("role", *span)),
        failures=tuple(reader.failures(*span)),
        failures_by_category=tuple(reader.failures(*span, by_category=True)),
        machines=tuple(reader.machines(period.since, None if period.is_open else period.until)),
        baseline_tiers=reader.baseline_tiers(*span),
        lost=reader.lost,
    )


def _dearest(groups: Iterable[CallSummary]) -> tuple[CallSummary, ...]:
    return tuple(sorted(groups, key=lambda group: (-group.cost, -group.calls, group.group or "")))


def _middle(tiers: Sequence[CallSummary]) -> float | None:
    """The median time of some tiers' calls together: the medians, weighted by calls, as rows are not read here."""
    known = [(tier.total_ms.p50, tier.calls - tier.dry_runs) for tier in tiers if tier.total_ms.p50 is not None]
    calls = sum(number for _, number in known)
    return sum(ms * number for ms, number in known) / calls if calls else None


def _nothing(ledger: str, period: Period, days: Sequence[CallSummary]) -> str:
    if not days:
        return (
            f"The ledger {ledger} is empty: no call was written to it yet. Give a router ledger={ledger!r}, or look "
            "whether another ledger is meant (--ledger)."
        )
    calls = sum(day.calls for day in days)
    return (
        f"The ledger {ledger} has no calls of {period}. It has {calls:,}, from {days[0].group} to {days[-1].group}: "
        f"--since {days[0].group} --until {days[-1].group}"
    )
