"""Ledger, quotas, limits, blocks, presets of servers, audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LIVE = sa.text("state IN ('queued', 'running')")
RESERVED = sa.text("kind = 'reserve'")
CLOSED = sa.text("kind IN ('settle', 'refund')")
KINDS = "'reserve', 'settle', 'refund', 'grant', 'expire', 'reset'"
SCOPES = "'default', 'member', 'role', 'channel', 'server'"
TIMES = ("started_at", "delivery_begun_at", "undelivered_at")
APPEND_ONLY = ("ledger_entries", "audit_log")


def upgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("cost", sa.BigInteger(), nullable=False, server_default="0"))
        jobs.add_column(sa.Column("preset", sa.String(64), nullable=False, server_default=""))
        for column in TIMES:
            jobs.add_column(sa.Column(column, sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("jobs") as jobs:
        # Jobs of before cost nothing; from here on every insert names its cost.
        jobs.alter_column("cost", server_default=None)
        jobs.alter_column("preset", server_default=None)
    op.create_index("ix_jobs_guild_id_created_at", "jobs", ["guild_id", "created_at"])
    op.create_index("ix_jobs_live", "jobs", ["user_id", "guild_id"], sqlite_where=LIVE, postgresql_where=LIVE)
    _widen_guild_settings()
    _create_ledger()
    _create_limits()
    _create_audit_log_and_presets()
    for table in APPEND_ONLY:
        _forbid_changes(table)


def _widen_guild_settings() -> None:
    with op.batch_alter_table("guild_settings") as settings:
        settings.add_column(sa.Column("enabled", sa.Boolean(), nullable=False, server_default=sa.true()))
        settings.add_column(sa.Column("suspended", sa.Boolean(), nullable=False, server_default=sa.false()))
        settings.add_column(sa.Column("timezone", sa.String(64), nullable=False, server_default="UTC"))
        settings.add_column(sa.Column("language", sa.String(16), nullable=True))
        settings.add_column(sa.Column("result_channel_id", sa.BigInteger(), nullable=True))
        settings.add_column(sa.Column("allowed_channels", sa.JSON(), nullable=False, server_default="[]"))
        settings.add_column(sa.Column("exempt_roles", sa.JSON(), nullable=False, server_default="[]"))
        settings.add_column(sa.Column("rate_count", sa.Integer(), nullable=True))
        settings.add_column(sa.Column("rate_seconds", sa.Integer(), nullable=True))
        settings.add_column(sa.Column("concurrent_jobs", sa.Integer(), nullable=True))


def _create_ledger() -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.String(32), nullable=True),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("grant_id", sa.BigInteger(), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(512), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(f"kind IN ({KINDS})", name=op.f("ck_ledger_entries_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_entries")),
    )
    entries = "ledger_entries"
    op.create_index(
        "ix_ledger_entries_member", entries, ["user_id", "guild_id", "effective_at", "grant_id", "amount"]
    )
    op.create_index("ix_ledger_entries_user", entries, ["user_id", "effective_at", "kind", "amount"])
    op.create_index("ix_ledger_entries_guild", entries, ["guild_id", "effective_at", "kind", "amount"])
    op.create_index("ix_ledger_entries_channel", entries, ["channel_id", "effective_at", "kind", "amount"])
    op.create_index("ix_ledger_entries_grant_id", entries, ["grant_id", "amount"])
    op.create_index("ix_ledger_entries_job_id", entries, ["job_id"])
    for name, where in (("reserved", RESERVED), ("closed", CLOSED)):
        op.create_index(
            f"uq_ledger_entries_{name}",
            entries,
            ["job_id", "grant_id"],
            unique=True,
            sqlite_where=where,
            postgresql_where=where,
        )
    op.create_table(
        "grants",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
    )
    op.create_index("ix_grants_user_id_guild_id", "grants", ["user_id", "guild_id"])


def _create_limits() -> None:
    op.create_table(
        "rate_buckets",
        sa.Column("guild_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("full_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("guild_id", "user_id", name=op.f("pk_rate_buckets")),
    )
    op.create_table(
        "quotas",
        sa.Column("guild_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("window", sa.String(16), nullable=False),
        sa.CheckConstraint(f"scope IN ({SCOPES})", name=op.f("ck_quotas_scope")),
        sa.PrimaryKeyConstraint("guild_id", "scope", "subject_id", name=op.f("pk_quotas")),
    )
    op.create_table(
        "blocks",
        sa.Column("guild_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(512), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("guild_id", "user_id", name=op.f("pk_blocks")),
    )
    op.create_table(
        "refusals",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refusals")),
    )
    op.create_index("ix_refusals_guild_id_created_at", "refusals", ["guild_id", "created_at"])
    op.create_index("ix_refusals_created_at", "refusals", ["created_at"])


def _create_audit_log_and_presets() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.String(128), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_guild_id_id", "audit_log", ["guild_id", "id"])
    op.create_table(
        "presets",
        sa.Column("id", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("description", sa.String(100), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("negative", sa.Text(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_presets")),
        sa.UniqueConstraint("guild_id", "key", "version", name=op.f("uq_presets_guild_id")),
    )


def _forbid_changes(table: str) -> None:
    """A row that was written stays as it is, whoever has a connection."""
    if op.get_bind().dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
    )


def downgrade() -> None:
    for table in ("presets", "audit_log", "refusals", "blocks", "quotas", "rate_buckets", "grants"):
        op.drop_table(table)
    op.drop_table("ledger_entries")
    if op.get_bind().dialect.name == "postgresql":
        for table in APPEND_ONLY:
            op.execute(f"DROP FUNCTION {table}_append_only()")
    with op.batch_alter_table("guild_settings") as settings:
        for column in (
            "enabled",
            "suspended",
            "timezone",
            "language",
            "result_channel_id",
            "allowed_channels",
            "exempt_roles",
            "rate_count",
            "rate_seconds",
            "concurrent_jobs",
        ):
            settings.drop_column(column)
    op.drop_index("ix_jobs_live", "jobs")
    op.drop_index("ix_jobs_guild_id_created_at", "jobs")
    with op.batch_alter_table("jobs") as jobs:
        for column in ("cost", "preset", *TIMES):
            jobs.drop_column(column)
