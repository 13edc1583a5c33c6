"""What a report says in words: the same sentences in the terminal, on the page and in a mail."""

from __future__ import annotations

from slmroute.failures import LINE, FailureRate
from slmroute.report.facts import Report
from slmroute.report.wording import count, dollars, duration, percent

__all__ = ["before", "certainty", "escalation", "failure", "headline", "speed", "summary"]


def headline(report: Report) -> str:
    """Say the one thing that matters: what was saved, or lost."""
    gain = report.gain
    if not report.total.compared:
        return f"{dollars(report.total.cost)} spent; the saving is not known"
    if gain < 0:
        return f"Routing cost {dollars(-gain)} more than it saved"
    if report.gain_word == "projected":
        return f"{dollars(gain)} projected saving"
    return f"{dollars(gain)} saved"


def summary(report: Report) -> str:
    """Say what it would have cost, and what it cost."""
    total = report.total
    if not total.compared:
        return (
            f"{count(total.calls)} calls. None of them has both a cost and a price at the last tier, so that nothing "
            "can be compared."
        )
    share = "" if report.gain_share is None else f": {percent(abs(report.gain_share))} {_less(report)}"
    return (
        f"{count(total.compared)} calls would have cost {dollars(total.baseline)} at the last tier and cost "
        f"{dollars(total.compared_cost)}, everything counted{share}."
    )


def before(report: Report) -> str | None:
    """Say how it was in the time of the same length before; None where there was nothing to compare."""
    old = report.before
    if not old.compared or not old.baseline or report.gain_share is None:
        return None
    share = float((old.baseline - old.compared_cost) / old.baseline)
    return (
        f"The {report.period.name} before: {percent(share)} saved on {count(old.compared)} calls; cost "
        f"{dollars(old.compared_cost)}."
    )


def certainty(report: Report) -> list[str]:
    """Say how far the saving can be relied on, one sentence for each thing that it rests on."""
    sure = report.certainty
    lines: list[str] = []
    if report.total.compared:
        lines.append(
            f"Between {dollars(sure.low)} and {dollars(sure.high)}, if the last tier had answered the other tiers' "
            f"calls 20% cheaper or dearer than assumed. {dollars(sure.assumed)} of the baseline is such an assumption: "
            "the same tokens at the last tier's price."
        )
    if sure.projected:
        lines.append(f"{dollars(sure.projected)} is projected, not saved: the last tier was a dry run.")
    if sure.left_out:
        lines.append(
            f"{count(sure.left_out)} of {count(report.total.calls)} calls are left out: they have no known price."
        )
    else:
        lines.append("Every call is priced and counted.")
    if sure.estimated:
        share = percent(sure.estimated / sure.attempts)
        lines.append(f"{count(sure.estimated)} of {count(sure.attempts)} attempts ({share}) have estimated tokens.")
    else:
        lines.append("All tokens are those that the providers reported.")
    if sure.lost:
        lines.append(f"The ledger lost {count(sure.lost)} rows; their calls are missing here.")
    return lines


def speed(report: Report) -> str | None:
    """Say how much faster the answers below the last tier came; None where it cannot be told."""
    factor = report.speed_up
    if factor is None:
        return None
    last = [tier for tier in report.tiers if tier.group in report.last_tiers]
    small = [tier for tier in report.tiers if tier.group is not None and tier.group not in report.last_tiers]
    middle = ", ".join(f"{tier.group} {duration(tier.total_ms.p50)}" for tier in (*small, *last))
    if factor < 1:
        return f"Small answers came {1 / factor:.1f} times slower than the last tier's ({middle}, medians)."
    return f"Small answers came {factor:.1f} times faster than the last tier's ({middle}, medians)."


def failure(rate: FailureRate) -> str:
    """Say how often a tier's answers failed, and where that stands against the line."""
    low, high = rate.interval
    where = {
        "under": f"under the {percent(LINE)} line",
        "over": f"over the {percent(LINE)} line",
        "open": f"either side of the {percent(LINE)} line is possible",
    }[rate.verdict]
    return (
        f"{rate.tier}: {count(rate.failures)} of {count(rate.answers)} answers failed, {percent(rate.rate)} "
        f"(95% interval {percent(low)} to {percent(high)}): {where}."
    )


def escalation(report: Report) -> str:
    """Say how many calls moved up after a weak answer."""
    moved, calls, (low, high) = report.escalation
    return (
        f"{count(moved)} of {count(calls)} calls moved up after a weak answer, {percent(moved / calls)} "
        f"(95% interval {percent(low)} to {percent(high)})."
    )


def _less(report: Report) -> str:
    return "less" if report.gain >= 0 else "more"
