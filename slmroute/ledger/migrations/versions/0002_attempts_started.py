"""Say when in its call an attempt began, so that a call can be drawn as it went."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; NULL for attempts from before."""
    op.add_column("attempts", sa.Column("started_ms", sa.Float))
