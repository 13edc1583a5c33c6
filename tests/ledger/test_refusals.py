"""What a ledger refuses to open, and leaves as it is."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from slmroute.errors import ConfigError, LedgerError
from slmroute.ledger import Ledger, LedgerReader
from slmroute.ledger.retention import prune


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def damaged(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE slmroute_schema (version_num)")
        connection.executemany("INSERT INTO slmroute_schema VALUES (?)", [("x" * 500,)] * 100)
        connection.commit()
    content = bytearray(path.read_bytes())
    content[100:4096] = os.urandom(3996)
    path.write_bytes(content)


def newer(path: Path) -> None:
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE slmroute_schema SET version_num = '9999'")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def somebodys(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE calls (telephone)")
        connection.commit()


def text(path: Path) -> None:
    path.write_text("Dear diary")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(damaged, "damaged"), (newer, "upgrade slmroute"), (somebodys, "did not make"), (text, "something else")],
)
def test_what_is_no_ledger_of_ours_is_refused_and_left_as_it_is(
    spoil: Callable[[Path], None], message: str, path: Path
) -> None:
    spoil(path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(LedgerError, match=message):
        Ledger(path)
    with pytest.raises(LedgerError):
        LedgerReader(path).total()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_a_newer_schema_in_postgresql_is_refused(postgres_url: str) -> None:
    Ledger(postgres_url).close()
    with psycopg.connect(postgres_url.replace("postgres@/", "postgres@/", 1)) as connection:
        connection.execute("UPDATE slmroute_schema SET version_num = '9999'")
    with pytest.raises(LedgerError, match="newer"):
        Ledger(postgres_url)


@pytest.mark.parametrize("wrong", ["", ":memory:", "sqlite://", "mysql://u@h/d", "sqlite:///:memory:", "no://"])
def test_an_address_that_is_none_says_what_would_be(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"slmroute\.db"):
        Ledger(wrong)


def test_a_reader_says_that_there_is_no_ledger(path: Path) -> None:
    with pytest.raises(LedgerError, match="There is no ledger"):
        LedgerReader(path)
    assert not path.exists()


@pytest.mark.parametrize("tables", [(), ("t",), ("a", "b")])
def test_reading_and_pruning_make_no_tables_in_a_database_of_others(tmp_path: Path, tables: tuple[str, ...]) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        for name in tables:
            connection.execute(f"CREATE TABLE {name}(x)")
        connection.commit()
    path.touch()
    before = path.read_bytes()
    holds = {(): "no table", ("t",): "table t", ("a", "b"): "tables a, b"}[tables]
    for use in (lambda: LedgerReader(path), lambda: prune(path, datetime.now(UTC))):
        with pytest.raises(LedgerError, match=rf"no ledger in .*other\.db.*: it holds {holds}, and was left as it is"):
            use()
    assert path.read_bytes() == before
