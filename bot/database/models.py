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
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

JOB_STATES = ("queued", "running", "succeeded", "refused", "failed", "cancelled", "delivered")


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
        CheckConstraint("state IN ('" + "', '".join(JOB_STATES) + "')", name="state"),
        Index("ix_jobs_state_created_at", "state", "created_at"),
        Index("ix_jobs_user_id_created_at", "user_id", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    request: Mapped[bytes] = mapped_column(LargeBinary)
    """The GenerationRequest as msgpack."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    error_code: Mapped[str | None] = mapped_column(String(64))
    seconds: Mapped[float | None]
    model: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Name, hash and view scale of the model that drew it."""

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
    """Relative to the pictures folder."""

    job: Mapped[JobRow] = relationship(back_populates="images")


class GuildSettingsRow(Base):
    """What a server's admins chose; a server without a row has the defaults."""

    __tablename__ = "guild_settings"

    guild_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    default_preset: Mapped[str | None] = mapped_column(String(64))
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
