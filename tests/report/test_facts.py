"""What a report says is what the ledger holds: each figure against a query by hand, and laws that hold of all."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from slmroute.errors import LedgerError
from slmroute.failures import wilson
from slmroute.ledger import Ledger
from slmroute.report import Period, Report, read_report

Ask = Callable[..., list[tuple[Any, ...]]]
NANO = Decimal(10) ** -9


@pytest.fixture(scope="module")
def report(week: Path, period: Period) -> Report:
    return read_report(week, period)


def one(ask: Ask, sql: str) -> Any:
    return ask(sql)[0][0]


def test_cost_baseline_and_saving_are_the_ledgers_sums(report: Report, ask: Ask) -> None:
    both = "FROM {here} WHERE cost_nano IS NOT NULL AND baseline_nano IS NOT NULL"
    assert report.total.calls == one(ask, "SELECT count(*) FROM {here}") == 612
    assert report.total.cost == NANO * one(ask, "SELECT sum(priced_nano) FROM {here}")
    assert report.total.baseline == NANO * one(ask, f"SELECT sum(baseline_nano) {both}")
    assert report.total.compared_cost == NANO * one(ask, f"SELECT sum(cost_nano) {both}")
    assert report.gain == NANO * one(ask, f"SELECT sum(baseline_nano - cost_nano) {both}")
    assert report.gain == report.total.saved + report.total.projected


def test_the_parts_of_the_money_are_queries_and_add_up_exactly(report: Report, ask: Ask) -> None:
    spent = "SELECT coalesce(sum(a.cost_nano), 0) FROM attempts a JOIN {here} c USING (call_id) WHERE"
    parts = {part.name: part.cost for part in report.money}
    for name, condition in {
        "classifier": "a.role = 'classifier'",
        "small answers": "a.role = 'final' AND c.tier = 'small'",
        "drafts thrown away": "a.role = 'draft'",
        "frontier answers": "a.role = 'final' AND c.tier = 'frontier'",
        "judges": "a.role = 'judge'",
        "failed attempts": "a.role = 'failed'",
    }.items():
        assert parts[name] == NANO * one(ask, f"{spent} {condition}"), name
    assert sum(parts.values()) == report.total.cost
    assert parts["judges"] > 0
    assert parts["drafts thrown away"] > 0


def test_groups_are_queries_and_add_up_to_the_total(report: Report, ask: Ask) -> None:
    for groups, column in ((report.days, "day"), (report.tiers, "tier"), (report.keys, "key")):
        found = dict(ask(f"SELECT {column}, sum(priced_nano) FROM {{here}} GROUP BY 1"))  # noqa: S608
        assert {group.group: group.cost / NANO for group in groups} == found
        assert sum(group.cost for group in groups) == report.total.cost
        assert sum(group.calls for group in groups) == report.total.calls


def test_tags_are_counted_one_by_one_and_dearest_first(report: Report, ask: Ask) -> None:
    found = dict(ask("SELECT t.value, count(*) FROM {here} c, json_each(c.tags) t GROUP BY 1"))
    assert {tag.group: tag.calls for tag in report.tags if tag.group is not None} == found
    costs = [tag.cost for tag in report.tags]
    assert costs == sorted(costs, reverse=True)


def test_the_last_tier_is_told_by_what_its_answers_cost(report: Report) -> None:
    assert report.last_tiers == {"frontier"}
    local, answered = report.local
    assert (local, answered) == (
        sum(tier.calls for tier in report.tiers if tier.group == "small"),
        sum(tier.calls for tier in report.tiers if tier.group is not None),
    )


def test_escalations_are_counted_with_their_interval(report: Report, ask: Ask) -> None:
    moved = one(ask, "SELECT count(*) FROM {here} WHERE escalated")
    assert report.escalation == (moved, 612, wilson(moved, 612))
    assert moved > 0


def test_medians_are_times_that_were_measured(report: Report, ask: Ask) -> None:
    for tier in report.tiers:
        where = f"tier = '{tier.group}'" if tier.group else "tier IS NULL"
        times = sorted(ms for (ms,) in ask(f"SELECT total_ms FROM {{here}} WHERE {where}"))  # noqa: S608
        assert tier.total_ms.p50 == times[-(-len(times) // 2) - 1]
    middle = {tier.group: tier.total_ms.p50 for tier in report.tiers}
    assert report.speed_up == (middle["frontier"] or 0) / (middle["small"] or 1)


def test_the_range_moves_only_what_the_last_tier_was_not_asked(report: Report, ask: Ask) -> None:
    sure = report.certainty
    elsewhere = NANO * one(
        ask,
        "SELECT sum(baseline_nano) FROM {here} WHERE tier IS NOT 'frontier' AND cost_nano IS NOT NULL",
    )
    assert sure.assumed == elsewhere
    weaker = NANO * one(ask, "SELECT sum(baseline_nano - cost_nano) FROM {here} WHERE degraded")
    assert weaker > 0
    assert report.achieved == report.gain - weaker
    assert sure.low == report.achieved - elsewhere / 5
    assert sure.high == report.achieved + elsewhere / 5
    assert sure.left_out == one(ask, "SELECT count(*) FROM {here} WHERE cost_nano IS NULL") == 2
    assert sure.estimated == one(
        ask, "SELECT count(*) FROM attempts JOIN {here} USING (call_id) WHERE usage_source = 'estimated'"
    )


def test_the_week_before_is_read_too(report: Report) -> None:
    assert report.before.calls == 200


def test_days_without_calls_are_there_all_the_same(week: Path) -> None:
    report = read_report(week, Period.read("2026-11-16", "2026-11-25"))
    assert [day for day, _ in report.every_day][-3:] == ["2026-11-23", "2026-11-24", "2026-11-25"]
    assert [found for _, found in report.every_day][-3:] == [None, None, None]


def test_an_empty_ledger_says_what_to_do(tmp_path: Path) -> None:
    Ledger(tmp_path / "empty.db").close()
    with pytest.raises(LedgerError, match=r"empty\.db is empty.*ledger="):
        read_report(tmp_path / "empty.db")


def test_a_time_without_calls_says_when_there_are_some(week: Path) -> None:
    with pytest.raises(LedgerError, match="It has 812, from 2026-11-09 to 2026-11-22: --since 2026-11-09"):
        read_report(week, Period.read("2020-01-01", "2020-01-07"))


def test_no_ledger_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"no ledger at .*missing\.db"):
        read_report(tmp_path / "missing.db")


def test_a_newer_ledger_is_left_alone(week: Path, tmp_path: Path) -> None:
    newer = Path(shutil.copy(week, tmp_path / "newer.db"))
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("UPDATE slmroute_schema SET version_num = '9999'")
        connection.commit()
    with pytest.raises(LedgerError, match="schema 9999, which is newer"):
        read_report(newer)


def test_what_is_no_ledger_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("not a database, only a note that somebody left here")
    with pytest.raises(LedgerError, match="file is not a database"):
        read_report(tmp_path / "notes.db")


def test_a_damaged_ledger_says_how_its_rows_may_be_saved(week: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copy(week, tmp_path / "damaged.db"))
    with damaged.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 40_000)
    with pytest.raises(LedgerError, match=r"damaged\.db cannot be read: .*malformed.*sqlite3 FILE \.recover"):
        read_report(damaged, Period.read("2026-11-16", "2026-11-22"))
