"""Levels, verdicts of pictures, and the record of what was decided on them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

LEVELS = "'strict', 'default', 'age-restricted'"


def upgrade() -> None:
    # Nobody screened the jobs of before: what is not delivered yet is held to the strictest threshold.
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("level", sa.String(16), nullable=False, server_default="strict"))
        jobs.add_column(sa.Column("prompt_decision", sa.String(16), nullable=False, server_default="strict"))
        jobs.add_column(
            sa.Column("prompt_reasons", sa.JSON(), nullable=False, server_default='["unscreened"]')
        )
        jobs.create_check_constraint(op.f("ck_jobs_level"), f"level IN ({LEVELS})")
        jobs.create_check_constraint(
            op.f("ck_jobs_prompt_decision"), "prompt_decision IN ('allow', 'strict')"
        )
    with op.batch_alter_table("jobs") as jobs:
        for column in ("level", "prompt_decision", "prompt_reasons"):
            jobs.alter_column(column, server_default=None)
    with op.batch_alter_table("images") as images:
        images.add_column(sa.Column("verdict", sa.JSON(), nullable=True))
        images.add_column(sa.Column("is_withheld", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("images") as images:
        images.alter_column("is_withheld", server_default=None)
    _create_server_safety()
    _create_decisions()


def _create_server_safety() -> None:
    op.create_table(
        "server_safety",
        sa.Column("guild_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("channels", sa.JSON(), nullable=False),
        sa.Column("block_list", sa.JSON(), nullable=False),
        sa.Column("allow_list", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(f"level IN ({LEVELS})", name=op.f("ck_server_safety_level")),
        sa.PrimaryKeyConstraint("guild_id", name=op.f("pk_server_safety")),
    )


def _create_decisions() -> None:
    op.create_table(
        "safety_decisions",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kept_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("job_id", sa.String(32), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("user_key", sa.String(64), nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("pdq", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.CheckConstraint("kind IN ('prompt', 'picture')", name=op.f("ck_safety_decisions_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_safety_decisions")),
    )
    for column in ("job_id", "user_key", "kept_until"):
        op.create_index(f"ix_safety_decisions_{column}", "safety_decisions", [column])
    if op.get_bind().dialect.name == "sqlite":
        _guard_on_sqlite()
    else:
        _guard_on_postgresql()


def _guard_on_sqlite() -> None:
    op.execute(
        "CREATE TRIGGER safety_decisions_no_update BEFORE UPDATE ON safety_decisions "
        "BEGIN SELECT RAISE(ABORT, 'safety_decisions is append-only'); END"
    )
    op.execute(
        "CREATE TRIGGER safety_decisions_no_delete BEFORE DELETE ON safety_decisions "
        "WHEN OLD.kept_until > strftime('%Y-%m-%d %H:%M:%f', 'now') "
        "BEGIN SELECT RAISE(ABORT, 'safety_decisions are kept for their time'); END"
    )


def _guard_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION safety_decisions_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF TG_OP = 'DELETE' AND OLD.kept_until <= now() THEN RETURN OLD; END IF; "
        "RAISE EXCEPTION 'safety_decisions are kept for their time'; END $$"
    )
    op.execute(
        "CREATE TRIGGER safety_decisions_append_only BEFORE UPDATE OR DELETE ON safety_decisions "
        "FOR EACH ROW EXECUTE FUNCTION safety_decisions_append_only()"
    )
    op.execute(
        "CREATE TRIGGER safety_decisions_no_truncate BEFORE TRUNCATE ON safety_decisions "
        "FOR EACH STATEMENT EXECUTE FUNCTION safety_decisions_append_only()"
    )


def downgrade() -> None:
    op.drop_table("safety_decisions")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION safety_decisions_append_only()")
    op.drop_table("server_safety")
    with op.batch_alter_table("images") as images:
        images.drop_column("is_withheld")
        images.drop_column("verdict")
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_constraint(op.f("ck_jobs_level"), type_="check")
        jobs.drop_constraint(op.f("ck_jobs_prompt_decision"), type_="check")
        for column in ("prompt_reasons", "prompt_decision", "level"):
            jobs.drop_column(column)
