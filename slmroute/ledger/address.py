"""Where a ledger is: a path or URL, read once, shown without its password, opened as an engine of SQLAlchemy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError

from slmroute.errors import ConfigError, MissingExtra

__all__ = ["Address", "default_path"]

BUSY_S: Final = 1.0
"""How long SQLite waits for another writer; the ledger's writer tries again, with pauses."""
ON_A_NETWORK: Final = {
    "connect_timeout": 3,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""What PostgreSQL's driver is told where the URL says nothing of it: how many seconds it waits for a connection, and
how one is noticed that leads nowhere any more (the last in milliseconds), which would else be waited on for hours."""

EXAMPLE: Final = '"slmroute.db", "sqlite:///slmroute.db" or "postgresql://user@host/database"'


def default_path() -> Path:
    """Give the file that holds the user's ledger when nothing else is said."""
    from platformdirs import user_data_path

    return user_data_path("slmroute", appauthor=False) / "slmroute.db"


class Address:
    """Where a ledger is.

    Args:
        where: A path, or a URL ``sqlite:///...`` or ``postgresql://...``. Its password is in no repr; give it in
            ``PGPASSWORD`` or a password file to keep it out of the program altogether.

    Raises:
        ConfigError: It is neither.
        MissingExtra: It is PostgreSQL's and its driver is not installed.
    """

    def __init__(self, where: str | os.PathLike[str]) -> None:
        self.given = os.fspath(where)
        self.url = _url(self.given)

    def __repr__(self) -> str:
        return repr(self.shown)

    @property
    def path(self) -> Path | None:
        """The file, where it is one."""
        return Path(self.url.database) if self.url.database and self.url.get_backend_name() == "sqlite" else None

    @property
    def place(self) -> Path | URL:
        """What is the same for all names of one ledger: a file has many."""
        return self.url if self.path is None else self.path.resolve()

    @property
    def shown(self) -> str:
        """The address without anything secret."""
        if self.path is not None:
            return str(self.path)
        bare = URL.create("postgresql", self.url.username, None, self.url.host, self.url.port, self.url.database)
        return bare.render_as_string()

    def engine(self, *, write: bool, busy_s: float | None = None) -> Engine:
        """Make an engine whose connections are opened when asked for and closed when given back.

        Args:
            write: Whether a transaction takes SQLite's write lock when it begins, so that it is never refused half
                way; without it nothing can be changed, and a file that is not there is not made.
            busy_s: How long SQLite waits for another writer before it says so, if not ``BUSY_S``.
        """
        if self.path is None:
            args = {name: value for name, value in ON_A_NETWORK.items() if name not in self.url.query}
            return create_engine(self.url, poolclass=NullPool, connect_args=args, hide_parameters=True)
        url = self.url
        if not write:
            # Not mode=ro: with that SQLite makes the files -shm and -wal all the same, and cannot take them away again.
            url = url.set(database=f"{self.path.absolute().as_uri()}").update_query_dict({"mode": "rw", "uri": "true"})
        wait: dict[str, object] = {"timeout": BUSY_S if busy_s is None else busy_s}
        engine = create_engine(url, poolclass=NullPool, connect_args=wait, hide_parameters=True)
        _tune_sqlite(engine, write=write)
        if not write:
            _read_what_is_still(engine, self.path)
        return engine


def _read_what_is_still(engine: Engine, path: Path) -> None:
    @event.listens_for(engine, "do_connect")
    def connecting(_: object, __: object, args: list[str], ___: object) -> None:  # pyright: ignore[reportUnusedFunction]
        if _is_still(path):
            args[0] += "&immutable=1"


def _is_still(path: Path) -> bool:
    """Tell whether a file is on a disk, or in a folder, that cannot be written, and nobody is writing to it.

    SQLite reads such a file only if it is told so: it cannot make the files beside it that it shares with writers.
    """
    return not os.access(path.absolute().parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()


def _url(given: str) -> URL:
    if "://" not in given:
        if not given or given == ":memory:":
            raise ConfigError(f"ledger={given!r} is not a file: write {EXAMPLE}.")
        return URL.create("sqlite", database=str(Path(given).expanduser()))
    try:
        url = make_url(given)
        backend = url.get_backend_name()
    except ArgumentError:
        raise ConfigError(f"ledger= is not a URL that can be read: write {EXAMPLE}.") from None
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ConfigError(f"ledger={given!r} is lost when the program ends: write {EXAMPLE}.")
        return url.set(drivername="sqlite")
    if backend not in ("postgresql", "postgres"):
        raise ConfigError(f"ledger= does not know {backend!r}: write {EXAMPLE}.")
    try:
        import psycopg  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise MissingExtra("postgres", "A ledger in PostgreSQL") from None
    return url.set(drivername="postgresql+psycopg")


def _tune_sqlite(engine: Engine, *, write: bool) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: DBAPIConnection, _: object) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.isolation_level = None  # transactions begin where `begun` says
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        if write:
            if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):  # the file keeps it once it is set
                cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = NORMAL")
        else:
            cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
