"""The writing half of the ledger, as routers use it."""

from __future__ import annotations

import os
import weakref
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from slmroute.errors import ConfigError, LedgerError
from slmroute.ledger.address import Address
from slmroute.ledger.opening import OUTAGES, prepare
from slmroute.ledger.store import Feedback
from slmroute.ledger.writer import Writer
from slmroute.machine import Machine
from slmroute.record import RouteRecord

__all__ = ["Ledger"]

LIMIT: Final = 20_000
FLUSH_S: Final = 10.0
LONGEST_NAME: Final = 64
"""What a database keeps of a call's id and of who says something of its answer."""


class Ledger:
    """Takes the record of every call and writes it to SQLite or PostgreSQL, in a thread of its own.

    Writing never holds up a call and never fails one: while the database cannot be written, records wait and are
    counted, with one warning to the log, and what no longer fits in is dropped and counted in ``dropped``. Several
    processes may write to the same ledger. A process that is killed loses the records of the last moment (50 ms) at
    most; one that ends in order writes what waits first, for three seconds at most.

    What a machine costs by the hour (``hour_price``) is charged once, however many routers and processes with this
    ledger share it: a tier's name stands for one machine. Calls of this process share each second among them; of a
    second that calls of another were charged before, nothing is charged again, though the call's own record, which
    knew nothing of those, says so.

    A ledger survives forks and may be pickled: it opens its database anew in each process, by its address.

    Args:
        url_or_path: A file, ``sqlite:///slmroute.db``, or ``postgresql://user@host/database``.
        limit: How many records may wait to be written, one or more.

    Raises:
        LedgerError: What is there is no ledger, is damaged, or was written by a newer slmroute. It is left as it is.
        ConfigError: It is neither a path nor a URL of a database that is known here; or ``limit`` is no such number.
        MissingExtra: It is in PostgreSQL and the extra ``postgres`` is not installed.

    Example:
        >>> ledger = Ledger("slmroute.db")  # doctest: +SKIP
        >>> RoutingChatModel(tiers=[...], ledger=ledger)  # doctest: +SKIP
        >>> ledger.flush()  # doctest: +SKIP
        True
    """

    def __init__(self, url_or_path: str | os.PathLike[str], *, limit: int = LIMIT) -> None:
        self.address = Address(url_or_path)
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"Ledger(limit={limit!r}) must be how many records may wait: a number of 1 or more.")
        self._limit = limit
        self._machines: dict[str, Machine] = {}
        # One writer for each process: a forked child has the parent's in here too, and must not touch it.
        self._writers: dict[int, Writer] = {}
        try:
            prepare(self.address)
        except LedgerError:
            raise
        except OUTAGES as error:  # not there for the moment: records wait for it
            self._writer.complain(error)

    def __repr__(self) -> str:
        return f"Ledger({self.address!r})"

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return (_reopen, (self.address.given, self._limit))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def write(self, record: RouteRecord) -> None:
        """Take the record of a call, without waiting for anything."""
        self._writer.put(record)

    def feedback(self, call_id: str, good: bool, *, source: str = "user") -> None:
        """Take someone's word on a call's answer, without waiting for anything.

        Args:
            call_id: The call, as its record names it.
            good: Whether the answer was good.
            source: Who says so, for example ``user`` or ``judge``. One source has one word a call: its last. Up to 64
                characters, like the call's id.

        Raises:
            ConfigError: The id or the source cannot be kept.
        """
        for name, value in (("call_id", call_id), ("source", source)):
            if not 0 < len(value) <= LONGEST_NAME or "\0" in value:
                raise ConfigError(
                    f"feedback({name}={value[:80]!r}) must have 1 to {LONGEST_NAME} characters and no NUL."
                )
        self._writer.put(Feedback(call_id, good, source, datetime.now(UTC)))

    def machine(self, tier: str) -> Machine:
        """Give the machine that serves a tier, whose time routers with this ledger share out among their calls."""
        return self._machines.setdefault(tier, Machine())

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Wait until everything taken so far is written.

        Returns:
            Whether it is; False when time ran out first.
        """
        return self._writer.flush(timeout_s)

    def close(self, timeout_s: float = FLUSH_S) -> None:
        """Write what waits and close the database; what comes later is dropped and counted."""
        self._writer.finish(timeout_s)

    @property
    def written(self) -> int:
        """How many records and words of feedback this process has written."""
        return self._writer.written

    @property
    def waiting(self) -> int:
        """How many wait to be written."""
        return self._writer.waiting

    @property
    def dropped(self) -> int:
        """How many this process has lost: too many waited, or the database would not have them."""
        return self._writer.dropped

    @property
    def _writer(self) -> Writer:
        pid = os.getpid()
        writer = self._writers.get(pid)
        if writer is None:
            made = Writer(self.address, self._limit)
            # `setdefault` is atomic, and no lock is used that might have been held when the process was forked.
            writer = self._writers.setdefault(pid, made)
            if writer is made:
                weakref.finalize(self, writer.stop).atexit = False
        return writer


def _reopen(url_or_path: str, limit: int) -> Ledger:
    return Ledger(url_or_path, limit=limit)
