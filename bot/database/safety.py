"""The tables of what servers allow to be shown, and of what was decided because of it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from bot.database.models import LEVELS, Base, UtcDateTime, one_of

RECORDED_KINDS = ("prompt", "picture")


class ServerSafetyRow(Base):
    """How much a server's admins allow to be shown, and which words; a server without a row: the defaults."""

    __tablename__ = "server_safety"
    __table_args__ = (one_of("level", LEVELS),)

    guild_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    level: Mapped[str] = mapped_column(String(16), default="default")
    channels: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    """Levels of channels by their ids, which are text in JSON."""
    block_list: Mapped[list[str]] = mapped_column(JSON, default=list)
    allow_list: Mapped[list[str]] = mapped_column(JSON, default=list)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SafetyDecisionRow(Base):
    """A prompt that was refused, or a decision on a picture, written before anything is sent.

    Triggers refuse every change, and its deletion before `kept_until`. Nothing in it is a word of a prompt,
    and the member is an HMAC: only who has the host's key can tell whose decisions these are.
    """

    __tablename__ = "safety_decisions"
    __table_args__ = (
        one_of("kind", RECORDED_KINDS),
        Index("ix_safety_decisions_job_id", "job_id"),
        Index("ix_safety_decisions_user_key", "user_key"),
        Index("ix_safety_decisions_kept_until", "kept_until"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    kept_until: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[str] = mapped_column(String(16))
    job_id: Mapped[str | None] = mapped_column(String(32))
    position: Mapped[int | None]
    """Which of the job's pictures; none for a prompt."""
    user_key: Mapped[str] = mapped_column(String(64))
    guild_id: Mapped[int] = mapped_column(BigInteger)
    channel_id: Mapped[int] = mapped_column(BigInteger)
    policy_version: Mapped[str] = mapped_column(Text)
    """Of the picture policy, or of the prompt rules."""
    level: Mapped[str] = mapped_column(String(16))
    decision: Mapped[str] = mapped_column(String(16))
    reasons: Mapped[list[str]] = mapped_column(JSON)
    model: Mapped[str] = mapped_column(Text)
    """The classifiers, by a hash of their weights."""
    scores: Mapped[dict[str, float | None]] = mapped_column(JSON)
    pdq: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
