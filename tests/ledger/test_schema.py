"""The schema that migrations make is the one that the code uses, from every schema there has ever been."""

from __future__ import annotations

import sqlite3
from contextlib import closing
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
    with Address(where).engine(write=False).connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("revision", [script.revision for script in SCRIPTS.walk_revisions()])
def test_a_ledger_of_every_released_schema_is_brought_up_to_date_with_its_calls(
    revision: str, tmp_path: Path, make: Any
) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript((RELEASED / f"{revision}.sql").read_text(encoding="utf-8"))
    (stored,) = LedgerReader(path).calls()
    assert stored.record.call_id == "0b8f6d5d5c0f4c7f9d8e7a6b5c4d3e2f"
    assert [attempt.role for attempt in stored.record.attempts] == ["classifier", "draft", "final"]
    assert stored.feedback == {"user": False}
    with Ledger(path) as ledger:
        ledger.write(make())
        assert ledger.flush()
    assert LedgerReader(path).total().calls == 2
    with closing(sqlite3.connect(path)) as new:
        assert new.execute("SELECT version_num FROM slmroute_schema").fetchall() == [(HEAD,)]
