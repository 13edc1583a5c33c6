"""Budgets counted in the ledger's database, by all processes that use it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, Table, and_, delete, func, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite

from slmroute.budget.limits import Charge
from slmroute.budget.stores import Taken
from slmroute.ledger.address import Address
from slmroute.ledger.opening import OUTAGES, prepare
from slmroute.ledger.schema import budget_holds, budget_meters

__all__ = ["SqlStore"]

LOCK = 0x62_75_64_67
"""The advisory lock under which PostgreSQL counts; SQLite has one writer at a time anyhow."""


BUSY_S: Final = 10.0
"""How long SQLite waits for other writers: longer than calls wait for it. A file in use is not one that is gone, and
is to be counted in as soon as it is free."""


class SqlStore:
    """Counts in SQLite or PostgreSQL, over one connection, for one thread.

    Args:
        url_or_path: As ``Ledger`` takes it.

    Raises:
        LedgerError: What is there is no ledger that can be used.
    """

    outages: tuple[type[Exception], ...] = OUTAGES

    def __init__(self, url_or_path: str | os.PathLike[str]) -> None:
        self._address = Address(url_or_path)
        self._connection: Connection | None = None
        self._new = postgresql.insert if self._address.path is None else sqlite.insert

    def hold(self, hold_id: str, charges: Sequence[Charge], known: Sequence[int]) -> Taken:
        """See ``Store``."""
        connection = self._connected()
        with connection.begin():
            self._lock(connection)
            counted = [self._sum(connection, budget_meters, charge) for charge in charges]
            spent = tuple(map(max, counted, known))
            self._count(connection, charges, map(int.__sub__, spent, counted))
            held = (self._sum(connection, budget_holds, charge) for charge in charges)
            used = tuple(map(int.__add__, spent, held))
            for place, (charge, already) in enumerate(zip(charges, used, strict=True)):
                if already + charge.amount > charge.limit:
                    return Taken(place, used, spent)
            rows = [
                {
                    "hold_id": hold_id,
                    "meter": charge.meter,
                    "window_start": charge.start,
                    "amount": charge.amount,
                    "expires_at": charge.held_until,
                }
                for charge in charges
            ]
            connection.execute(insert(budget_holds), rows)
        return Taken(None, used, spent)

    def settle(self, hold_ids: Sequence[str], charges: Sequence[Charge]) -> None:
        """See ``Store``."""
        connection = self._connected()
        with connection.begin():
            self._lock(connection)
            if hold_ids:
                connection.execute(delete(budget_holds).where(budget_holds.c.hold_id.in_(hold_ids)))
            self._count(connection, charges, [charge.amount for charge in charges])

    def close(self) -> None:
        """See ``Store``."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def _count(self, connection: Connection, charges: Sequence[Charge], amounts: Iterable[int]) -> None:
        rows = [
            {"meter": charge.meter, "window_start": charge.start, "amount": amount}
            for charge, amount in zip(charges, amounts, strict=True)
            if amount
        ]
        if rows:
            new = self._new(budget_meters)
            added = {"amount": budget_meters.c.amount + new.excluded.amount}
            connection.execute(new.on_conflict_do_update(index_elements=["meter", "window_start"], set_=added), rows)

    def _connected(self) -> Connection:
        path = self._address.path
        if path is not None and self._connection is not None and not path.exists():
            self.close()  # someone took the file away, and others would not see what is counted in it
        if self._connection is None:
            prepare(self._address)
            self._connection = self._address.engine(write=True, busy_s=BUSY_S).connect()
        return self._connection

    def _lock(self, connection: Connection) -> None:
        if self._address.path is None:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})

    @staticmethod
    def _sum(connection: Connection, table: Table, charge: Charge) -> int:
        here = and_(table.c.meter == charge.meter, table.c.window_start == charge.start)
        if table is budget_holds:
            here = and_(here, budget_holds.c.expires_at > charge.at)
        return int(connection.execute(select(func.coalesce(func.sum(table.c.amount), 0)).where(here)).scalar_one())
