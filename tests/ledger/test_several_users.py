"""One file, a ledger and its like in one process, and other processes that come and go meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from slmroute.ledger import Ledger
from slmroute.record import RouteRecord

COUNT = "import sys; from slmroute.ledger import LedgerReader; print(LedgerReader(sys.argv[1]).total().calls)"
"""A reader in a process of its own, which is the last to leave the file unless SQLite knows of others."""


def calls_seen_elsewhere(path: Path) -> int:
    run = subprocess.run([sys.executable, "-c", COUNT, str(path)], capture_output=True, text=True, check=True)
    return int(run.stdout)


def another_ledger(path: Path) -> None:
    with Ledger(path) as second:
        second.feedback("0" * 32, good=True)
        assert second.flush()


def test_what_a_ledger_writes_is_seen_by_others_and_stays(tmp_path: Path, make: Callable[..., RouteRecord]) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        ledger.write(make())
        assert ledger.flush()
        another_ledger(path)
        assert calls_seen_elsewhere(path) == 1
        for _ in range(10):
            ledger.write(make())
        assert ledger.flush()
        assert calls_seen_elsewhere(path) == 11
    assert calls_seen_elsewhere(path) == 11
