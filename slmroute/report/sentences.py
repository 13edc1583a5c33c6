"""What a report says in words: the same sentences in the terminal, on the page and in a mail."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from slmroute.failures import LINE, FailureRate
from slmroute.report.facts import Report
from slmroute.report.gains import gain_of
from slmroute.report.wording import alike, count, counted, dollars, duration, percent, saving

MUCH: Final = Decimal("0.05")
"""From this share of the saving on, idle machines stand beside it."""

if TYPE_CHECKING:
    from slmroute.ledger.summary import Machine

__all__ = [
    "HOURS",
    "before",
    "certainty",
    "escalation",
    "failure",
    "headline",
    "idle",
    "machine",
    "outages",
    "speed",
    "summary",
    "unbilled",
]

HOURS: Final = (
    "A machine's hours count from its first call in this time to the end of the time (--until), or to the end of its "
    "last call where none is given: how much longer it is kept, nobody knows."
)
"""What is counted as a machine's hours, wherever they are shown."""


def headline(report: Report) -> str:
    """Say the one thing that matters: what was saved, or lost."""
    if not report.compares:
        return _unknown(report)
    gain, made = achieved(report), gain_of(report.total)
    besides = f", not counting {dollars(report.idle)} for idle machines" if _much_idle(report) else ""
    if report.achieved < 0:
        more = f"{gain.removeprefix('-')} more than it"
        if made.projected:
            return f"Routing would cost {more} would save, dry runs counted as if they were billed{besides}"
        return f"Routing cost {more} saved{besides}"
    if made.projected and made.saved:
        _, projected, _, saved = saving(report.achieved, made.projected, Decimal(0))
        return f"{saved} saved, {projected} more projected{besides}"
    return f"{gain} projected saving{besides}" if made.projected else f"{gain} saved{besides}"


def _unknown(report: Report) -> str:
    total = report.total
    if total.unpriced:
        cost = f"At least {dollars(total.cost)}, " if total.cost else ""
        return f"{cost}{counted(total.unpriced, 'call')} unpriced; the saving is not known"
    if not report.local[1] and not total.cost:
        return f"No answer to {counted(total.calls, 'call')}; there is no saving to know"
    return f"{dollars(total.cost)} {'would be' if total.dry_run_cost else 'was'} spent; the saving is not known"


def achieved(report: Report) -> str:
    """Write what routing saved, to the precision of ``summary``."""
    total = report.total
    return saving(total.baseline, total.compared_cost, total.degraded_gain)[-1]


def summary(report: Report) -> str:
    """Say what it would have cost, and what it cost."""
    total = report.total
    if not report.compares:
        if not total.unpriced and not report.local[1]:
            return f"{counted(total.calls, 'call')}. None got an answer, so that nothing can be compared."
        return (
            f"{counted(total.calls, 'call')}. None has both a cost and a price at the last tier, so that nothing can "
            "be compared."
        )
    word = gain_of(total).word if report.achieved >= 0 else "lost"
    share = "" if report.gain_share is None else f": {percent(abs(report.gain_share))} {word}"
    came = "would come" if total.dry_run_cost == total.cost and total.cost else "come" if total.dry_run_cost else ""
    cost_words = "and cost" if not came else f"and {came} to"
    baseline, cost, *_ = saving(total.baseline, total.compared_cost, total.degraded_gain)
    return (
        f"{counted(total.compared, 'call')} would have cost {baseline} had the last tier, the most capable model, "
        f"answered all, {cost_words} {cost}, everything counted{share}."
    )


def unbilled(report: Report) -> str | None:
    """Say how much of the cost nobody was charged; None where all of it was."""
    if not report.total.dry_run_cost:
        return None
    return (
        f"{dollars(report.total.dry_run_cost)} of the cost was never billed: a dry run generates nothing and is priced "
        "by estimated tokens."
    )


def outages(report: Report) -> str | None:
    """Say how many calls got a weaker answer than wanted, or none, and that they saved nothing; None without such."""
    total, parts = report.total, list[str]()
    if total.degraded:
        what = "a better tier failed or the budget barred it"
        parts.append(f"{counted(total.degraded, 'call')} got a weaker answer than wanted, because {what}")
    if report.unanswered:
        parts.append(f"{counted(report.unanswered, 'call')} failed")
    if not parts:
        return None
    text = ", and ".join(parts)
    if total.degraded_gain:
        less = saving(total.baseline, total.compared_cost, total.degraded_gain)[-2]
        word = "less" if total.degraded_gain > 0 else "more"
        text += f"; the {less.removeprefix('-')} that weaker answers cost {word} is no saving and in none of them here"
        text += f" ({dollars(report.gain)} with it)"
    return f"{text}."


