"""Say with which tier a call's baseline was reckoned, and what part of a cost was for a machine's time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns; NULL for calls and attempts from before."""
    op.add_column("calls", sa.Column("baseline_tier", sa.Text))
    op.add_column("attempts", sa.Column("machine_cost_nano", sa.BigInteger))
