"""What a channel has used is summed from the index alone."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NAME = "ix_ledger_entries_channel"
TABLE = "ledger_entries"


def upgrade() -> None:
    op.drop_index(NAME, TABLE)
    op.create_index(NAME, TABLE, ["channel_id", "guild_id", "effective_at", "kind", "amount"])


def downgrade() -> None:
    op.drop_index(NAME, TABLE)
    op.create_index(NAME, TABLE, ["channel_id", "effective_at", "kind", "amount"])
