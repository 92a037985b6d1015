"""The tables. Alembic's migrations build them; a test holds the two together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

JOB_STATES = ("queued", "running", "succeeded", "refused", "failed", "cancelled", "delivered")
ENTRY_KINDS = ("reserve", "settle", "refund", "grant", "expire", "reset")
QUOTA_SCOPES = ("default", "member", "role", "channel", "server")
LEVELS = ("strict", "default", "age-restricted")
PROMPT_DECISIONS = ("allow", "strict")

BigKey = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the type is exactly INTEGER."""


def one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    """A constraint: a column of text has one of these values."""
    return CheckConstraint(f"{column} IN ('" + "', '".join(values) + "')", name=column)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC timestamps in and out, also on SQLite, which keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("timestamps must be aware")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Base(AsyncAttrs, DeclarativeBase):
    """Constraint names follow a convention, so that migrations can name them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class JobRow(Base):
    """One accepted job: the request, where its answer goes, and how it ended."""

    __tablename__ = "jobs"
    __table_args__ = (
        one_of("state", JOB_STATES),
        one_of("level", LEVELS),
        one_of("prompt_decision", PROMPT_DECISIONS),
        Index("ix_jobs_state_created_at", "state", "created_at"),
        Index("ix_jobs_guild_id_created_at", "guild_id", "created_at"),
        Index(
            "ix_jobs_live",
            "user_id",
            "guild_id",
            sqlite_where=text("state IN ('queued', 'running')"),
            postgresql_where=text("state IN ('queued', 'running')"),
        ),
        Index("ix_jobs_user_id_created_at", "user_id", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    request: Mapped[bytes] = mapped_column(LargeBinary)
    """The GenerationRequest as msgpack."""
    cost: Mapped[int] = mapped_column(BigInteger)
    """In thousandths of a 512x512 picture of 30 steps."""
    preset: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    delivery_begun_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the first attempt to deliver began: from then on the pictures may be with the member."""
    delivery_channel_id: Mapped[int | None] = mapped_column(BigInteger)
    """The result channel that attempt was for; None where the answer goes to where it was asked for."""
    undelivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When Discord first took the pictures nowhere; they are kept for a day from then."""
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    error_code: Mapped[str | None] = mapped_column(String(64))
    seconds: Mapped[float | None]
    model: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Name, hash and view scale of the model that drew it."""
    level: Mapped[str] = mapped_column(String(16), default="strict")
    """How much might be shown where it was asked for, then. What nobody screened is held to the strictest."""
    prompt_decision: Mapped[str] = mapped_column(String(16), default="strict")
    """`strict`: its pictures are held to the strictest threshold wherever they are shown."""
    prompt_reasons: Mapped[list[str]] = mapped_column(JSON, default=list)

    interaction_id: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    interaction_token: Mapped[str | None] = mapped_column(Text)
    """A secret that lets its holder answer for 15 minutes; erased when the job is done."""
    application_id: Mapped[int | None] = mapped_column(BigInteger)
    guild_id: Mapped[int | None] = mapped_column(BigInteger)
    channel_id: Mapped[int | None] = mapped_column(BigInteger)
    user_id: Mapped[int | None] = mapped_column(BigInteger)
    message_id: Mapped[int | None] = mapped_column(BigInteger)
    locale: Mapped[str] = mapped_column(String(16))
    attachment_size_limit: Mapped[int]

    images: Mapped[list[ImageRow]] = relationship(
        back_populates="job", order_by="ImageRow.position", cascade="all, delete-orphan"
    )


class ImageRow(Base):
    """One picture of a job and the file it waits in until Discord has it."""

    __tablename__ = "images"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    file_name: Mapped[str] = mapped_column(String(128))
    """Relative to the pictures folder; empty for a picture that was withheld before it was written."""
    verdict: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """What the image check found. A picture without is shown to nobody."""
    is_withheld: Mapped[bool] = mapped_column(default=False)
    """Decided for good: the file is gone, this row stays."""

    job: Mapped[JobRow] = relationship(back_populates="images")


