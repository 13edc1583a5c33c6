"""Keep what time of machines paid by the hour was charged, so that several writers charge it once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table, empty: what was charged before is not charged again by calls that come later."""
    op.create_table(
        "machine_time",
        sa.Column("tier", sa.Text, primary_key=True),
        sa.Column("writer", sa.String(32), primary_key=True),
        sa.Column("since_us", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("until_us", sa.BigInteger, nullable=False),
    )
    op.create_index("machine_time_until", "machine_time", ["tier", "until_us"])
