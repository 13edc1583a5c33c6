"""What stands out on a report: the worst tier, rows that name their tier, and times without dry runs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from slmroute.cli import main
from slmroute.failures import FailureRate
from slmroute.record import RouteRecord
from slmroute.report import Period, html_of, read_report, sentences, to_json
from slmroute.report.charts import failure_rows
from slmroute.report.html import report_tiles
from slmroute.report.palette import tier_colours

from .test_tiers import BEGAN, WEEK, call, written


def test_tiles_show_the_tier_over_the_line_before_others(week: Path, period: Period) -> None:
    rates = [
        FailureRate(tier="box", category=None, answers=400, kinds={"said": 1}),
        FailureRate(tier="mystery", category=None, answers=300, kinds={"said": 1}),
        FailureRate(tier="small", category=None, answers=200, kinds={"said": 29}),
    ]
    tiles = report_tiles(replace(read_report(week, period), failures=tuple(rates)))
    assert [tile.name for tile in tiles if tile.name.startswith("Failed")] == [
        "Failed answers of small",
        "Failed answers of box",
    ]


def test_rows_of_failures_name_their_tier_where_there_are_several(week: Path, period: Period) -> None:
    report = read_report(week, period)
    rates = tuple(FailureRate(tier=tier, category="easy", answers=9, kinds={"said": 1}) for tier in ("box", "small"))
    names = [name for name, *_ in failure_rows(replace(report, failures_by_category=rates))]
    assert {"box, easy", "small, easy"} <= set(names)
    assert "easy" in [name for name, *_ in failure_rows(replace(report, failures_by_category=rates[1:]))]


def test_three_tiers_below_the_last_have_three_colours() -> None:
    assert len(set(tier_colours(["a", "b", "c", "d"], frozenset({"d"})).values())) == 4


def test_times_leave_out_the_dry_runs_and_not_their_tier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slow = [replace(call(number, "frontier", "0.03"), total_ms=2000.0) for number in range(3)]
    dry = call(9, "frontier", "0.03")
    dry = replace(
        dry, attempts=(replace(dry.attempts[0], dry_run=True),), saved=None, projected=Decimal(0), total_ms=1.0
    )
    path = written(tmp_path / "a.db", [*slow, dry, replace(dry, call_id="10"), replace(dry, call_id="11")])
    report = read_report(path, WEEK)
    assert report.dry_tiers == frozenset()
    page = html_of(report)
    assert "Left out: 3 of 6 calls of frontier, dry runs." in page
    assert "was a dry run, whose times say nothing" not in page
    assert "frontier: median 2.0 s" in page
    with pytest.raises(SystemExit):
        main(["report", "--ledger", str(path), "--since", "2026-11-16", "--until", "2026-11-20", "--by", "tier"])
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("frontier  "))
    assert row.rstrip().endswith("2.0 s")


def test_a_headline_parts_what_was_saved_from_what_is_projected(tmp_path: Path) -> None:
    real = call(1, "small", "0.01")
    dry = replace(call(2, "small", "0.02"), saved=None, projected=Decimal("0.01"))
    report = read_report(written(tmp_path / "b.db", [real, dry]), WEEK)
    assert sentences.headline(report) == "$0.0200 saved, $0.0100 more projected"


def test_where_all_calls_failed_nothing_is_saved_and_nothing_sure(tmp_path: Path) -> None:
    def failed(number: int) -> RouteRecord:
        base = call(number, "small", "0")
        attempt = replace(base.attempts[0], role="failed", usage=None, error="ConnectError")
        return replace(base, tier=None, status="error", error="ConnectError", attempts=(attempt,), baseline=Decimal(0),
                       saved=Decimal(0), started_at=BEGAN + timedelta(minutes=number))  # fmt: skip

    report = read_report(written(tmp_path / "c.db", [failed(number) for number in range(4)]), WEEK)
    assert sentences.headline(report) == "No answer to 4 calls; there is no saving to know"
    assert "How sure: between" not in html_of(report)
    assert to_json(report)["achieved"] is None
    assert (report.total.calls, report.unanswered) == (4, 4)


def test_by_chooses_the_grouping_of_json_too(week: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["report", "--ledger", str(week), "--since", "2026-11-16", "--until", "2026-11-22", "--json"]
    with pytest.raises(SystemExit):
        main([*asked, "--by", "key"])
    assert list(json.loads(capsys.readouterr().out)["groups"]) == ["key"]
    with pytest.raises(SystemExit):
        main(asked)
    assert list(json.loads(capsys.readouterr().out)["groups"]) == ["day", "tier", "key", "tag"]