class LedgerEntryRow(Base):
    """One change of what somebody may still draw. Rows are only ever added: triggers see to it.

    `amount` is in thousandths of a picture: negative where allowance is taken, positive where it comes back.
    `effective_at` says in which window it counts: the entries of a job count when the job was reserved. What
    a grant gives, pays or loses has its id in `grant_id`; the rest has 0 and counts for the member's quota.
    Ids of Discord are 0 where there is none: `guild_id` in direct messages.
    """

    __tablename__ = "ledger_entries"
    __table_args__ = (
        one_of("kind", ENTRY_KINDS),
        Index("ix_ledger_entries_member", "user_id", "guild_id", "effective_at", "grant_id", "amount"),
        Index("ix_ledger_entries_user", "user_id", "effective_at", "kind", "amount"),
        Index("ix_ledger_entries_guild", "guild_id", "effective_at", "kind", "amount"),
        Index("ix_ledger_entries_channel", "channel_id", "guild_id", "effective_at", "kind", "amount"),
        Index("ix_ledger_entries_grant_id", "grant_id", "amount"),
        Index("ix_ledger_entries_job_id", "job_id"),
        # A job is reserved once and closed once, whatever happens in between.
        Index(
            "uq_ledger_entries_reserved",
            "job_id",
            "grant_id",
            unique=True,
            sqlite_where=text("kind = 'reserve'"),
            postgresql_where=text("kind = 'reserve'"),
        ),
        Index(
            "uq_ledger_entries_closed",
            "job_id",
            "grant_id",
            unique=True,
            sqlite_where=text("kind IN ('settle', 'refund')"),
            postgresql_where=text("kind IN ('settle', 'refund')"),
        ),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(16))
    amount: Mapped[int] = mapped_column(BigInteger)
    job_id: Mapped[str | None] = mapped_column(String(32))
    guild_id: Mapped[int] = mapped_column(BigInteger)
    channel_id: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(BigInteger)
    grant_id: Mapped[int] = mapped_column(BigInteger)
    actor_id: Mapped[int] = mapped_column(BigInteger)
    """Who caused it; 0 for the bot itself."""
    reason: Mapped[str] = mapped_column(String(512))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    effective_at: Mapped[datetime] = mapped_column(UtcDateTime)


class GrantRow(Base):
    """Pictures that an admin gave a member beside the quota. How much is left of it is in the ledger."""

    __tablename__ = "grants"
    __table_args__ = (Index("ix_grants_user_id_guild_id", "user_id", "guild_id"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=True)
    guild_id: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RateBucketRow(Base):
    """A member's token bucket in one server, or with guild 0 the host's own over all servers."""

    __tablename__ = "rate_buckets"

    guild_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    full_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When the bucket will be full again."""


class GuildSettingsRow(Base):
    """What a server's admins chose; a server without a row has the defaults."""

    __tablename__ = "guild_settings"

    guild_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    default_preset: Mapped[str | None] = mapped_column(String(64))
    enabled: Mapped[bool] = mapped_column(default=True)
    suspended: Mapped[bool] = mapped_column(default=False)
    """Switched off by the host."""
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    language: Mapped[str | None] = mapped_column(String(16))
    """None: each member's own."""
    result_channel_id: Mapped[int | None] = mapped_column(BigInteger)
    allowed_channels: Mapped[list[int]] = mapped_column(JSON, default=list)
    """Empty: all."""
    exempt_roles: Mapped[list[int]] = mapped_column(JSON, default=list)
    rate_count: Mapped[int | None]
    rate_seconds: Mapped[int | None]
    concurrent_jobs: Mapped[int | None]
    moderation_channel_id: Mapped[int | None] = mapped_column(BigInteger)
    """Where appeals and reports are posted; None: nowhere."""
    reports_to_hide: Mapped[int | None]
    """None: the bot's own number."""
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class QuotaRow(Base):
    """How much a member, a role, a channel or a server may draw in a window."""

    __tablename__ = "quotas"
    __table_args__ = (one_of("scope", QUOTA_SCOPES),)

    guild_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    scope: Mapped[str] = mapped_column(String(16), primary_key=True)
    subject_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """A member, role or channel; 0 for the server and for the default of its members."""
    amount: Mapped[int | None] = mapped_column(BigInteger)
    """In thousandths of a picture; None is unlimited."""
    window: Mapped[str] = mapped_column(String(16))


class BlockRow(Base):
    """A member who may not draw in a server, or with guild 0 nowhere."""

    __tablename__ = "blocks"

    guild_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """None: until it is lifted."""
    reason: Mapped[str] = mapped_column(String(512))
    actor_id: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RefusalRow(Base):
    """A request that a limit refused: who runs into what, for the admins."""

    __tablename__ = "refusals"
    __table_args__ = (
        Index("ix_refusals_guild_id_created_at", "guild_id", "created_at"),
        Index("ix_refusals_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    guild_id: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(BigInteger)
    code: Mapped[str] = mapped_column(String(64))


class AuditRow(Base):
    """Who changed what in a server, with the values before and after. Rows are only ever added."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_guild_id_id", "guild_id", "id"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    guild_id: Mapped[int] = mapped_column(BigInteger)
    actor_id: Mapped[int] = mapped_column(BigInteger)
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(128))
    before: Mapped[Any | None] = mapped_column(JSON)
    after: Mapped[Any | None] = mapped_column(JSON)


class PresetRow(Base):
    """One version of a server's own preset. A change adds one, so that old pictures can be made again."""

    __tablename__ = "presets"
    __table_args__ = (UniqueConstraint("guild_id", "key", "version"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=True)
    guild_id: Mapped[int] = mapped_column(BigInteger)
    key: Mapped[str] = mapped_column(String(64))
    """The name, case-folded."""
    version: Mapped[int]
    name: Mapped[str] = mapped_column(String(64))
    description: Mapped[str] = mapped_column(String(100))
    prompt: Mapped[str] = mapped_column(Text)
    negative: Mapped[str] = mapped_column(Text)
    deleted: Mapped[bool]
    """Whether this version says that the preset is gone."""
    actor_id: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
