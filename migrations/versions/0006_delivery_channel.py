"""Jobs remember in which channel the first attempt to deliver them was to be seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("delivery_channel_id", sa.BigInteger, nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "delivery_channel_id")
