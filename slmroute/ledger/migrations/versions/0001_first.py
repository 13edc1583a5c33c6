"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "calls",
        sa.Column("call_id", sa.String(64), primary_key=True),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("category", sa.Text),
        sa.Column("tier", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("reason", sa.String(32)),
        sa.Column("score", sa.Float),
        sa.Column("confidence", sa.Float),
        sa.Column("escalated", sa.Boolean, nullable=False),
        sa.Column("degraded", sa.Boolean, nullable=False),
        sa.Column("classifier_version", sa.Text),
        sa.Column("calibrator_version", sa.Text),
        sa.Column("events", sa.Text, nullable=False),
        sa.Column("cost_nano", sa.BigInteger),
        sa.Column("priced_nano", sa.BigInteger, nullable=False),
        sa.Column("unpriced", sa.Integer, nullable=False),
        sa.Column("baseline_nano", sa.BigInteger),
        sa.Column("saved_nano", sa.BigInteger),
        sa.Column("projected_nano", sa.BigInteger),
        sa.Column("price_version", sa.Text),
        sa.Column("ttft_ms", sa.Float),
        sa.Column("total_ms", sa.Float, nullable=False),
        sa.Column("error", sa.Text),
    )
    op.create_index("calls_started_at", "calls", ["started_at"])
    op.create_table(
        "attempts",
        sa.Column("call_id", sa.String(64), sa.ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("provider", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("cached_tokens", sa.BigInteger),
        sa.Column("cache_write_tokens", sa.BigInteger),
        sa.Column("reasoning_tokens", sa.BigInteger),
        sa.Column("usage_source", sa.String(16)),
        sa.Column("price_id", sa.Text, nullable=False),
        sa.Column("hour_price_nano", sa.BigInteger),
        sa.Column("cost_nano", sa.BigInteger),
        sa.Column("dry_run", sa.Boolean, nullable=False),
        sa.Column("confidence", sa.Float),
        sa.Column("fault", sa.Text),
        sa.Column("ttft_ms", sa.Float),
        sa.Column("total_ms", sa.Float, nullable=False),
        sa.Column("error", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "feedback",
        sa.Column("call_id", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("good", sa.Boolean, nullable=False),
        sa.Column("given_at", moment, nullable=False),
    )
    op.create_table(
        "losses",
        sa.Column("loss_id", sa.Integer, primary_key=True),
        sa.Column("noted_at", moment, nullable=False),
        sa.Column("rows_lost", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "budget_meters",
        sa.Column("meter", sa.Text, primary_key=True),
        sa.Column("window_start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "budget_holds",
        sa.Column("hold_id", sa.String(64), primary_key=True),
        sa.Column("meter", sa.Text, primary_key=True),
        sa.Column("window_start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("budget_holds_meter", "budget_holds", ["meter", "window_start"])
