"""The reading half of the ledger: single calls, sums over groups, failure rates."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, func, select, tuple_
from sqlalchemy.exc import DatabaseError, OperationalError

from slmroute.errors import LedgerError
from slmroute.failures import WRONG_BELOW, FailureKind, FailureRate, failure_of, is_answer
from slmroute.ledger.address import Address
from slmroute.ledger.opening import OUTAGES, reason, update
from slmroute.ledger.queries import AttemptGroup, CallGroup, Cut, Query, between
from slmroute.ledger.rows import Row, as_rows, read_record
from slmroute.ledger.schema import attempts, calls, feedback, losses
from slmroute.ledger.summary import AttemptSummary, CallSummary, Machine, StoredCall

__all__ = ["LedgerReader"]

PAGE: Final = 500


class LedgerReader:
    """Reads a ledger, also while others write to it. Times without a zone are refused; ``until`` is not included.

    Args:
        url_or_path: As ``Ledger`` takes it. One of an older schema is brought up to date.

    Raises:
        LedgerError: There is no ledger, or none that can be read.
        ConfigError: It is neither a path nor a URL of a database that is known here.
    """

    def __init__(self, url_or_path: str | os.PathLike[str]) -> None:
        self.address = Address(url_or_path)
        if self.address.path is not None and not self.address.path.exists():
            raise LedgerError(f"There is no ledger at {self.address.shown}: give the path that ledger= names.")
        self._engine = self.address.engine(write=False)
        try:
            update(self.address)
        except OUTAGES as error:
            raise self._unreadable(error) from None

    def __repr__(self) -> str:
        return f"LedgerReader({self.address!r})"

    def calls(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[StoredCall]:
        """Give the calls that began in a time, in order, a page at a time in memory."""
        after: tuple[datetime, str] | None = None
        while True:
            query = between(select(calls), since, until).order_by(calls.c.started_at, calls.c.call_id)
            if after is not None:
                query = query.where(tuple_(calls.c.started_at, calls.c.call_id) > after)
            with self._connected() as connection:
                page = self._stored(connection, query.limit(PAGE))
            yield from page
            if len(page) < PAGE:
                return
            after = (page[-1].record.started_at, page[-1].record.call_id)

    def call(self, call_id: str) -> StoredCall | None:
        """Give one call, or None when the ledger does not have it."""
        with self._connected() as connection:
            found = self._stored(connection, select(calls).where(calls.c.call_id == call_id))
        return found[0] if found else None

    def total(self, since: datetime | None = None, until: datetime | None = None) -> CallSummary:
        """Sum up all calls that began in a time."""
        with self._connected() as connection:
            found = Cut(connection, since, until).sum_calls(None)
        return found[0] if found else CallSummary()

    def sums(self, by: CallGroup, since: datetime | None = None, until: datetime | None = None) -> list[CallSummary]:
        """Sum up calls by what they have in common.

        Args:
            by: ``day``, ``month``, ``tier`` (the one that answered), ``key``, ``category``, ``status``, ``reason``,
                ``tags`` (all of a call's tags together) or ``tag``. A call counts in each of its tags, so that groups
                by ``tag`` overlap; all others add up to the total.
            since: Calls that began then or later.
            until: Calls that began earlier.
        """
        with self._connected() as connection:
            return Cut(connection, since, until).sum_calls(by)

    def attempt_sums(
        self, by: AttemptGroup, since: datetime | None = None, until: datetime | None = None
    ) -> list[AttemptSummary]:
        """Sum up attempts by ``role``, ``tier`` (the one that was called), ``model``, ``provider`` or ``price_id``."""
        with self._connected() as connection:
            return Cut(connection, since, until).sum_attempts(by)

    def failures(
        self, since: datetime | None = None, until: datetime | None = None, *, by_category: bool = False
    ) -> list[FailureRate]:
        """Give how often each tier's answers failed, as ``slmroute.failures`` defines it.

        Args:
            since: Calls that began then or later.
            until: Calls that began earlier.
            by_category: Whether to tell categories apart.
        """
        answers: Counter[tuple[str, str | None]] = Counter()
        kinds: defaultdict[tuple[str, str | None], Counter[FailureKind]] = defaultdict(Counter)
        with self._connected() as connection:
            for row in Cut(connection, since, until).answers(by_category=by_category):
                if not is_answer(row["role"], dry_run=row["dry_run"], whole=row["whole"]):
                    continue
                group = (row["tier"], row["category"])
                answers[group] += row["answers"]
                confidence = 0.0 if row["doubted"] else None if row["doubted"] is None else WRONG_BELOW
                kind = failure_of(row["role"], row["fault"], confidence, row["said_good"])
                if kind is not None:
                    kinds[group][kind] += row["answers"]
        ordered = sorted(answers, key=lambda group: (group[0], group[1] or ""))
        return [FailureRate(*group, answers[group], dict(kinds[group])) for group in ordered]

    def baseline_tiers(
        self, since: datetime | None = None, until: datetime | None = None
    ) -> Mapping[str | None, Mapping[str, int]]:
        """Count with which tiers the baselines of the calls that each tier answered were reckoned.

        Calls in rows of schemas 0001 and 0002 do not say so and are left out.
        """
        with self._connected() as connection:
            return dict(Cut(connection, since, until, calls.c.tier).counts(calls.c.baseline_tier))

    def machines(self, since: datetime | None = None, until: datetime | None = None) -> list[Machine]:
        """Give what tiers priced by the hour cost: from their first call in the time to its end.

        Without ``until``, or before it is reached, to the end of their last call: nobody knows for how much longer the
        machine is kept.
        """
        with self._connected() as connection:
            return Cut(connection, since, until if until and until <= datetime.now(UTC) else None).machines()

    @property
    def lost(self) -> int:
        """How many rows writers know to have lost; what was lost with a killed process nobody knows."""
        with self._connected() as connection:
            return int(connection.execute(select(func.coalesce(func.sum(losses.c.rows_lost), 0))).scalar_one())

    @contextmanager
    def _connected(self) -> Generator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except OUTAGES as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> LedgerError:
        if isinstance(error, LedgerError):
            return error
        said = f"The ledger {self.address.shown} cannot be read: {reason(error)}."
        if isinstance(error, DatabaseError) and not isinstance(error, OperationalError) and self.address.path:
            said += " Put a copy back, or save its rows with `sqlite3 FILE .recover`."
        return LedgerError(said)

    @staticmethod
    def _stored(connection: Connection, query: Query) -> list[StoredCall]:
        rows = as_rows(connection.execute(query))
        ids = [row["call_id"] for row in rows]
        parts = _grouped(connection, select(attempts).order_by(attempts.c.position), attempts.c.call_id, ids)
        words = _grouped(connection, select(feedback), feedback.c.call_id, ids)
        return [
            StoredCall(
                read_record(row, parts[row["call_id"]]),
                {word["source"]: word["good"] for word in words[row["call_id"]]},
            )
            for row in rows
        ]


def _grouped(
    connection: Connection, query: Query, column: ColumnElement[str], ids: Sequence[str]
) -> Mapping[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in as_rows(connection.execute(query.where(column.in_(ids)))):
        found[row["call_id"]].append(row)
    return found
