"""An evaluation's figures as tables of text, the same for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slmroute.cases import Case
from slmroute.evaluate import Evaluation, OutcomeFigures, TierFigures
from slmroute.metrics import Interval

__all__ = ["FigureTable", "cell_table", "described", "figure_tables", "without_a_gap"]

SIZES = ("short", "medium", "long", "all")


@dataclass(frozen=True, slots=True)
class FigureTable:
    """Figures of one kind, a row for each classifier.

    Attributes:
        heads: What stands over the columns; the first says what the figures are of.
        rows: The figures, the classifier's name first.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def described(cases: Sequence[Case]) -> str:
    """Say how many prompts there are, and what is known of them."""
    tiers = sum(case.complex is not None for case in cases)
    outcomes = sum(case.weak is not None for case in cases)
    known = {"known tiers": tiers, "recorded outcomes": outcomes}
    if all(count == len(cases) for count in known.values() if count):
        return f"{len(cases):,} prompts with {' and '.join(what for what, count in known.items() if count)}."
    return f"{len(cases):,} prompts, {' and '.join(f'{count:,} with {what}' for what, count in known.items())}."


def without_a_gap(found: Sequence[Evaluation]) -> list[str]:
    """Say why APGR and CPT have no column: where the strong model is no better there is no gap to recover."""
    outcomes = next((one.outcomes for one in found if one.outcomes is not None), None)
    if outcomes is None or any(one.outcomes.apgr is not None for one in found if one.outcomes is not None):
        return []
    return [
        f"No APGR and CPT: the strong model (mean quality {outcomes.strong:.2f}) is no better than the weak one "
        f"({outcomes.weak:.2f}) on these prompts, so there is no gap to recover."
    ]


def figure_tables(found: Sequence[Evaluation]) -> list[FigureTable]:
    """Lay figures out: against known tiers, from recorded outcomes, and what calls cost; what there is of them."""
    estimated = " (tokens estimated)" if any(one.tokens_estimated for one in found) else ""
    tables = (
        (
            ("tiers", "AUC", "long", "short", "kept local", "went up", "stayed", "right", "ECE", "µs"),
            [(one.name, *tier_cells(one.tiers, one.median_us)) for one in found if one.tiers],
        ),
        (
            ("outcomes", "APGR", "CPT(50)", "CPT(80)", "saved at 95%", "at 99%"),
            [(one.name, *outcome_cells(one.outcomes)) for one in found if one.outcomes],
        ),
        (
            (f"a thousand calls{estimated}", "routed", "all strong", "share up"),
            [(one.name, *cost_cells(one)) for one in found if one.cost_per_thousand is not None],
        ),
    )
    return [without_empty(heads, rows) for heads, rows in tables if rows]


def tier_cells(tiers: TierFigures, median_us: float | None) -> tuple[str, ...]:
    """Write the figures against known tiers."""
    long, short = (number(one and one.value) for one in (tiers.auc_long, tiers.auc_short))
    shares = (number(one) for one in (tiers.went_up, tiers.stayed, tiers.accuracy, tiers.ece))
    time = "-" if median_us is None else f"{median_us:,.0f}"
    return shown(tiers.auc), long, short, shown(tiers.kept_local), *shares, time


def outcome_cells(one: OutcomeFigures) -> tuple[str, ...]:
    """Write the figures from recorded outcomes."""
    return tuple(shown(each) for each in (one.apgr, one.cpt50, one.cpt80, one.saved_at_95, one.saved_at_99))


def cost_cells(one: Evaluation) -> tuple[str, ...]:
    """Write what a thousand calls cost."""
    return f"${one.cost_per_thousand:,.2f}", f"${one.strong_cost_per_thousand:,.2f}", f"{one.share_up:.0%}"


def cell_table(one: Evaluation) -> FigureTable | None:
    """Lay out the accuracy in each cell of category and length; None without known tiers."""
    if one.tiers is None:
        return None
    rows = [
        (category, *(f"{sizes[size][0]:.0%} of {sizes[size][1]}" if size in sizes else "-" for size in SIZES))
        for category, sizes in one.tiers.cells.items()
    ]
    return without_empty((f"{one.name}, right at {one.tiers.threshold:.2f}", *SIZES), rows)


def without_empty(heads: Sequence[str], rows: Sequence[tuple[str, ...]]) -> FigureTable:
    """Leave out the columns in which no row has a figure."""
    kept = [place for place in range(len(heads)) if not place or any(row[place] != "-" for row in rows)]
    return FigureTable(
        tuple(heads[place] for place in kept), tuple(tuple(row[place] for place in kept) for row in rows)
    )


def number(value: float | None) -> str:
    """Write a figure with two digits, or a dash."""
    return "-" if value is None else f"{value:.2f}"


def shown(interval: Interval | None) -> str:
    """Write a figure with its interval, or a dash."""
    return "-" if interval is None else f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
