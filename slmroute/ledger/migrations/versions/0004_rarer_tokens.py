"""Tell tokens apart that have prices of their own: written to a cache for an hour, sound, other classes of service."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns; NULL for attempts from before."""
    for name in ("cache_write_1h_tokens", "audio_input_tokens", "audio_output_tokens"):
        op.add_column("attempts", sa.Column(name, sa.BigInteger))
    op.add_column("attempts", sa.Column("service_tier", sa.Text))
