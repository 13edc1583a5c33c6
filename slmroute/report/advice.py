"""What to do next, from the data: each piece of advice rests on a figure that it names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from slmroute.failures import LINE, FailureRate
from slmroute.report.facts import Report
from slmroute.report.gains import gain_of
from slmroute.report.wording import count, counted, dollars, percent

__all__ = ["Advice", "advice_of"]

ENOUGH_ANSWERS: Final = 73
"""So many answers without a failure put the rate under 5% with 95% confidence (Wilson's interval)."""

MUCH_MONEY: Final = Decimal("0.05")
NOTABLE_SHARE: Final = 0.02
MANY: Final = 5
ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do.

    Attributes:
        what: What to do, as an order.
        why: The figure that it rests on.
    """

    what: str
    why: str


def advice_of(report: Report) -> tuple[Advice, ...]:
    """Give what to do next, the most pressing first; at most five."""
    idle = list(_idle(report))
    pressing = report.idle > max(report.achieved, ZERO)
    found = [*_losing(report), *(idle if pressing else ()), *_failing(report), *_unseen(report), *_unpriced(report),
             *_outages(report), *_degraded(report), *_projected(report), *_drafts(report), *_dear_key(report),
             *(() if pressing else idle)]  # fmt: skip
    if not found:
        return (Advice("Nothing is pressing.", "No rate is over its line and every call is priced."),)
    return tuple(found[:MANY])


def _losing(report: Report) -> Iterator[Advice]:
    if report.compares and report.achieved < 0:
        dearest = max(report.money, key=lambda part: part.cost)
        yield Advice(
            "Find out why routing costs more than it saves; until then send everything to the last tier.",
            f"It {'would cost' if report.total.dry_run_cost else 'cost'} {dollars(-report.achieved)} more than the "
            f"last tier alone; most of it went into {dearest.name} "
            f"({dollars(dearest.cost)}).",
        )


def _failing(report: Report) -> Iterator[Advice]:
    over = [rate for rate in report.failures if rate.tier not in report.last_tiers and rate.verdict == "over"]
    for rate in over:
        worst = [each for each in report.failures_by_category if each.tier == rate.tier and each.verdict == "over"]
        kinds = [each for each in sorted(worst, key=_rate, reverse=True) if each.category is not None][:3]
        if kinds:
            names = ", ".join(f"{each.category} ({percent(each.rate)} of {each.answers})" for each in kinds)
            yield Advice(
                f"Send these kinds of task above {rate.tier} (rules=), or give it a better model: {names}.",
                f"{_failed(rate)} failed: {percent(rate.rate)}, which is over the {percent(LINE)} line.",
            )
        else:
            yield Advice(
                f"Lower the threshold, or let weak answers of {rate.tier} move up (escalation=, slmroute calibrate).",
                f"{_failed(rate)} failed: {percent(rate.rate)}, which is over the {percent(LINE)} line. Tag calls with "
                "category:... to see which kinds.",
            )


def _unseen(report: Report) -> Iterator[Advice]:
    for rate in report.failures:
        if rate.tier in report.last_tiers or rate.verdict != "open":
            continue
        low, high = rate.interval
        said = (
            ""
            if rate.answers >= ENOUGH_ANSWERS
            else f", and only {counted(rate.answers, 'answer')} {'was' if rate.answers == 1 else 'were'} seen"
        )
        yield Advice(
            f"Have more answers of {rate.tier} looked at: model.feedback(call_id, good=...) or slmroute feedback.",
            f"Its failure rate lies between {percent(low)} and {percent(high)}, so that it may be over the "
            f"{percent(LINE)} line or under it{said}.",
        )


def _unpriced(report: Report) -> Iterator[Advice]:
    unpriced = [(tier.group, tier.unpriced) for tier in report.called if tier.unpriced]
    if unpriced:
        names = ", ".join(str(name) for name, _ in unpriced)
        yield Advice(
            f"Set input_price= and output_price= (or hour_price=) of {names}.",
            f"No known price: {counted(sum(number for _, number in unpriced), 'attempt')}; left out of the saving: "
            f"{counted(report.total.calls - report.total.compared, 'call')}.",
        )


def _outages(report: Report) -> Iterator[Advice]:
    by_default = sum(reason.calls for reason in report.reasons if reason.group == "default")
    if by_default > NOTABLE_SHARE * report.total.calls:
        yield Advice(
            "See why the classifier could not be asked (slmroute doctor).",
            f"{counted(by_default, 'call')} ({percent(by_default / report.total.calls)}) went to the default tier "
            "without a score.",
        )
    for tier in report.called:
        errors = sum(tier.errors.values())
        if errors > NOTABLE_SHARE * tier.attempts:
            kind, _ = max(tier.errors.items(), key=lambda item: item[1])
            yield Advice(
                f"See what is wrong with {tier.group} (slmroute doctor).",
                f"{count(errors)} of {counted(tier.attempts, 'attempt')} there ended in an error, most of them {kind}.",
            )


def _degraded(report: Report) -> Iterator[Advice]:
    total = report.total
    if total.degraded > NOTABLE_SHARE * total.calls:
        yield Advice(
            "See why better tiers did not answer (slmroute doctor), or whether the budget is too small.",
            f"{counted(total.degraded, 'call')} ({percent(total.degraded / total.calls)}) got a weaker answer than "
            "wanted.",
        )


def _projected(report: Report) -> Iterator[Advice]:
    if projected := gain_of(report.total).projected:
        yield Advice(
            "Put a real model in place of the dry run to turn the projection into a saving.",
            f"{dollars(projected)} of the figures are projected: the frontier was not called.",
        )


def _drafts(report: Report) -> Iterator[Advice]:
    drafts = next(part.cost for part in report.money if part.name == "drafts thrown away")
    if drafts > MUCH_MONEY * report.total.cost:
        yield Advice(
            "Send calls up at once that end up there: lower the threshold of the classifier.",
            f"{dollars(drafts)} ({percent(drafts / report.total.cost)} of the cost) went into drafts that were thrown "
            f"away in {counted(report.total.escalated, 'call')} that moved up.",
        )


def _dear_key(report: Report) -> Iterator[Advice]:
    named = [key for key in report.keys if key.group is not None]
    if len(named) < 2 or not report.total.cost:
        return
    top = named[0]
    share = top.cost / report.total.cost
    gain = gain_of(top)
    if share > Decimal("0.3") and gain.share is not None:
        what = f"{percent(gain.share)} is {gain.word} there"
        yield Advice(
            f"Look at the calls of {top.group} first: what they cost weighs most (slmroute audit).",
            f"They make up {dollars(top.cost)} ({percent(share)} of the cost), and {what}.",
        )


def _idle(report: Report) -> Iterator[Advice]:
    for machine in report.machines:
        if machine.rent and machine.idle > machine.rent / 2:
            yield Advice(
                f"Give the machine of {machine.tier} more to do, or rent a smaller one.",
                f"It cost {dollars(machine.rent)} and stood idle for {dollars(machine.idle)} of that; its calls were "
                f"charged {dollars(machine.charged)}.",
            )


def _rate(rate: FailureRate) -> float:
    return rate.rate or 0.0


def _failed(rate: FailureRate) -> str:
    return f"{rate.failures} of {rate.answers} answer{'' if rate.answers == 1 else 's'} of {rate.tier}"
