"""The ledger's tables. Money is whole nano-dollars, times are UTC, durations are milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

__all__ = [
    "HEAD",
    "VERSION_TABLE",
    "UtcTime",
    "attempts",
    "budget_holds",
    "budget_meters",
    "calls",
    "feedback",
    "losses",
    "machine_time",
    "metadata",
]

HEAD: Final = "0005"
"""The revision that this version of slmroute reads and writes; the newest file in ``migrations/versions``."""

VERSION_TABLE: Final = "slmroute_schema"
"""Where a database says which revision it is of. Not Alembic's usual name: the database may be another's, too."""


class UtcTime(TypeDecorator[datetime]):
    """A moment, stored in UTC and read as such, also from SQLite, which knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turn a moment to UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give a moment its time zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

calls = Table(
    "calls",
    metadata,
    Column("call_id", String(64), primary_key=True),
    Column("started_at", UtcTime, nullable=False),
    Column("day", String(10), nullable=False),  # started_at's date in UTC: what days are summed up by
    Column("status", String(16), nullable=False),
    Column("key", Text),
    Column("tags", Text, nullable=False),  # a JSON array, in the caller's order
    Column("category", Text),  # of the tag "category:..."
    Column("tier", Text),
    Column("model", Text),
    Column("reason", String(32)),
    Column("score", Float),
    Column("confidence", Float),
    Column("escalated", Boolean, nullable=False),
    Column("degraded", Boolean, nullable=False),
    Column("classifier_version", Text),
    Column("calibrator_version", Text),
    Column("events", Text, nullable=False),  # a JSON array
    Column("cost_nano", BigInteger),  # the sum of the attempts' costs, or NULL when one of them is unpriced
    Column("priced_nano", BigInteger, nullable=False),  # the sum of those that are priced
    Column("unpriced", Integer, nullable=False),  # how many attempts are not
    Column("baseline_nano", BigInteger),
    Column("saved_nano", BigInteger),  # baseline - cost, or NULL: unknown, or only projected
    Column("projected_nano", BigInteger),  # the same where the last tier is a dry run
    Column("price_version", Text),
    Column("ttft_ms", Float),
    Column("total_ms", Float, nullable=False),
    Column("error", Text),
    Column("baseline_tier", Text),  # NULL in rows of schemas 0001 and 0002
    Index("calls_started_at", "started_at"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("call_id", String(64), ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("role", String(16), nullable=False),
    Column("tier", Text, nullable=False),
    Column("provider", Text),
    Column("model", Text),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("usage_source", String(16)),  # NULL where nothing was generated
    Column("price_id", Text, nullable=False),
    Column("hour_price_nano", BigInteger),  # of the machine, where time was paid for and not tokens alone
    Column("cost_nano", BigInteger),
    Column("dry_run", Boolean, nullable=False),
    Column("confidence", Float),
    Column("fault", Text),
    Column("ttft_ms", Float),
    Column("total_ms", Float, nullable=False),
    Column("error", Text),
    Column("started_ms", Float),  # after the call's beginning; NULL in rows of schema 0001
    Column("machine_cost_nano", BigInteger),  # the part of cost_nano for its time; NULL in rows of 0001 and 0002, too
    Column("cache_write_1h_tokens", BigInteger),  # this and the next three: NULL in rows of schemas before 0004, too
    Column("audio_input_tokens", BigInteger),
    Column("audio_output_tokens", BigInteger),
    Column("service_tier", Text),  # where it is not the usual one
    sqlite_with_rowid=False,
)

feedback = Table(
    "feedback",
    metadata,
    Column("call_id", String(64), primary_key=True),
    Column("source", String(64), primary_key=True),
    Column("good", Boolean, nullable=False),
    Column("given_at", UtcTime, nullable=False),
)

losses = Table(
    "losses",
    metadata,
    Column("loss_id", Integer, primary_key=True),
    Column("noted_at", UtcTime, nullable=False),
    Column("rows_lost", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)

machine_time = Table(
    "machine_time",  # spans in which machines paid by the hour were busy, as each writer has charged them
    metadata,
    Column("tier", Text, primary_key=True),
    Column("writer", String(32), primary_key=True),
    Column("since_us", BigInteger, primary_key=True, autoincrement=False),  # microseconds since 1970 UTC
    Column("until_us", BigInteger, nullable=False),
    Index("machine_time_until", "tier", "until_us"),
)

budget_meters = Table(
    "budget_meters",
    metadata,
    Column("meter", Text, primary_key=True),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),  # seconds since 1970 UTC
    Column("amount", BigInteger, nullable=False),  # nano-dollars, or a count
)

budget_holds = Table(
    "budget_holds",
    metadata,
    Column("hold_id", String(64), primary_key=True),
    Column("meter", Text, primary_key=True),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    Column("amount", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),  # seconds since 1970 UTC: who held it may have been killed
    Index("budget_holds_meter", "meter", "window_start"),
)
