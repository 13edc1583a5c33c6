"""Writes the ledger in the background: in batches, again when it fails, counting what is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Final

from slmroute.background import Background
from slmroute.ledger.address import Address
from slmroute.ledger.opening import OUTAGES, reason
from slmroute.ledger.store import Item, Store

__all__ = ["Writer"]

BATCH: Final = 1_000
LINGER_S: Final = 0.05
"""How long a batch is gathered: at most this much is lost when the process is killed."""
FIRST_RETRY_S: Final = 0.1
LONGEST_RETRY_S: Final = 5.0

logger = logging.getLogger("slmroute.ledger")


class Writer:
    """Writes what it is given, in a thread of its own. It belongs to the process that made it.

    Args:
        address: Where the ledger is.
        limit: How many records may wait; further ones are dropped and counted.
    """

    def __init__(self, address: Address, limit: int) -> None:
        self.written = 0
        self.dropped = 0
        self._address = address
        self._limit = limit
        self._store = Store(address)
        self._background = Background[Item](
            "slmroute-ledger", self._write, self._store.close, self._late, batch=BATCH, linger_s=LINGER_S
        )
        self._lock = threading.RLock()  # reentrant: a record can come from a stream that is collected as garbage
        self._noted_drops = 0
        self._complained = False
        self._told_late = False

    @property
    def waiting(self) -> int:
        """How many records are not written yet."""
        return self._background.waiting

    def put(self, item: Item) -> None:
        """Take a record or feedback; never waits."""
        if self._background.stopping.is_set() or self._background.waiting >= self._limit:
            self._drop(1)
        else:
            self._background.put(item)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything taken so far is written; False when time ran out first."""
        return self._background.flush(timeout_s)

    def stop(self) -> None:
        """Have the thread write what waits and end, without waiting for it."""
        self._background.stop()

    def finish(self, timeout_s: float) -> None:
        """Have the thread write what waits and end, and wait for it, but not for longer than this."""
        self._background.finish(timeout_s)

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

    def _write(self, items: Sequence[Item]) -> None:
        pause_s = FIRST_RETRY_S
        while True:
            try:
                unfit = self._store.write(items)
            except OUTAGES as error:
                self._store.close()
                self.complain(error)
                if self._background.out_of_time:
                    self._late(self._background.waiting)
                    with self._lock:
                        self.dropped += len(items)
                    return
                self._pause(pause_s)
                pause_s = min(pause_s * 2, LONGEST_RETRY_S)
            else:
                self.written += len(items) - unfit
                self._drop(unfit)
                self._recovered(len(items))
                return

    def _pause(self, seconds: float) -> None:
        # Once it is to stop it does not pause for long, for it is being waited for.
        if self._background.stopping.wait(seconds):
            time.sleep(min(seconds, FIRST_RETRY_S))

    def _late(self, waiting: int) -> None:
        """Tell once how many records the ledger will never know of: those that wait, and those dropped before."""
        with self._lock:
            lost = 0 if self._told_late else waiting + self.dropped - self._noted_drops
            self._told_late = self._told_late or lost > 0
        if lost:
            logger.warning("the ledger %s could not be written in time: %d records were lost", self._address, lost)

    def _drop(self, count: int) -> None:
        with self._lock:
            first = not self.dropped and count
            self.dropped += count
        if first:
            logger.warning("the ledger %s drops records: see Ledger.dropped for how many", self._address)

    def _recovered(self, just_written: int) -> None:
        # A full disk takes a batch now and then, as others leave it: while more waits, that is no recovery.
        if self._complained and self._background.waiting <= just_written:
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
