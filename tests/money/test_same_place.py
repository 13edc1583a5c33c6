"""A ledger, and a budget in it, is one and the same whichever name of its file it is opened by."""

from __future__ import annotations

from pathlib import Path

from slmroute.budget import Budget
from slmroute.engine import _same_ledger
from slmroute.ledger import Ledger


def test_a_ledger_by_another_name_of_its_file_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "ledger.db")
    with Ledger(tmp_path / "ledger.db") as one, Ledger(tmp_path / "link.db") as link, Ledger(tmp_path / "b.db") as b:
        assert _same_ledger(one, link)
        assert not _same_ledger(one, b)


def test_a_budget_in_a_ledger_by_another_name_of_its_file_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        one, *others = (Budget(day=1, store=store) for store in (path, str(path), f"sqlite:///{path}", ledger))
    assert [one.is_one_with(other) for other in others] == [True] * 3
    assert not one.is_one_with(Budget(day=1, store=path, name="another"))
    assert not one.is_one_with(Budget(day=1, store=tmp_path / "b.db"))
    assert not one.is_one_with(Budget(day=1, store="redis://127.0.0.1:1"))
    assert not Budget(day=1).is_one_with(Budget(day=1))
