"""What the demo says in words, in the terminal and on its page."""

from __future__ import annotations

from decimal import Decimal

from slmroute.demo.run import IN_FLIGHT
from slmroute.demo.summary import DemoSummary
from slmroute.report.wording import counted, dollars, percent, saving, sums

__all__ = [
    "agreement",
    "confidence",
    "gain",
    "latencies",
    "money",
    "month_rows",
    "outages",
    "price_of_small",
    "projected",
    "stand_in",
    "textbook",
]


def money(found: DemoSummary) -> str:
    """Say what it would have cost, and what it cost."""
    baseline, cost = found.routed.baseline, found.routed.cost
    if baseline is None or cost is None:
        return "Some calls have no known price, so that nothing can be said about the saving."
    whole, spent, _ = saving(baseline, cost)
    of = f"Of the {counted(found.routed.calls, 'request')} that went as routed: all " if found.routed.others else "All "
    return f"{of}at {found.frontier}: {whole}. Routed: {spent}."


def gain(found: DemoSummary) -> str:
    """Write what is saved, to the same precision as in ``money``."""
    baseline, cost = found.routed.baseline, found.routed.cost
    return dollars(None) if baseline is None or cost is None else saving(baseline, cost)[2]


def outages(found: DemoSummary) -> str | None:
    """Say what did not go as it was routed, and that it is in no saving; None where all did."""
    went, small, frontier = found.routed, found.small.name, found.frontier
    if not went.others:
        return None
    parts = (
        (went.degraded, f"for {frontier}, whose answer did not come, and got {small}'s weaker one instead (degraded)"),
        (went.covered, f"for {small}, whose answer did not come, and got {frontier}'s instead"),
        (went.failed, "given no answer at all (failed)"),
    )
    said = "; ".join(f"{number} {'was' if number == 1 else 'were'} {what}" for number, what in parts if number)
    text = (
        f"{went.others} of the {counted(found.requests, 'request')} did not go as routed: {said}. They count in no "
        "saving and in no month here"
    )
    if went.elsewhere:
        less = "less" if went.elsewhere > 0 else "more"
        text += f"; that they cost {dollars(abs(went.elsewhere))} {less} than at {frontier} is the outage's doing"
    return f"{text}. See `slmroute doctor`."


def projected() -> str:
    """Say what a projected figure is."""
    return (
        "Projected, because the frontier was not called: its list price times the prompt's tokens and those of an "
        "answer of 400 tokens, or as long as the small model's where that answered."
    )


def price_of_small() -> str:
    """Say what the small tier's price is."""
    return "The small tier is priced at $0.05 and $0.08 a million tokens in and out: what a hosted 8B model lists at."


def agreement(found: DemoSummary) -> str:
    """Say how often the calls were sent where a person would have sent them."""
    parts = [f"{line.agrees} of the {line.started} sent to {line.tier}" for line in found.tiers if line.started]
    said = f"A person would have sent {percent(found.agreement)} of them to the same tier: {', '.join(parts)}."
    return f"{said} This is of the tier that the router chose, not of who answered." if found.routed.others else said


def latencies(found: DemoSummary) -> str:
    """Say how latencies were taken."""
    dry = "; a dry run has none" if found.dry_run else ""
    return f"Latencies are medians, with {IN_FLIGHT} requests under way at a time{dry}."


def month_rows(found: DemoSummary) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Give the month's bills as a table: the columns' names and the rows; what is printed adds up."""
    bills = [("textbook prices", found.textbook.month)]
    if found.measured is not None:
        bills.append(("what these calls cost", found.measured))
    names = [line.tier for line in found.tiers]
    columns: list[list[str]] = []
    for _, bill in bills:
        parts = [bill.classifier, *(bill.tiers.get(name, Decimal(0)) for name in names)]
        words, total, baseline, saved = sums(parts, bill.baseline)
        columns.append([*words, total, baseline, f"{saved} ({percent(bill.saved_share)})"])
    labels = ("classifier", *names, "with routing", "all at the frontier", "saved")
    return ("at", *(name for name, _ in bills)), tuple(zip(labels, *columns, strict=True))


def textbook(found: DemoSummary) -> str:
    """Say what the textbook's prices are, and why what was measured is another figure."""
    text = (
        "Textbook prices, whatever is asked: $0.0002 a classification, $0.001 a small answer, $0.03 a frontier answer "
        "(slmroute estimate). The classifier used here runs in process and costs nothing."
    )
    month = found.measured
    if month is None:
        return f"{text} What these calls would cost is not known, as one side of the mix was not answered or priced."
    textbooks, measured = found.textbook.month.saved_share, month.saved_share
    if textbooks is None or measured is None or measured >= textbooks:
        return text
    return (
        f"{text} {percent(measured)} is less than {percent(textbooks)} because the calls that stay local are short: "
        f"{percent(found.local_share)} of the calls, but only {percent(found.local_weight)} of what all would cost at "
        "the frontier, where the textbook has every call cost the same."
    )


def confidence(found: DemoSummary) -> str:
    """Say how well confidence tells right from wrong."""
    if found.auc is None:
        return "All graded local answers were right, or all were wrong: confidence had nothing to tell apart."
    return (
        f"Confidence ranks a right answer above a wrong one {percent(found.auc)} of the time (50% is chance). It is "
        "the plain mean of the tokens' log-probabilities: fit it to your own answers with slmroute calibrate."
    )


def stand_in(found: DemoSummary) -> str:
    """Say what kind of model answered, and what that does to the figures."""
    small = found.small
    if not small.stand_in:
        return f"{small.name} ({small.size}) on {small.server} answered what stayed local."
    return (
        f"{small.name} ({small.size}) stands in for the model of 2 to 8 billion parameters that one would use, so that "
        "the demo runs anywhere. It is real, and it is often wrong: it repeats the question, mixes up labels, and "
        "knows little but English. Take its share of right answers as a floor and its speed as a ceiling. Where calls "
        "went, and tokens and costs at an 8B model's price, do not depend on it."
    )
