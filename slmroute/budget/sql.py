"""Budgets counted in the ledger's database, by all processes that use it."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, delete, func, insert, select, text, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from slmroute.budget.limits import Charge
from slmroute.budget.stores import Hold, Taken
from slmroute.ledger.address import Address
from slmroute.ledger.opening import OUTAGES, prepare
from slmroute.ledger.schema import budget_holds, budget_meters

__all__ = ["SqlStore"]

LOCK = 0x62_75_64_67
"""The advisory lock under which PostgreSQL counts; SQLite has one writer at a time anyhow."""


BUSY_S: Final = 10.0
"""How long SQLite waits for other writers: longer than calls wait for it. A file in use is not one that is gone, and
is to be counted in as soon as it is free."""

Window = tuple[str, int]


class SqlStore:
    """Counts in SQLite or PostgreSQL, over one connection, for one thread. Every method is one transaction.

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

    def hold(self, holds: Sequence[Hold]) -> Sequence[Taken]:
        """See ``Store``."""
        windows = list({charge.window for hold in holds for charge in hold.charges})
        connection = self._connected()
        with connection.begin():
            self._lock(connection)
            counted = self._counted(connection, windows)
            tally = _Tally(
                Counter(counted),
                self._held(connection, windows, min(charge.at for hold in holds for charge in hold.charges)),
            )
            taken = [tally.take(hold) for hold in holds]
            self._count(connection, {window: tally.spent[window] - counted.get(window, 0) for window in windows})
            rows = [
                {
                    "hold_id": hold.hold_id,
                    "meter": charge.meter,
                    "window_start": charge.start,
                    "amount": charge.amount,
                    "expires_at": charge.held_until,
                }
                for hold, came in zip(holds, taken, strict=True)
                if came.refused is None
                for charge in hold.charges
            ]
            if rows:
                connection.execute(insert(budget_holds), rows)
        return taken

    def settle(self, hold_ids: Sequence[str], charges: Sequence[Charge]) -> None:
        """See ``Store``."""
        connection = self._connected()
        with connection.begin():
            self._lock(connection)
            if hold_ids:
                connection.execute(delete(budget_holds).where(budget_holds.c.hold_id.in_(hold_ids)))
            amounts = Counter[Window]()
            for charge in charges:
                amounts[charge.window] += charge.amount
            self._count(connection, amounts)

    def close(self) -> None:
        """See ``Store``."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def _count(self, connection: Connection, amounts: Mapping[Window, int]) -> None:
        rows = [
            {"meter": meter, "window_start": start, "amount": amount}
            for (meter, start), amount in amounts.items()
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
    def _counted(connection: Connection, windows: Sequence[Window]) -> dict[Window, int]:
        meters = budget_meters.c
        here = tuple_(meters.meter, meters.window_start).in_(windows)
        rows = connection.execute(select(meters.meter, meters.window_start, meters.amount).where(here))
        return {(meter, start): amount for meter, start, amount in rows}

    @staticmethod
    def _held(connection: Connection, windows: Sequence[Window], at: int) -> defaultdict[Window, Counter[int]]:
        holds = budget_holds.c
        here = and_(tuple_(holds.meter, holds.window_start).in_(windows), holds.expires_at > at)
        columns = (holds.meter, holds.window_start, holds.expires_at)
        found: defaultdict[Window, Counter[int]] = defaultdict(Counter)
        for meter, start, until, amount in connection.execute(
            select(*columns, func.sum(holds.amount)).where(here).group_by(*columns)
        ):
            found[meter, start][until] = int(amount)
        return found


@dataclass(frozen=True, slots=True)
class _Tally:
    """What is taken of windows while holds are made in them, one after another.

    Attributes:
        spent: What is counted.
        held: What is held, by when that ends.
    """

    spent: Counter[Window]
    held: defaultdict[Window, Counter[int]]

    def take(self, hold: Hold) -> Taken:
        for charge, known in zip(hold.charges, hold.known, strict=True):
            self.spent[charge.window] = max(self.spent[charge.window], known)
        spent = tuple(self.spent[charge.window] for charge in hold.charges)
        used = tuple(map(int.__add__, spent, map(self._held_at, hold.charges)))
        for place, (charge, already) in enumerate(zip(hold.charges, used, strict=True)):
            if already + charge.amount > charge.limit:
                return Taken(place, used, spent)
        for charge in hold.charges:
            self.held[charge.window][charge.held_until] += charge.amount
        return Taken(None, used, spent)

    def _held_at(self, charge: Charge) -> int:
        return sum(amount for until, amount in self.held[charge.window].items() if until > charge.at)
