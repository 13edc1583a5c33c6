"""Pruning, exporting and the commands for them."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy.exc import OperationalError

from slmroute.cli import main
from slmroute.errors import ConfigError, LedgerError
from slmroute.ledger import Ledger, LedgerReader
from slmroute.ledger.address import Address
from slmroute.ledger.export import export
from slmroute.ledger.retention import prune
from slmroute.record import RouteRecord


@pytest.fixture
def records(ledger: Ledger, make: Any, attempt: Any) -> list[RouteRecord]:
    found = [
        make(
            attempt(role="draft", fault="empty", cost=Decimal("0.000000001")),
            attempt(tier="frontier", cost=None, price_id="unpriced"),
            tags=('with "quotes", commas', "category:faq"),
            key="=SUM(A1)",
            minutes=60 * 24 * day,
        )
        for day in range(10)
    ]
    for record in found:
        ledger.write(record)
        ledger.feedback(record.call_id, good=False)
    ledger.feedback("of no call", good=True)
    assert ledger.flush()
    return found


def test_old_calls_go_with_all_that_belongs_to_them(
    records: list[RouteRecord], ledger: Ledger, reader: LedgerReader, where: str
) -> None:
    before = records[4].started_at
    assert prune(where, before, shrink=True) == 4
    assert [stored.record for stored in reader.calls()] == records[4:]
    assert reader.attempt_sums("role")[0].attempts == 6
    assert all(stored.feedback == {"user": False} for stored in reader.calls())
    assert prune(where, before) == 0
    ledger.write(records[0])  # the ledger goes on being written
    assert ledger.flush()
    assert reader.total().calls == 7


def test_many_are_pruned_in_steps(
    ledger: Ledger, reader: LedgerReader, where: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slmroute.ledger.retention.STEP", 7)
    for minutes in range(30):
        ledger.write(make(minutes=minutes))
    assert ledger.flush()
    assert prune(where, datetime.now(UTC) + timedelta(days=1)) == 30
    assert reader.total().calls == 0


def test_reading_leaves_nothing_behind_and_makes_nothing(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        ledger.write(make())
    before = path.read_bytes()
    reader = LedgerReader(path)
    assert (reader.total().calls, len(list(reader.calls())), reader.lost) == (1, 1, 0)
    with pytest.raises(OperationalError, match=r"readonly|read-only"), reader._engine.connect() as connection:
        connection.exec_driver_sql("DELETE FROM calls")
    with pytest.raises(LedgerError, match="There is no ledger"):
        LedgerReader(tmp_path / "none.db")
    with pytest.raises(OperationalError), Address(tmp_path / "none.db").engine(write=False).connect():
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.db"]
    assert path.read_bytes() == before


def test_reading_while_others_write_takes_nothing_from_them(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        reader = LedgerReader(path)
        for number in range(1, 4):
            ledger.write(make())
            assert ledger.flush()
            assert reader.total().calls == number
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.db"]


def test_a_ledger_in_a_folder_that_cannot_be_written_is_read(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        ledger.write(make())
    opened: list[str] = []
    connect = sqlite3.connect
    monkeypatch.setattr(
        "sqlite3.dbapi2.connect", lambda name, *_, **more: opened.append(name) or connect(name, *_, **more)
    )
    monkeypatch.setattr("slmroute.ledger.address.os.access", lambda *_: False)
    reader = LedgerReader(path)
    assert reader.total().calls == 1
    assert opened
    assert all(name.endswith("?mode=rw&immutable=1") for name in opened)
    with Ledger(path) as ledger:  # someone who may write begins to
        ledger.write(make())
        assert ledger.flush()
        opened.clear()
        assert reader.total().calls == 2
        assert opened
        assert all(name.endswith("?mode=rw") for name in opened)


def test_pruning_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with pytest.raises(LedgerError, match="There is no ledger"):
        prune(path, datetime.now(UTC))
    assert not path.exists()
    Ledger(path).close()
    with pytest.raises(ConfigError, match="time zone"):
        prune(path, datetime(2026, 1, 1))  # noqa: DTZ001
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="locked"):
            prune(path, datetime.now(UTC))


def test_jsonl_has_every_call_whole(records: list[RouteRecord], reader: LedgerReader, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    assert export(reader, path) == 10
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines == [stored.record.to_json() | {"feedback": {"user": False}} for stored in reader.calls()]
    assert lines[0]["attempts"][0]["cost"] == "0.000000001"
    since, until = records[2].started_at, records[5].started_at
    assert export(reader, path, since=since, until=until) == 3


def test_an_empty_text_and_none_are_told_apart_in_every_format(
    ledger: Ledger, reader: LedgerReader, make: Any, tmp_path: Path
) -> None:
    keys = ["", None, 'a "b", c', "two\nlines", "\r", " wide ", "NULL", "\\N", "日本, é"]
    for minutes, key in enumerate(keys):
        ledger.write(make(key=key, minutes=minutes))
    assert ledger.flush()
    paths = [tmp_path / f"calls.{ending}" for ending in ("csv", "jsonl", "parquet")]
    for path in paths:
        assert export(reader, path) == len(keys)
    table, objects, columns = paths
    with table.open(newline="", encoding="utf-8") as file:
        assert [row["key"] for row in csv.DictReader(file)] == [key or "" for key in keys]
    lines = table.read_text(encoding="utf-8").splitlines()
    assert [',ok,"",[],' in lines[1], ",ok,,[]," in lines[2]] == [True, True]
    with objects.open(encoding="utf-8") as file:
        assert [json.loads(line)["key"] for line in file] == keys
    with duckdb.connect() as connection:
        assert connection.read_parquet(str(columns)).project("key").fetchall() == [(key,) for key in keys]


def test_csv_has_a_line_for_each_call_or_attempt(
    records: list[RouteRecord], reader: LedgerReader, tmp_path: Path
) -> None:
    path = tmp_path / "calls.csv"
    assert export(reader, path) == 10
    with path.open(encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file))
    assert first["call_id"] == records[0].call_id
    assert json.loads(first["tags"]) == list(records[0].tags)
    assert (first["cost"], first["priced"], first["unpriced"]) == ("", "0.000000001", "1")
    assert export(reader, path, table="attempts") == 20
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert lines[0]["started_at"] == records[0].started_at.isoformat()
    assert sum(Decimal(line["cost"] or 0) for line in lines) == Decimal("0.000000010")


@pytest.mark.parametrize("table", ["calls", "attempts"])
def test_parquet_has_the_same_with_types(
    records: list[RouteRecord], reader: LedgerReader, tmp_path: Path, table: Any
) -> None:
    path = tmp_path / "it's calls.parquet"
    assert export(reader, path, table=table) == (10 if table == "calls" else 20)
    with duckdb.connect() as connection:
        rows = connection.read_parquet(str(path))
        types = dict(zip(rows.columns, map(str, rows.types), strict=True))
        assert types["started_at"] == "TIMESTAMP WITH TIME ZONE"
        money = "priced" if table == "calls" else "cost"
        assert types[money] == "DECIMAL(28,9)"
        assert rows.sum(money).fetchall() == [(Decimal("0.000000010"),)]
        epoch = rows.aggregate("epoch(min(started_at))").fetchall()
        assert epoch == [(records[0].started_at.timestamp(),)]
        assert rows.filter("key = '=SUM(A1)'").count("*").fetchall() == [(len(rows),)]
    assert [file.name for file in tmp_path.iterdir() if "parquet" in file.name] == [path.name]


def test_a_file_of_another_kind_is_refused(reader: LedgerReader, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.csv, \.jsonl, \.parquet"):
        export(reader, tmp_path / "calls.xlsx")


def test_an_export_that_fails_leaves_the_old_file(
    records: list[RouteRecord], reader: LedgerReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "calls.csv"
    path.write_text("old")
    monkeypatch.setattr(LedgerReader, "calls", broken)
    with pytest.raises(LedgerError):
        export(reader, path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir() if "csv" in file.name] == ["calls.csv"]


def broken(*_: object) -> Any:
    raise LedgerError("gone")
    yield


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command; gives its exit code, standard output and standard error."""
    stdout, stderr = io.StringIO(), io.StringIO()
    from slmroute.cli import console

    monkeypatch.setattr(console.out, "_file", stdout)
    monkeypatch.setattr(console.err, "_file", stderr)
    monkeypatch.setattr(console.out, "width", 100)

    def command(*arguments: str) -> tuple[int, str, str]:
        for stream in (stdout, stderr):
            stream.seek(0)
            stream.truncate()
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        printed = capfd.readouterr()
        return int(exit_.value.code or 0), stdout.getvalue() + printed.out, stderr.getvalue() + printed.err

    return command


