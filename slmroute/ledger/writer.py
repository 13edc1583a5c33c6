"""The thread that writes the ledger, and the queue before it."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

from slmroute.ledger.address import Address
from slmroute.ledger.opening import OUTAGES, reason
from slmroute.ledger.store import Item, Store

__all__ = ["Writer"]

BATCH: Final = 1_000
LINGER_S: Final = 0.05
"""How long a batch is gathered: at most this much is lost when the process is killed."""
FIRST_RETRY_S: Final = 0.1
LONGEST_RETRY_S: Final = 5.0
AT_EXIT_S: Final = 3.0

logger = logging.getLogger("slmroute.ledger")


class Writer:
    """Writes what it is given, in batches, in a thread of its own, which starts with the first record.

    ``put`` takes no lock that anything else may hold for long, and may be called while the garbage collector runs.
    It belongs to the process that made it: a forked child must make its own.

    Args:
        address: Where the ledger is.
        limit: How many records may wait; further ones are dropped and counted.
    """

    def __init__(self, address: Address, limit: int) -> None:
        self.pid = os.getpid()
        self.written = 0
        self.dropped = 0
        self._address = address
        self._limit = limit
        self._queue: queue.SimpleQueue[Item | threading.Event] = queue.SimpleQueue()
        self._lock = threading.RLock()  # reentrant: a record can come from a stream that is collected as garbage
        self._thread: threading.Thread | None = None
        self._store = Store(address)
        self._busy: Sequence[Item] = ()
        self._stopping = threading.Event()
        self._give_up_at: float | None = None
        self._marks = 0
        self._noted_drops = 0
        self._complained = False

    @property
    def waiting(self) -> int:
        """How many records are not written yet."""
        return self._queue.qsize() - self._marks + len(self._busy)

    def put(self, item: Item) -> None:
        """Take a record or feedback; never waits."""
        if self._stopping.is_set() or self._queue.qsize() >= self._limit:
            self._drop(1)
            return
        self._queue.put(item)
        if self._thread is None:
            self._start()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything taken so far is written.

        Returns:
            Whether it is; False when time ran out first.
        """
        if self._thread is None:
            return self.waiting == 0
        return self._mark().wait(timeout_s)

    def stop(self) -> None:
        """Have the thread write what waits and end, without waiting for it."""
        if self.pid == os.getpid() and not self._stopping.is_set():
            self._stopping.set()
            self._mark()

    def finish(self, timeout_s: float = AT_EXIT_S) -> None:
        """Have the thread write what waits and end, and wait for it, but not for longer than this."""
        if self.pid != os.getpid():
            return
        if self._give_up_at is None:
            self._give_up_at = time.monotonic() + timeout_s
        self.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)
        if lost := self.waiting:
            logger.warning("the ledger %s could not be written in time: %d records were lost", self._address, lost)

    def _mark(self) -> threading.Event:
        """Put an event behind all that waits; it is set once that is written."""
        done = threading.Event()
        with self._lock:
            self._marks += 1
        self._queue.put(done)
        return done

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            if not threading.main_thread().is_alive():  # the interpreter is ending: no thread would be waited for
                self._give_up_at = time.monotonic() + AT_EXIT_S
                self._turn()
                self._store.close()
                return
            self._thread = threading.Thread(target=self._run, name="slmroute-ledger", daemon=True)
            self._thread.start()
            atexit.register(self.finish)
            if (util := sys.modules.get("multiprocessing.util")) is not None:
                util.Finalize(None, self.finish, exitpriority=10)  # its children run no `atexit`

    def _run(self) -> None:
        try:
            while not (self._stopping.is_set() and self._queue.empty()):
                self._turn()
        finally:
            self._store.close()
            atexit.unregister(self.finish)

    def _turn(self) -> None:
        items, marks = self._gather()
        self._busy = items
        self._write(items)
        self._busy = ()
        for mark in marks:
            mark.set()

    def _gather(self) -> tuple[list[Item], list[threading.Event]]:
        """Take what waits, up to a batch; a mark ends the waiting for more."""
        items: list[Item] = []
        marks: list[threading.Event] = []
        until = None
        while len(items) < BATCH:
            left = None if until is None else max(until - time.monotonic(), 0.0)
            try:
                found = self._queue.get(timeout=left) if not marks else self._queue.get_nowait()
            except queue.Empty:
                break
            if isinstance(found, threading.Event):
                marks.append(found)
                with self._lock:
                    self._marks -= 1
            else:
                items.append(found)
            until = until or time.monotonic() + LINGER_S
        return items, marks

    def _write(self, items: Sequence[Item]) -> None:
        pause_s = FIRST_RETRY_S
        while items:
            try:
                unfit = self._store.write(items)
            except OUTAGES as error:
                self._store.close()
                self.complain(error)
                if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
                    self._drop(len(items))
                    return
                self._pause(pause_s)
                pause_s = min(pause_s * 2, LONGEST_RETRY_S)
            else:
                self.written += len(items) - unfit
                self._drop(unfit)
                self._recovered()
                return

    def _pause(self, seconds: float) -> None:
        # Once it is to stop it does not pause for long, for it is being waited for.
        if self._stopping.wait(seconds):
            time.sleep(min(seconds, FIRST_RETRY_S))

    def _drop(self, count: int) -> None:
        with self._lock:
            first = not self.dropped and count
            self.dropped += count
        if first:
            logger.warning("the ledger %s drops records: see Ledger.dropped for how many", self._address)

    def complain(self, error: Exception) -> None:
        """Tell once that the ledger cannot be written."""
        if not self._complained:
            self._complained = True
            logger.warning(
                "the ledger %s cannot be written: %s. Calls go on, and up to %d records wait for it",
                self._address,
                reason(error),
                self._limit,
            )

    def _recovered(self) -> None:
        if self._complained:
            self._complained = False
            logger.warning("the ledger %s is written again", self._address)
        lost = self.dropped - self._noted_drops
        if lost:
            try:
                self._store.note_loss(lost, "the queue was full, or the database refused them")
            except OUTAGES:  # it will be noted with the next batch
                self._store.close()
            else:
                self._noted_drops += lost
