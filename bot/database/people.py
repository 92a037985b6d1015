"""The tables of what people decide about what others drew: accepted terms, appeals, reports, strikes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from bot.database.models import Base, BigKey, UtcDateTime, one_of

APPEAL_STATES = ("possible", "open", "upheld", "overturned", "blocked")
DECISION_KINDS = ("prompt", "picture", "report")
PICTURE_STATES = ("reported", "hidden", "restored", "removed")


class UseTermsAcceptanceRow(Base):
    """A member has accepted one version of the terms of use."""

    __tablename__ = "use_terms_acceptances"

    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    version: Mapped[str] = mapped_column(String(16), primary_key=True)
    accepted_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AppealRow(Base):
    """A decision against a member, and what became of the one appeal that it allows."""

    __tablename__ = "appeals"
    __table_args__ = (
        one_of("state", APPEAL_STATES),
        one_of("kind", DECISION_KINDS),
        Index("ix_appeals_user_id_created_at", "user_id", "created_at"),
        Index("ix_appeals_created_at", "created_at"),
    )

    decision_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    """`possible` until the member appeals."""
    kind: Mapped[str] = mapped_column(String(16))
    guild_id: Mapped[int] = mapped_column(BigInteger)
    """0 in direct messages, where nobody takes appeals."""
    channel_id: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(BigInteger)
    reasons: Mapped[list[str]] = mapped_column(JSON)
    """Codes, never words of the prompt."""
    prompt: Mapped[str] = mapped_column(Text)
    """For the moderators' eyes."""
    prompt_hash: Mapped[str] = mapped_column(String(64))
    """Of all texts of the request: what an overturned refusal allows."""
    locale: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    opened_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    told_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the member read what was decided; until then `/appeals` has it."""
    actor_id: Mapped[int] = mapped_column(BigInteger)
    """Who decided; 0 before."""
    queue_message_id: Mapped[int | None] = mapped_column(BigInteger)
    """In the moderators' channel; None where it could not be posted yet."""


class StrikeRow(Base):
    """Something that counts against a member, in one server or with guild 0 everywhere."""

    __tablename__ = "strikes"
    __table_args__ = (
        Index("ix_strikes_user_id_created_at", "user_id", "created_at"),
        Index("ix_strikes_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=True)
    guild_id: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(BigInteger)
    weight: Mapped[int]
    reason: Mapped[str] = mapped_column(String(64))
    decision_id: Mapped[str] = mapped_column(String(32), unique=True)
    """A decision counts once, and no longer once it is overturned."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ReportedPictureRow(Base):
    """A message with pictures that somebody reported, and what is needed to show it again."""

    __tablename__ = "reported_pictures"
    __table_args__ = (
        one_of("state", PICTURE_STATES),
        Index("ix_reported_pictures_author_id", "author_id"),
        Index("ix_reported_pictures_created_at", "created_at"),
    )

    message_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(16))
    guild_id: Mapped[int] = mapped_column(BigInteger)
    channel_id: Mapped[int] = mapped_column(BigInteger)
    job_id: Mapped[str] = mapped_column(String(32))
    author_id: Mapped[int] = mapped_column(BigInteger)
    """Who asked for them; 0 if that is no longer known."""
    content: Mapped[str] = mapped_column(Text)
    embeds: Mapped[list[Any]] = mapped_column(JSON)
    files: Mapped[list[Any]] = mapped_column(JSON)
    """Names in Discord and on disk, with descriptions; empty when they were deleted."""
    age_restricted: Mapped[bool] = mapped_column(default=False)
    """Whether they were shown in an age-restricted channel: they come back to such a one only."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    hidden_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    actor_id: Mapped[int] = mapped_column(BigInteger)
    """The moderator who decided; 0 before."""
    queue_message_id: Mapped[int | None] = mapped_column(BigInteger)


class ReportRow(Base):
    """One person's report of one message."""

    __tablename__ = "reports"
    __table_args__ = (Index("ix_reports_reporter_id_created_at", "reporter_id", "created_at"),)

    message_id: Mapped[int] = mapped_column(
        ForeignKey("reported_pictures.message_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    reporter_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
