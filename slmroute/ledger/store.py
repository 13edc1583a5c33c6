"""One connection to a ledger, for the one thread that writes through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, Table, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, StatementError

from slmroute.ledger.address import Address
from slmroute.ledger.machine_time import MachineTime
from slmroute.ledger.opening import prepare
from slmroute.ledger.rows import Row, attempt_rows, call_row
from slmroute.ledger.schema import attempts, calls, feedback, losses
from slmroute.record import RouteRecord

__all__ = ["Feedback", "Item", "Store"]


@dataclass(frozen=True, slots=True)
class Feedback:
    """Someone's word on whether the answer of a call was good.

    Attributes:
        call_id: The call.
        good: Whether it was.
        source: Who says so: ``user``, ``judge``, ``langsmith`` ... One source has one word a call, its last.
        given_at: When, in UTC.
    """

    call_id: str
    good: bool
    source: str
    given_at: datetime


Item = RouteRecord | Feedback

UNFIT: Final = (StatementError, ArithmeticError, AttributeError, TypeError, ValueError)
"""What may come of a record that holds what no ledger stores: it must not keep the others from being written."""

OF_VALUES: Final = (None, "42804", "42846")
"""The codes of errors (datatype_mismatch, cannot_coerce) that come of a value and not of the database's state."""


class Store:
    """Writes to a ledger over one connection, which it opens when first needed and again after a failure.

    Args:
        address: Where the ledger is.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Connection | None = None
        self._new = postgresql.insert if address.path is None else sqlite.insert
        self._machines = MachineTime()

    def write(self, items: Sequence[Item]) -> int:
        """Write records and feedback in one transaction. What is there already is not written again.

        Returns:
            How many of them no database can store; they are left out.

        Raises:
            SQLAlchemyError: The database cannot be written now; nothing of it was.
            LedgerError: What is there cannot be used; see ``opening.prepare``.
            OSError: The file's folder cannot be made.
        """
        try:
            self._write(items)
        except UNFIT as error:
            if isinstance(error, DBAPIError) and not _is_of_values(error):
                raise
            if len(items) == 1:
                return 1
            return sum(self.write([item]) for item in items)
        return 0

    def note_loss(self, rows: int, reason: str) -> None:
        """Write down that rows were lost, so that readers can say so."""
        with self._connected().begin():
            values = {"noted_at": datetime.now(UTC), "rows_lost": rows, "reason": reason}
            self._connected().execute(insert(losses), values)

    def close(self) -> None:
        """Close the connection; it is opened again when needed."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def _connected(self) -> Connection:
        path = self._address.path
        if path is not None and self._connection is not None and not path.exists():
            self.close()  # someone took the file away, and rows would go where nobody finds them
        if self._connection is None:
            prepare(self._address)
            self._connection = self._address.engine(write=True).connect()
        return self._connection

    def _write(self, items: Sequence[Item]) -> None:
        written: list[tuple[RouteRecord, list[Row]]] = []
        words: list[Row] = []
        for item in items:
            if isinstance(item, Feedback):
                words.append(
                    {"call_id": item.call_id, "source": item.source, "good": item.good, "given_at": item.given_at}
                )
            else:
                written.append((item, attempt_rows(item)))
        connection = self._connected()
        with connection.begin():
            free = self._machines.charge(connection, written)
            self._insert(connection, calls, [call_row(record, rows) for record, rows in written])
            self._insert(connection, attempts, [row for _, rows in written for row in rows])
            if words:
                new = self._new(feedback)
                changed = {"good": new.excluded.good, "given_at": new.excluded.given_at}
                connection.execute(new.on_conflict_do_update(index_elements=["call_id", "source"], set_=changed), words)
        self._machines.keep(free)

    def _insert(self, connection: Connection, table: Table, rows: list[Row]) -> None:
        if rows:  # a batch is sent again when it is not known whether it arrived
            connection.execute(self._new(table).on_conflict_do_nothing(), rows)


def _is_of_values(error: DBAPIError) -> bool:
    """Whether a database refused a value, and is itself as it should be.

    What a server says of a statement (its tables are gone, say) has a code of its own, and what a driver says of a
    value that it cannot send has none.
    """
    code = getattr(error.orig, "sqlstate", None)
    return isinstance(error, DataError | IntegrityError) or (isinstance(error, ProgrammingError) and code in OF_VALUES)
