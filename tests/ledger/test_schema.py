"""The schema that migrations make is the one that the code uses, from every schema there has ever been."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import slmroute.ledger
from slmroute.ledger import Ledger, LedgerReader
from slmroute.ledger.address import Address
from slmroute.ledger.schema import HEAD, VERSION_TABLE, metadata

SCRIPTS = ScriptDirectory(str(Path(slmroute.ledger.__file__).parent / "migrations"))
RELEASED = Path(__file__).parent / "released"


def test_the_head_is_the_one_that_the_code_says() -> None:
    assert SCRIPTS.get_current_head() == HEAD
    assert SCRIPTS.get_heads() == [HEAD]


def test_migrations_make_the_tables_of_the_code(where: str) -> None:
    Ledger(where).close()
    assert differences(where) == []


@pytest.mark.parametrize("revision", [script.revision for script in SCRIPTS.walk_revisions()])
def test_a_ledger_of_every_released_schema_is_brought_up_to_date_with_its_calls(
    revision: str, where: str, make: Any
) -> None:
    make_released(revision, where)
    (stored,) = LedgerReader(where).calls()
    assert stored.record.call_id == "0b8f6d5d5c0f4c7f9d8e7a6b5c4d3e2f"
    assert stored.record.started_at == datetime(2026, 3, 1, 12, 30, 15, 250_000, UTC)
    assert [attempt.role for attempt in stored.record.attempts] == ["classifier", "draft", "final"]
    assert stored.feedback == {"user": False}
    with Ledger(where) as ledger:
        ledger.write(make())
        assert ledger.flush()
    assert LedgerReader(where).total().calls == 2
    assert differences(where) == []
    with Address(where).engine(write=False).connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM slmroute_schema").scalars().all() == [HEAD]


def make_released(revision: str, where: str) -> None:
    """Make a ledger as a release of that schema left it, dumped by the database's own tool."""
    if Address(where).path is None:
        script = (RELEASED / f"{revision}.postgresql.sql").read_text(encoding="utf-8")
        with Address(where).engine(write=True).begin() as connection:
            connection.exec_driver_sql(script)
    else:
        script = (RELEASED / f"{revision}.sql").read_text(encoding="utf-8")
        with closing(sqlite3.connect(where)) as old:
            old.executescript(script)


def differences(where: str) -> list[Any]:
    """Give what a database's tables and the code's have not in common."""
    options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
    with Address(where).engine(write=False).connect() as connection:
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
