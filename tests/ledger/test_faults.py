"""Disks that are locked, full, read-only or gone, files that are damaged, processes that die: what comes out."""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from slmroute.ledger import Ledger, LedgerReader
from slmroute.ledger import writer as writer_module
from slmroute.ledger.store import Store

PRELUDE = """
import os, sys, time, uuid
from datetime import UTC, datetime
from decimal import Decimal
from slmroute.ledger import Ledger
from slmroute.record import AttemptRecord, RouteRecord

def record():
    attempt = AttemptRecord(role="final", tier="small", cost=Decimal("0.001"))
    return RouteRecord(call_id=uuid.uuid4().hex, started_at=datetime.now(UTC), status="ok", attempts=(attempt,))

ledger = Ledger(sys.argv[1])
"""


def child(script: str, where: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, where],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_until(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if true():
            return
        pause.wait(0.01)
    pytest.fail("it did not become true")


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slmroute.ledger.address.BUSY_S", 0.05)
    monkeypatch.setattr(writer_module, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(writer_module, "LONGEST_RETRY_S", 0.05)


def test_while_another_process_has_the_lock_records_wait(
    path: Path, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with Ledger(path) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(10):
            ledger.write(make())
        assert not ledger.flush(timeout_s=0.3)
        assert (ledger.waiting, ledger.dropped) == (10, 0)
        other.execute("ROLLBACK")
        assert ledger.flush()
        assert (ledger.waiting, ledger.dropped, ledger.written) == (0, 0, 10)
    assert len([text for text in warnings_of(caplog) if "locked" in text]) == 1
    assert LedgerReader(path).total().calls == 10


def test_a_ledger_that_takes_a_batch_now_and_then_is_told_of_once(
    path: Path, make: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(writer_module, "BATCH", 5)
    write, fails, all_wait = Store.write, iter([True, False] * 3), threading.Event()

    def now_and_then(store: Store, items: Any) -> int:
        assert all_wait.wait(10)
        if next(fails, False):
            raise OSError("disk I/O error")
        return write(store, items)

    monkeypatch.setattr(Store, "write", now_and_then)
    with Ledger(path) as ledger:
        for _ in range(20):
            ledger.write(make())
        all_wait.set()
        assert ledger.flush()
        assert (ledger.written, ledger.dropped) == (20, 0)
    said = warnings_of(caplog)
    assert ["cannot be written" in said[0], "is written again" in said[1], len(said)] == [True, True, 2]


def test_what_no_longer_fits_into_the_queue_is_dropped_counted_and_reported(path: Path, make: Any) -> None:
    with Ledger(path, limit=5) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(9):
            ledger.write(make())
        dropped = ledger.dropped
        assert dropped >= 3
        other.execute("ROLLBACK")
        assert ledger.flush()
        assert ledger.written == 9 - dropped
    reader = LedgerReader(path)
    assert (reader.total().calls, reader.lost) == (9 - dropped, dropped)


FULL = """
import resource
small, hard = 400_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (small, hard))
for _ in range(4000):
    ledger.write(record())
print(ledger.flush(timeout_s=1.0), flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
print(ledger.flush(), ledger.dropped, flush=True)
"""


def test_a_full_disk_costs_nothing_once_there_is_room_again(path: Path) -> None:
    out, err = child(FULL, str(path)).communicate()
    assert out.split() == ["False", "True", "0"]
    assert err.count("cannot be written") == 1
    assert LedgerReader(path).total().calls == 4000


@pytest.mark.parametrize("problem", ["missing", "directory"])
def test_a_ledger_that_cannot_be_opened_warns_once_and_goes_on(
    problem: str, tmp_path: Path, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    path = blocked / "ledger.db" if problem == "missing" else tmp_path
    with Ledger(path) as ledger:
        ledger.write(make())
        assert not ledger.flush(timeout_s=0.2)
        assert ledger.waiting == 1
        ledger.close(timeout_s=0.1)
    assert len([text for text in warnings_of(caplog) if "cannot be written" in text]) == 1


def test_a_folder_that_is_not_there_is_made(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "new" / "folder" / "ledger.db"
    with Ledger(path) as ledger:
        ledger.write(make())
    assert LedgerReader(path).total().calls == 1


def test_a_file_taken_away_is_made_anew(path: Path, make: Any) -> None:
    with Ledger(path) as ledger:
        ledger.write(make())
        assert ledger.flush()
        for file in path.parent.iterdir():
            file.unlink()
        ledger.write(make())
        assert ledger.flush()
        assert LedgerReader(path).total().calls == 1


def test_a_killed_process_leaves_a_whole_ledger(path: Path) -> None:
    script = """
for number in range(10**9):
    ledger.write(record())
    if number == 300:
        ledger.flush()
        print("written", flush=True)
    while ledger.waiting > 5_000:
        time.sleep(0.001)
"""
    writing = child(script, str(path))
    assert writing.stdout is not None
    assert writing.stdout.readline() == "written\n"
    wait_until(lambda: LedgerReader(path).total().calls > 600)
    writing.send_signal(signal.SIGKILL)
    writing.communicate()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        orphans = "SELECT count(*) FROM calls WHERE call_id NOT IN (SELECT call_id FROM attempts)"
        assert connection.execute(orphans).fetchone() == (0,)
    with Ledger(path) as ledger:
        assert ledger.flush()


def test_processes_that_make_the_same_ledger_at_once_all_use_it(where: str) -> None:
    script = "\nfor _ in range(50): ledger.write(record())\nassert ledger.flush()\nassert ledger.dropped == 0\n"
    children = [child(script, where) for _ in range(4)]
    outcomes = [(each.communicate()[1], each.returncode) for each in children]
    assert outcomes == [("", 0)] * 4
    assert LedgerReader(where).total().calls == 200


def test_a_forked_child_writes_over_a_connection_of_its_own(where: str) -> None:
    script = """
for _ in range(10): ledger.write(record())
assert ledger.flush()
for _ in range(5): ledger.write(record())  # still in the queue when the process is forked
child = os.fork()
for _ in range(10): ledger.write(record())
if child == 0:
    assert ledger.flush() and ledger.written == 10
    sys.exit(0)
os.waitpid(child, 0)
assert ledger.flush() and ledger.written == 25, ledger.written
"""
    _out, err = child(script, where).communicate()
    assert err == ""
    assert LedgerReader(where).total().calls == 35


def test_a_process_pool_writes_and_loses_nothing(where: str) -> None:
    script = """
import multiprocessing
def work(ledger, number):
    for _ in range(number): ledger.write(record())
if __name__ == "__main__":
    children = [multiprocessing.get_context("fork").Process(target=work, args=(ledger, 20)) for _ in range(3)]
    for each in children: each.start()
    for each in children: each.join()
"""
    _out, err = child(script, where).communicate()
    assert err == ""
    assert LedgerReader(where).total().calls == 60


ENDINGS = {
    "runs to its end": "",
    "exits": "sys.exit(0)",
    "is interrupted": "os.kill(os.getpid(), __import__('signal').SIGINT)\ntime.sleep(5)",
    "fails": "raise ValueError",
    "lets go of it": "del ledger",
}


@pytest.mark.parametrize("ending", ENDINGS, ids=str)
def test_what_waits_is_written_when_the_process(ending: str, path: Path) -> None:
    child(f"for _ in range(2000): ledger.write(record())\n{ENDINGS[ending]}", str(path)).communicate(timeout=30)
    assert LedgerReader(path).total().calls == 2000


def test_the_end_of_a_process_does_not_wait_long_for_a_locked_ledger(path: Path) -> None:
    Ledger(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        _out, err = child("for _ in range(9): ledger.write(record())", str(path)).communicate(timeout=20)
    assert "9 records were lost" in err


def test_all_that_is_lost_at_the_end_is_named(path: Path, make: Any, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger(path, limit=2_500)  # more than a batch
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2_600):
            ledger.write(make())
        ledger.close(timeout_s=0.1)
        wait_until(lambda: ledger.dropped == 2_600)
    late = [text for text in warnings_of(caplog) if "in time" in text]
    assert late == [f"the ledger '{path}' could not be written in time: 2600 records were lost"]


def test_records_written_at_interpreter_exit_are_kept(path: Path) -> None:
    _out, err = child("import atexit\natexit.register(lambda: ledger.write(record()))", str(path)).communicate()
    assert err == ""
    assert LedgerReader(path).total().calls == 1


async def test_a_thousand_tasks_and_64_threads_lose_nothing_and_write_nothing_twice(
    ledger: Ledger, reader: LedgerReader, make: Any
) -> None:
    async def task() -> None:
        for _ in range(3):
            ledger.write(make())
            await asyncio.sleep(0)

    def thread() -> None:
        for _ in range(20):
            ledger.write(make())

    threads = [threading.Thread(target=thread) for _ in range(64)]
    for each in threads:
        each.start()
    await asyncio.gather(*(task() for _ in range(1000)))
    for each in threads:
        await asyncio.to_thread(each.join)
    assert await asyncio.to_thread(ledger.flush)
    assert ledger.dropped == 0
    assert reader.total().calls == 1000 * 3 + 64 * 20


def test_a_ledger_collected_as_garbage_ends_its_thread(path: Path, make: Any) -> None:
    ledger = Ledger(path)
    ledger.write(make())
    thread = ledger._writer._background._thread
    assert thread is not None
    del ledger
    thread.join(10)
    assert not thread.is_alive()
    assert LedgerReader(path).total().calls == 1


def test_postgresql_going_away_only_makes_records_wait(
    postgres_url: str, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state = 'idle'"
    with Ledger(postgres_url) as ledger:
        ledger.write(make())
        assert ledger.flush()
        with psycopg.connect(postgres_url, autocommit=True) as admin:
            admin.execute(cut)
        ledger.write(make())
        assert ledger.flush()
        assert (ledger.written, ledger.dropped) == (2, 0)


def test_postgresql_that_is_not_there_at_the_start_warns_once_without_the_password(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with Ledger("postgresql://someone:hunter2@127.0.0.1:1/db?password=hunter2") as ledger:
        ledger.write(make())
        assert not ledger.flush(timeout_s=0.1)
        assert "hunter2" not in repr(ledger) + str(ledger)
        ledger.close(timeout_s=0.1)
    found = [text for text in warnings_of(caplog) if "cannot be written" in text]
    assert len(found) == 1
    assert "hunter2" not in caplog.text