def idle(report: Report) -> str | None:
    """Say what idle machines leave of the saving; None where there are none, or nothing is compared."""
    if not report.idle or not report.compares:
        return None
    net = report.achieved - report.idle
    word = gain_of(report.total).word
    kept = f"is {word}" if word == "projected" else f"was {word}"
    left = f"{dollars(net)} is left of what {kept}" if net >= 0 else f"all in all {dollars(-net)} was lost"
    return (
        f"Machines paid by the hour stood idle for {dollars(report.idle)}, which no call was charged and the saving "
        f"does not count: with it, {left}."
    )


def before(report: Report) -> str | None:
    """Say how it was in the time of the same length before; None where there was nothing to compare."""
    old = report.before
    if not old.compared or not old.baseline or report.gain_share is None:
        return None
    gain = gain_of(old)
    return (
        f"The {report.period.name} before: {percent(gain.share)} {gain.word} on {counted(old.compared, 'call')}; cost "
        f"{dollars(old.compared_cost)}."
    )


def certainty(report: Report) -> list[str]:
    """Say how far the saving can be relied on, one sentence for each thing that it rests on."""
    sure = report.certainty
    lines: list[str] = []
    if report.compares:
        low, high, assumed = alike(sure.low, sure.high, sure.assumed)
        lines.append(
            f"{gain_of(report.total).word.capitalize()}: between {low} and {high}, if the last tier had answered "
            "the other tiers' calls 20% cheaper or "
            f"dearer than assumed. {assumed} of what all would have cost there is such an assumption: the same amount "
            "of text at the last tier's price."
        )
    if sure.projected:
        lines.append(f"{dollars(sure.projected)} is projected, not saved: the last tier was a dry run.")
    if (free := unbilled(report)) is not None:
        lines.append(free)
    if sure.left_out:
        lines.append(
            f"Left out: {count(sure.left_out)} of {counted(report.total.calls, 'call')}, which have no known price."
        )
    elif report.compares:
        lines.append("Every call is priced and counted.")
    if sure.estimated:
        share = percent(sure.estimated / sure.attempts)
        lines.append(
            f"Tokens, the pieces of text that models are paid by, were estimated in {count(sure.estimated)} of "
            f"{counted(sure.attempts, 'request')} to models and classifiers ({share}); the rest is what they reported."
        )
    else:
        lines.append("All tokens, the pieces of text that models are paid by, are those that the providers reported.")
    lines += [said for said in (outages(report), idle(report)) if said is not None]
    if sure.lost:
        lines.append(f"The ledger lost {counted(sure.lost, 'row')}, whose calls are missing here.")
    return lines


def speed(report: Report) -> str | None:
    """Say how much faster the answers below the last tier came; None where it cannot be told."""
    factor = report.speed_up
    if factor is None:
        return None
    last = [tier for tier in report.tiers if tier.group in report.last_tiers]
    small = [tier for tier in report.tiers if tier.group is not None and tier.group not in report.last_tiers]
    middle = ", ".join(f"{tier.group} {duration(tier.total_ms.p50)}" for tier in (*small, *last))
    if 0.95 <= factor < 1.05:
        return f"Small answers came about as fast as the last tier's (the middle answer: {middle})."
    if factor < 1:
        return f"Small answers came {1 / factor:.1f} times slower than the last tier's (the middle answer: {middle})."
    return f"Small answers came {factor:.1f} times faster than the last tier's (the middle answer: {middle})."


def failure(rate: FailureRate) -> str:
    """Say how often a tier's answers failed, and where that stands against the line."""
    low, high = rate.interval
    where = {
        "under": f"under the {percent(LINE)} line",
        "over": f"over the {percent(LINE)} line",
        "open": f"either side of the {percent(LINE)} line is possible",
    }[rate.verdict]
    return (
        f"{rate.tier}: {count(rate.failures)} of {counted(rate.answers, 'answer')} failed, {percent(rate.rate)}; very "
        f"likely {percent(low)} to {percent(high)} in the long run: {where}."
    )


def escalation(report: Report) -> str:
    """Say how many calls moved up after a weak answer."""
    moved, calls, (low, high) = report.escalation
    return (
        f"{count(moved)} of {counted(calls, 'call')} moved up to a better tier after a weak answer, "
        f"{percent(moved / calls)}; very likely {percent(low)} to {percent(high)} in the long run."
    )


def machine(each: Machine) -> str:
    """Say what a machine paid by the hour cost, and how much of that its calls account for."""
    since, until = (f"{moment.astimezone(UTC):%-d %B %Y %H:%M}" for moment in (each.since, each.until))
    return (
        f"Tier {each.tier} is priced by the hour: {dollars(each.rent)} for the machine from {since} to {until} UTC, of "
        f"which its {counted(each.calls, 'call')} kept it busy for {dollars(each.charged)}; {dollars(each.idle)} went "
        f"by idle. That is {dollars(each.cost_per_call)} for each call served."
    )


def _much_idle(report: Report) -> bool:
    return report.idle > MUCH * abs(report.achieved)
