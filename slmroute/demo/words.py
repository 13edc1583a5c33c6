"""What the demo says in words, in the terminal and on its page."""

from __future__ import annotations

from slmroute.demo.run import IN_FLIGHT
from slmroute.demo.summary import DemoSummary
from slmroute.report.wording import dollars, percent

__all__ = ["agreement", "confidence", "latencies", "money", "price_of_small", "projected", "stand_in", "textbook"]


def money(found: DemoSummary) -> str:
    """Say what it would have cost, and what it cost."""
    if found.gain is None:
        return "Some calls have no known price, so that nothing can be said about the saving."
    return f"All at {found.frontier}: {dollars(found.baseline)}. Routed: {dollars(found.cost)}."


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
    """Say how often the calls went where a person would have sent them."""
    parts = [f"{line.agrees} of the {line.calls} that {line.tier} answered" for line in found.tiers]
    return f"A person would have sent {percent(found.agreement)} of them to the same tier: {', '.join(parts)}."


def latencies(found: DemoSummary) -> str:
    """Say how latencies were taken."""
    dry = "; a dry run has none" if found.dry_run else ""
    return f"Latencies are medians, with {IN_FLIGHT} requests under way at a time{dry}."


def textbook() -> str:
    """Say what the textbook's prices are, and what is left out of neither sum."""
    return (
        "Textbook prices: $0.0002 a classification, $0.001 a small answer, $0.03 a frontier answer (slmroute "
        "estimate). The classifier used here runs in process and costs nothing."
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
