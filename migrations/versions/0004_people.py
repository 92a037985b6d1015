"""Accepted terms of use, appeals, strikes, reports, and where a server's moderators read of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
APPEAL_STATES = "'possible', 'open', 'upheld', 'overturned', 'blocked'"
DECISION_KINDS = "'prompt', 'picture', 'report'"
PICTURE_STATES = "'reported', 'hidden', 'restored', 'removed'"


def upgrade() -> None:
    with op.batch_alter_table("guild_settings") as settings:
        settings.add_column(sa.Column("moderation_channel_id", sa.BigInteger(), nullable=True))
        settings.add_column(sa.Column("reports_to_hide", sa.Integer(), nullable=True))
    op.create_table(
        "use_terms_acceptances",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.String(16), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "version", name=op.f("pk_use_terms_acceptances")),
    )
    _create_appeals()
    _create_strikes()
    _create_reports()


def _create_appeals() -> None:
    op.create_table(
        "appeals",
        sa.Column("decision_id", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("prompt_hash", sa.String(64), nullable=False),
        sa.Column("locale", sa.String(16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("actor_id", sa.BigInteger(), nullable=False),
        sa.Column("queue_message_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(f"state IN ({APPEAL_STATES})", name=op.f("ck_appeals_state")),
        sa.CheckConstraint(f"kind IN ({DECISION_KINDS})", name=op.f("ck_appeals_kind")),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_appeals")),
    )
    op.create_index("ix_appeals_user_id_created_at", "appeals", ["user_id", "created_at"])
    op.create_index("ix_appeals_created_at", "appeals", ["created_at"])


def _create_strikes() -> None:
    op.create_table(
        "strikes",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("decision_id", sa.String(32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_strikes")),
        sa.UniqueConstraint("decision_id", name=op.f("uq_strikes_decision_id")),
    )
    op.create_index("ix_strikes_user_id_created_at", "strikes", ["user_id", "created_at"])
    op.create_index("ix_strikes_created_at", "strikes", ["created_at"])


def _create_reports() -> None:
    op.create_table(
        "reported_pictures",
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.String(32), nullable=False),
        sa.Column("author_id", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("embeds", sa.JSON(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("age_restricted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hidden_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("actor_id", sa.BigInteger(), nullable=False),
        sa.Column("queue_message_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(f"state IN ({PICTURE_STATES})", name=op.f("ck_reported_pictures_state")),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_reported_pictures")),
    )
    op.create_index("ix_reported_pictures_author_id", "reported_pictures", ["author_id"])
    op.create_index("ix_reported_pictures_created_at", "reported_pictures", ["created_at"])
    op.create_table(
        "reports",
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reporter_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["reported_pictures.message_id"],
            name=op.f("fk_reports_message_id_reported_pictures"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("message_id", "reporter_id", name=op.f("pk_reports")),
    )
    op.create_index("ix_reports_reporter_id_created_at", "reports", ["reporter_id", "created_at"])


def downgrade() -> None:
    for table in ("reports", "reported_pictures", "strikes", "appeals", "use_terms_acceptances"):
        op.drop_table(table)
    with op.batch_alter_table("guild_settings") as settings:
        settings.drop_column("reports_to_hide")
        settings.drop_column("moderation_channel_id")
