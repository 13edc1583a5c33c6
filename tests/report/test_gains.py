"""One meaning of saved, and no amount that is not known or was not billed passes for one that is."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from slmroute.ledger.summary import CallSummary
from slmroute.report import Period, html_of, read_report, rows, sentences, to_json
from slmroute.report.gains import gain_of, money_cells


def test_saved_is_the_same_in_every_grouping(week: Path, period: Period) -> None:
    report = read_report(week, period)
    assert report.total.degraded_gain > 0
    for by in ("day", "tier", "key"):
        assert sum(row["saved"] or 0 for row in rows(report, by)) == report.achieved  # type: ignore[misc,arg-type]
    assert report.gain_share == gain_of(report.total).share == float(report.achieved / report.total.baseline)


def test_what_has_no_price_is_unpriced_and_no_zero(week: Path, period: Period) -> None:
    assert money_cells(CallSummary(calls=3, unpriced=3), ("saved",)) == ("-", "unpriced", "-", "-")
    some = CallSummary(calls=3, unpriced=3, cost=Decimal("0.5"))
    assert money_cells(some, ("saved",))[1] == "\u2265 $0.50"
    report = read_report(week, period)
    nothing = replace(report, total=CallSummary(calls=3, unpriced=3))
    assert sentences.headline(nothing) == "3 calls unpriced; the saving is not known"


def test_dry_runs_are_never_called_saved_or_billed(dry_week: Path, period: Period) -> None:
    report = read_report(dry_week, period)
    page, never = html_of(report), sentences.unbilled(report)
    assert never is not None
    assert never in page
    assert '<th scope="col" class="number">projected</th>' in page
    assert '<th scope="col" class="number">saved</th>' not in page
    assert "was spent" not in page.partition("<footer>")[0]
    assert to_json(report)["never_billed"] == f"{report.total.dry_run_cost.normalize():f}"
