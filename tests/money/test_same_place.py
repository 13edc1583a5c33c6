"""A ledger is one and the same whichever name of its file it is opened by."""

from __future__ import annotations

from pathlib import Path

from slmroute.engine import _same_ledger
from slmroute.ledger import Ledger


def test_a_ledger_by_another_name_of_its_file_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "ledger.db")
    with Ledger(tmp_path / "ledger.db") as one, Ledger(tmp_path / "link.db") as link, Ledger(tmp_path / "b.db") as b:
        assert _same_ledger(one, link)
        assert not _same_ledger(one, b)
