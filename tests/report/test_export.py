"""A report as data: JSON, CSV and data frames hold the same figures as the page."""

from __future__ import annotations

import csv
import io
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

import slmroute.report
from slmroute.errors import MissingExtra
from slmroute.report import Period, Report, frame, frames, read_report, rows, to_csv, to_json
from slmroute.report.facts import Group

GROUPS: tuple[Group, ...] = ("day", "tier", "key", "tag")


@pytest.fixture(scope="module")
def report(week: Path, period: Period) -> Report:
    return read_report(week, period)


def test_json_holds_money_as_exact_strings(report: Report) -> None:
    found = cast("dict[str, Any]", json.loads(json.dumps(to_json(report))))
    assert Decimal(found["total"]["cost"]) == report.total.cost
    assert Decimal(found["certainty"]["low"]) == report.certainty.low
    assert sum(Decimal(part["cost"]) for part in found["money"]) == report.total.cost
    assert sum(Decimal(day["baseline"]) for day in found["groups"]["day"]) == report.total.baseline
    assert found["last_tiers"] == ["frontier"]
    assert list(to_json(report, "key")["groups"]) == ["key"]  # type: ignore[call-overload]


@pytest.mark.parametrize("by", GROUPS)
def test_csv_reads_back_as_the_same_rows(report: Report, by: Group) -> None:
    read = list(csv.DictReader(io.StringIO(to_csv(report, by))))
    assert [row[by] or None for row in read] == [group.group for group in report.groups(by)]
    assert [Decimal(row["cost"]) for row in read] == [group.cost for group in report.groups(by)]
    assert [int(row["calls"]) for row in read] == [group.calls for group in report.groups(by)]
    assert list(read[0]) == list(rows(report, by)[0])


@pytest.mark.parametrize("by", GROUPS)
def test_frames_are_indexed_by_their_groups(report: Report, by: Group) -> None:
    table: Any = frame(report, by)
    assert table.index.name == by
    assert len(table) == len(report.groups(by))
    assert table["cost"].sum() == pytest.approx(float(sum(group.cost for group in report.groups(by))))


def test_days_are_dates_in_a_frame(report: Report) -> None:
    assert "datetime64" in str(cast("Any", frame(report)).index.dtype)


def test_all_frames_come_at_once(report: Report) -> None:
    found: Any = frames(report)
    assert set(found) == {*GROUPS, "money", "failures"}
    assert found["money"]["cost"].sum() == pytest.approx(float(report.total.cost))
    assert found["failures"]["answers"].sum() == 2 * sum(rate.answers for rate in report.failures)


def test_without_pandas_the_extra_is_named(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r'A data frame needs the extra "report"'):
        frames(report)


def test_a_notebook_is_offered_every_name() -> None:
    assert dir(slmroute.report) == sorted(slmroute.report.__all__)
    assert all(getattr(slmroute.report, name) for name in slmroute.report.__all__)
