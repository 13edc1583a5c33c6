"""Forgetting: old calls leave the ledger, a few at a time, so that writers get their turn."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Final

from sqlalchemy import Delete, Engine, delete, select, text

from slmroute.errors import ConfigError, LedgerError
from slmroute.ledger.address import Address
from slmroute.ledger.machine_time import microseconds
from slmroute.ledger.opening import OUTAGES, reason, update
from slmroute.ledger.schema import attempts, budget_holds, budget_meters, calls, feedback, machine_time

__all__ = ["prune"]

STEP: Final = 5_000


def prune(url_or_path: str | os.PathLike[str], before: datetime, *, shrink: bool = False) -> int:
    """Delete the calls that began before a time, with their attempts and feedback.

    Args:
        url_or_path: As ``Ledger`` takes it.
        before: Calls that began earlier are deleted; it must know its time zone.
        shrink: Whether to give the space back to the disk, for which a file is locked for a while. Without it the
            space is used for what is written next.

    Returns:
        How many calls were deleted.

    Raises:
        LedgerError: There is no ledger, or it cannot be written now.
        ConfigError: ``before`` has no time zone.
    """
    if before.tzinfo is None:
        raise ConfigError(f"before={before.isoformat()} needs a time zone: for example datetime.now(UTC).")
    address = Address(url_or_path)
    if address.path is not None and not address.path.exists():
        raise LedgerError(f"There is no ledger at {address.shown}: give the path that ledger= names.")
    try:
        update(address)
        engine = address.engine(write=True)
        gone = _delete_calls(engine, before)
        _delete_rest(engine, before)
        if shrink:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM"))
    except OUTAGES as error:
        if isinstance(error, LedgerError):
            raise
        raise LedgerError(f"The ledger {address.shown} cannot be pruned now: {reason(error)}.") from error
    return gone


def _delete_calls(engine: Engine, before: datetime) -> int:
    gone = 0
    while True:
        with engine.begin() as connection:
            old = select(calls.c.call_id).where(calls.c.started_at < before).order_by(calls.c.started_at).limit(STEP)
            ids = connection.execute(old).scalars().all()
            if not ids:
                return gone
            for table in (feedback, attempts, calls):
                connection.execute(delete(table).where(table.c.call_id.in_(ids)))
            gone += len(ids)


def _delete_rest(engine: Engine, before: datetime) -> None:
    """Delete feedback on calls that are not there, what budgets counted in windows long closed, and machines' time."""
    seconds = int(before.timestamp())
    stale: list[Delete] = [
        delete(feedback).where(feedback.c.given_at < before, feedback.c.call_id.not_in(select(calls.c.call_id))),
        delete(budget_meters).where(budget_meters.c.window_start < seconds - 31 * 86_400),
        delete(budget_holds).where(budget_holds.c.expires_at < seconds),
        delete(machine_time).where(machine_time.c.until_us < microseconds(before)),
    ]
    with engine.begin() as connection:
        for statement in stale:
            connection.execute(statement)
