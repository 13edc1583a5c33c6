"""The ledger: every routed call and everything that was paid for within it, in SQLite or PostgreSQL.

``Ledger`` is the writing half and never holds up a call. ``LedgerReader`` is the reading half. Names are loaded when
they are first used.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from slmroute.errors import MissingExtra

if find_spec("sqlalchemy") is None or find_spec("alembic") is None:
    raise MissingExtra("ledger", "The ledger")

if TYPE_CHECKING:
    from slmroute.ledger.ledger import Ledger
    from slmroute.ledger.reader import LedgerReader

__all__ = ["Ledger", "LedgerReader"]


def __getattr__(name: str) -> object:
    if name == "Ledger":
        from slmroute.ledger.ledger import Ledger

        return Ledger
    if name == "LedgerReader":
        from slmroute.ledger.reader import LedgerReader

        return LedgerReader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
