"""Which tier a report takes for the last one, and what it says of machines that are paid by the hour."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from slmroute.cli import main
from slmroute.ledger import Ledger
from slmroute.record import AttemptRecord, RouteRecord
from slmroute.report import Period, advice_of, html_of, read_report, to_json
from slmroute.report.sentences import HOURS, certainty, headline, idle, speed
from slmroute.report.wording import count, dollars
from slmroute.steps import Usage

BEGAN = datetime(2026, 11, 16, 12, tzinfo=UTC)
WEEK = Period(BEGAN - timedelta(hours=12), BEGAN + timedelta(days=6))


def call(number: int, tier: str, cost: str, *, last: str | None = "frontier", confidence: float = 0.9) -> RouteRecord:
    answer = AttemptRecord(
        role="final", tier=tier, usage=Usage(10, 10), price_id="x", cost=Decimal(cost), confidence=confidence,
        total_ms=1000.0,
    )  # fmt: skip
    return RouteRecord(
        call_id=f"{number:08}", started_at=BEGAN + timedelta(seconds=number), status="ok", tier=tier,
        attempts=(answer,), cost=Decimal(cost), baseline=Decimal("0.03"), baseline_tier=last,
        saved=Decimal("0.03") - Decimal(cost), total_ms=1000.0,
    )  # fmt: skip


def written(path: Path, records: list[RouteRecord]) -> Path:
    with Ledger(path) as ledger:
        for record in records:
            ledger.write(record)
        assert ledger.flush()
    return path


@pytest.mark.parametrize("cost", ["0.001", "0.05"])
def test_a_small_tier_is_a_small_tier_whatever_its_answers_cost(tmp_path: Path, cost: str) -> None:
    records = [
        call(number, "small", cost, confidence=0.3 if number % 2 else 0.9) if number % 3 else
        call(number, "frontier", "0.03") for number in range(300)
    ]  # fmt: skip
    report = read_report(written(tmp_path / "a.db", records), WEEK)
    assert report.last_tiers == {"frontier"}
    assert report.local == (200, 300)
    assert {part.name: part.cost for part in report.money}["small answers"] == 200 * Decimal(cost)
    assert report.certainty.assumed == 200 * Decimal("0.03")
    assert any("small failed: 50%" in advice.why for advice in advice_of(report))


def test_a_tier_that_is_the_last_of_a_few_calls_only_is_not_the_last(tmp_path: Path) -> None:
    records = [call(number, "mid", "0.01", last="mid" if number % 4 == 0 else "frontier") for number in range(40)]
    records += [call(100 + number, "frontier", "0.03") for number in range(5)]
    assert read_report(written(tmp_path / "b.db", records), WEEK).last_tiers == {"frontier"}


def test_calls_that_do_not_name_the_last_tier_tell_it_by_their_cost(tmp_path: Path) -> None:
    records = [call(number, "small", "0.01", last=None) for number in range(9)]
    records += [call(100 + number, "large", "0.03", last=None) for number in range(9)]
    path = written(tmp_path / "c.db", records)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT DISTINCT baseline_tier FROM calls").fetchall() == [(None,)]
    assert read_report(path, WEEK).last_tiers == {"large"}
    written(path, [call(200, "small", "0.05")])  # one of this version says what it is
    assert read_report(path, WEEK).last_tiers == {"large"}


def rented(tmp_path: Path) -> Path:
    records: list[RouteRecord] = []
    began = datetime.now(UTC) - timedelta(hours=12)
    for hours in (0, 10):
        plain = call(hours, "gpu", "0.5")
        (busy,) = plain.attempts
        busy = replace(busy, hour_price=Decimal(2), machine_cost=Decimal("0.5"), total_ms=0.0)
        records.append(replace(plain, started_at=began + timedelta(hours=hours), attempts=(busy,)))
    return written(tmp_path / "rent.db", records)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments])
    assert not stopped.value.code
    return capsys.readouterr().out


def test_the_report_and_the_ledgers_sums_mean_the_same_hours(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(rented(tmp_path))
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%d")
    for until in ((), ("--until", tomorrow)):
        (of_report,) = json.loads(printed(capsys, "report", "-l", path, *until, "--json"))["machines"]
        (of_ledger,) = json.loads(printed(capsys, "ledger", "stats", "-l", path, *until, "--json"))["machines"]
        assert Decimal(of_report["rent"]) == Decimal(of_ledger["rent"]) == Decimal(20)
        assert Decimal(of_report["idle"]) == Decimal(of_ledger["idle"]) == Decimal(19)
        assert of_report["since"] < of_report["until"]
    moment = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    (to_then,) = json.loads(printed(capsys, "report", "-l", path, "--until", moment, "--json"))["machines"]
    (as_there,) = json.loads(printed(capsys, "ledger", "stats", "-l", path, "--until", moment, "--json"))["machines"]
    assert Decimal(to_then["rent"]) == Decimal(as_there["rent"]) > Decimal("21.9")


def test_the_pages_figures_of_machines_are_queries_on_the_ledger(tmp_path: Path) -> None:
    path = rented(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        first, last, calls, price, charged = connection.execute(
            "SELECT min(c.started_at), max(c.started_at), count(*), max(a.hour_price_nano), sum(a.machine_cost_nano) "
            "FROM attempts a JOIN calls c USING (call_id) WHERE a.hour_price_nano IS NOT NULL"
        ).fetchone()
    since, until = datetime.fromisoformat(first), datetime.fromisoformat(last)
    rent = Decimal(price) * Decimal((until - since).total_seconds()) / 3600
    money = [dollars(nanos.scaleb(-9)) for nanos in (rent, Decimal(charged), rent - charged)]
    page = " ".join(re.sub(r"<[^>]+>", " ", html_of(read_report(path))).split())
    assert " ".join(["idle gpu", count(calls), *money]) in page
    assert f"{money[0]} for the machine from {since:%-d %B %Y %H:%M} to {until:%-d %B %Y %H:%M} UTC" in page
    assert f"its {count(calls)} calls kept it busy for {money[1]}; {money[2]} went by idle" in page
    assert f"That is {dollars(rent.scaleb(-9) / calls)} for each call served." in page


def test_what_idle_machines_cost_stands_beside_the_saving(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report = read_report(rented(tmp_path))
    for hours, left in ((10, "all in all"), (0.001, "is left of what was saved")):
        (machine,) = report.machines
        rent = Decimal("0.5") * 2 + Decimal(str(hours))
        cheap = replace(report.total, baseline=report.total.compared_cost + 5)
        found = replace(report, machines=(replace(machine, rent=rent),), total=cheap)
        assert found.idle == Decimal(str(hours))
        assert (found.idle > 5) == ("stood idle" in advice_of(found)[0].why)
        assert headline(found) == ("$5 saved, not counting $10 for idle machines" if hours == 10 else "$5 saved")
        assert left in (idle(found) or "")
        assert idle(found) in certainty(found)
        assert html_of(found).count(idle(found) or "-") == 2
        assert to_json(found)["idle"] == str(hours)
    said = " ".join(printed(capsys, "report", "-l", str(tmp_path / "rent.db")).split())
    assert idle(report) is not None
    assert str(idle(report)) in said


def test_answers_that_come_as_fast_are_not_called_faster(tmp_path: Path) -> None:
    records = [call(number, "small" if number % 2 else "frontier", "0.01") for number in range(10)]
    report = read_report(written(tmp_path / "same.db", records), WEEK)
    assert report.speed_up == 1
    assert "about as fast as the last tier's" in (speed(report) or "")
    assert "about as fast as the last tier" in html_of(report)


def test_what_counts_as_a_machines_hours_is_said_wherever_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(rented(tmp_path))
    for command in (("report",), ("ledger", "stats")):
        said = " ".join(printed(capsys, *command, "-l", path).split())
        assert "Tier gpu is priced by the hour: $20 for the machine from" in said
        assert HOURS in said
    assert "to the end of its last call where none is given" in html_of(read_report(path))


def test_a_date_ends_with_its_day_in_both(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(written(tmp_path / "days.db", [call(number * 86_400, "small", "0.01") for number in range(4)]))
    days = ("-l", path, "--since", "2026-11-16", "--until", "2026-11-18", "--json")
    for command in (("report",), ("ledger", "stats")):
        assert json.loads(printed(capsys, *command, *days))["total"]["calls"] == 3
    lines = printed(capsys, "ledger", "export", "-", "-l", path, "--until", "2026-11-18").splitlines()
    assert len(lines) == 3
