"""A budget does not count in a database that it does not understand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from slmroute import Budget
from slmroute.errors import LedgerError
from slmroute.ledger import Ledger


def test_a_store_of_a_newer_schema_is_refused_when_the_budget_is_made(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.db").close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
        connection.execute("UPDATE slmroute_schema SET version_num = '9999'")
    with pytest.raises(LedgerError, match="newer"):
        Budget(day=1, store=tmp_path / "ledger.db")
