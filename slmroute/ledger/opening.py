"""Opening a ledger: what is there is checked before it is touched, and brought to this version's schema."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Final, cast

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError, SQLAlchemyError

from slmroute.errors import LedgerError
from slmroute.ledger.address import Address
from slmroute.ledger.schema import HEAD, VERSION_TABLE, metadata

__all__ = ["OUTAGES", "is_current", "prepare", "reason", "update"]

OUTAGES: Final = (SQLAlchemyError, sqlite3.Error, LedgerError, OSError)
"""What a ledger that cannot be used at the moment raises. Some of SQLite's errors come as they are."""

MIGRATION_LOCK = 0x51_4D_52_54
"""The advisory lock that processes migrating the same PostgreSQL database wait for; SQLite's own lock does there."""


def prepare(address: Address) -> None:
    """Make sure that there is a ledger of this version's schema, making or migrating it where needed.

    Two processes may do so at once: one waits for the other.

    Raises:
        LedgerError: What is there is no ledger, is damaged, or is of a newer schema; it is left as it is.
        OperationalError: It cannot be reached or written now.
    """
    path = address.path
    if path is not None and (not path.exists() or path.stat().st_size == 0):
        path.parent.mkdir(parents=True, exist_ok=True)
        _migrate(address)
        return
    if not is_current(address):
        _migrate(address)


def update(address: Address) -> None:
    """Bring a ledger that is there to this version's schema; where there is none, none is made.

    Raises:
        LedgerError: What is there is no ledger, is damaged, or is of a newer schema; it is left as it is.
        OperationalError: It cannot be reached or written now.
    """
    if is_current(address):
        return
    with address.engine(write=False).connect() as connection:
        names = inspect(connection).get_table_names()
    if VERSION_TABLE not in names:
        raise LedgerError(
            f"There is no ledger in {address.shown}: it holds {_tables(names)}, and was left as it is. Give the path "
            "or URL that ledger= names."
        )
    prepare(address)


def is_current(address: Address) -> bool:
    """Tell whether a ledger that is there is of this version's schema, without changing anything.

    Raises:
        LedgerError: It is no ledger, is damaged, or is of a newer schema.
        OperationalError: It cannot be reached now.
    """
    engine = address.engine(write=False)  # turning WAL on would already change a file that is not ours
    try:
        with engine.connect() as connection:
            return _check(connection, address)
    except (DatabaseError, sqlite3.DatabaseError) as error:
        if isinstance(error, OperationalError | sqlite3.OperationalError):
            raise
        if _is_no_database(error):
            raise LedgerError(
                f"The file {address.path} is not a ledger but something else ({reason(error)}); it was left as it is."
            ) from None
        raise LedgerError(
            f"The ledger {address.shown} is damaged ({reason(error)}) and was left as it is. Move it away to begin a "
            "new one; `sqlite3 FILE .recover` may save its rows."
        ) from None


def reason(error: Exception) -> str:
    """Say what went wrong without the statement and its values."""
    if isinstance(error, DBAPIError):
        lines = str(cast("object", error.orig)).splitlines()
        return lines[0] if lines else type(error.orig).__name__
    return str(error)


def _check(connection: Connection, address: Address) -> bool:
    """Tell whether a database is of this version's schema; False when it is empty or of an older one."""
    names = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in names:
        if taken := names & set(metadata.tables):
            raise LedgerError(
                f"The database {address.shown} holds tables named {', '.join(sorted(taken))} that slmroute did not "
                "make: give ledger= a database, or a schema, of its own."
            )
        return False
    revision = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608  our name
    if revision == HEAD:
        return True
    if revision is not None and revision not in _known_revisions():
        raise LedgerError(
            f"The ledger {address.shown} is of schema {revision}, which is newer than this slmroute's ({HEAD}): "
            "upgrade slmroute, or give ledger= another file. It was left as it is."
        )
    return False


def _tables(names: list[str]) -> str:
    if not names:
        return "no table"
    shown = ", ".join(sorted(names)[:5])
    return f"table{'' if len(names) == 1 else 's'} {shown}{' and others' if len(names) > 5 else ''}"


def _is_no_database(error: DatabaseError | sqlite3.DatabaseError) -> bool:
    """Whether SQLite found that a file is none of its own.

    Nobody else may look: closing a file, however it was opened, takes away the locks that SQLite holds on it for this
    process (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    cause = error.orig if isinstance(error, DatabaseError) else error
    return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB


def _known_revisions() -> set[str]:
    versions = Path(__file__).parent / "migrations" / "versions"
    return {file.name.partition("_")[0] for file in versions.glob("[0-9]*.py")}


def _migrate(address: Address) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every start at INFO
    with address.engine(write=True).begin() as connection:
        if address.path is None:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        if not _check(connection, address):  # another process may have done it while this one waited
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