def test_stats_shows_spending_roles_and_failures(records: list[RouteRecord], where: str, run: Run) -> None:
    code, shown, _ = run("ledger", "stats", "--ledger", where, "--by", "day")
    assert code == 0
    assert "2026-03-01" in shown
    assert "10 calls hold attempts whose price is not known" in shown
    assert "faq" in shown


def test_stats_in_json_is_plain_data(records: list[RouteRecord], where: str, run: Run) -> None:
    code, shown, _ = run("ledger", "stats", "--ledger", where, "--by", "tag", "--since", "2026-03-03", "--json")
    data = json.loads(shown)
    assert code == 0
    assert data["total"]["calls"] == 8
    assert data["total"]["cost"] == "0.000000008"
    assert {group["group"] for group in data["by_tag"]} == set(records[0].tags)
    assert data["failures"][0]["verdict"] == "over"


def test_the_ledger_is_found_where_settings_and_folders_say(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    code, _, err = run("ledger", "stats", "--json")
    assert (code, "--ledger" in err) == (2, True)
    for name in ("slmroute.db", "of-the-file.db", "of-the-environment.db"):
        Ledger(tmp_path / name).close()
    assert json.loads(run("ledger", "stats", "--json")[1])["ledger"] == "slmroute.db"
    (tmp_path / "slmroute.toml").write_text(
        'ledger = "sqlite:///of-the-file.db"\n[[tiers]]\nname = "a"\nmodel = "ollama:a"\n'
        '[[tiers]]\nname = "b"\nmodel = "openai:gpt-4.1"\n'
    )
    assert json.loads(run("ledger", "stats", "--json")[1])["ledger"] == "of-the-file.db"
    monkeypatch.setenv("SLMROUTE_LEDGER", "of-the-environment.db")
    assert json.loads(run("ledger", "stats", "--json")[1])["ledger"] == "of-the-environment.db"


def test_prune_and_export_are_commands(records: list[RouteRecord], where: str, run: Run, tmp_path: Path) -> None:
    assert run("ledger", "export", str(tmp_path / "all.csv"), "-l", where)[0] == 0
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 11
    _, shown, _ = run("ledger", "export", "-", "-l", where)
    assert len(shown.splitlines()) == 10
    code, _, err = run("ledger", "prune", "--older-than", "soon", "-l", where)
    assert (code, "90d" in err) == (2, True)
    assert run("ledger", "prune", "--older-than", "20000d", "-l", where)[2].startswith("0 calls")


def test_feedback_is_a_command(records: list[RouteRecord], where: str, reader: LedgerReader, run: Run) -> None:
    call_id = records[0].call_id
    assert run("feedback", call_id, "--good", "-l", where, "--source", "anna")[0] == 0
    stored = reader.call(call_id)
    assert stored is not None
    assert stored.feedback == {"user": False, "anna": True}
    code, _, err = run("feedback", call_id, "-l", where)
    assert (code, "--good or --bad" in err) == (2, True)
    code, _, err = run("feedback", "unknown", "--bad", "-l", where)
    assert (code, "has no call" in err) == (2, True)


def test_a_ledger_that_is_closed_has_nothing_to_wait_for(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.feedback("1", good=True)
    ledger.close()
    assert (ledger.flush(timeout_s=60), ledger.waiting) == (True, 0)


@pytest.mark.parametrize("limit", [0, -1, "x", True, 1.5, None])
def test_a_limit_that_is_no_number_of_records_is_refused(tmp_path: Path, limit: Any) -> None:
    with pytest.raises(ConfigError, match=r"Ledger\(limit="):
        Ledger(tmp_path / "ledger.db", limit=limit)
    assert not (tmp_path / "ledger.db").exists()
