"""Jobs: what was accepted, the states that it goes through, and its row."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from bot.database.models import JobRow
from bot.errors import TrinArtError
from bot.limits import Left
from bot.quotas import Asker
from bot.safety.levels import Level
from engine.protocol import GenerationRequest, ModelCard, Verdict

JobState = Literal["queued", "running", "succeeded", "refused", "failed", "cancelled", "delivered"]

BEFORE: dict[JobState, tuple[JobState, ...]] = {
    "running": ("queued",),
    "succeeded": ("queued", "running"),
    "failed": ("queued", "running", "succeeded"),
    "cancelled": ("queued", "running"),
    "delivered": ("succeeded",),
    # Its pictures were lost between the drawing and the delivery: they are drawn again.
    "queued": ("succeeded", "running"),
    "refused": ("queued", "running", "succeeded"),
}
"""All transitions: the states from which a state can be entered."""

ENDED: tuple[JobState, ...] = ("refused", "failed", "cancelled", "delivered")
"""States that no job leaves; in entering one its account is closed: settled if delivered or cancelled,
else refunded."""

UNENDED: tuple[JobState, ...] = ("queued", "running", "succeeded")

TIMES: dict[JobState, str] = {
    "running": "started_at",
    "delivered": "delivered_at",
    "refused": "finished_at",
    "failed": "finished_at",
    "cancelled": "finished_at",
}
"""The columns that say when."""

DEFAULT_ATTACHMENT_LIMIT = 10 * 1024 * 1024
"""Bytes per upload where Discord did not say."""


def utc_now() -> datetime:
    """The clock, where no test passes another."""
    return datetime.now(UTC)


class DuplicateInteraction(TrinArtError):
    """Discord delivered an interaction a second time; the first delivery has its job."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Who asked, and where the answer goes. All ids are None for a job from the command line."""

    interaction_id: int | None = None
    interaction_token: str | None = field(default=None, repr=False)
    application_id: int | None = None
    guild_id: int | None = None
    channel_id: int | None = None
    user_id: int | None = None
    message_id: int | None = None
    locale: str = "en-US"
    attachment_size_limit: int = DEFAULT_ATTACHMENT_LIMIT
    limits_channel_id: int | None = None
    """The channel whose limits count: a thread's parent. Not kept with the job, like the next."""
    role_ids: frozenset[int] = frozenset()

    @property
    def asker(self) -> Asker | None:
        """Who meets which limits; None at the command line, which has none."""
        if self.user_id is None:
            return None
        return Asker(
            user_id=self.user_id,
            guild_id=self.guild_id or 0,
            channel_id=self.limits_channel_id or self.channel_id or 0,
            role_ids=self.role_ids,
        )


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """A picture on disk, or what stays of one that was withheld."""

    seed: int
    width: int
    height: int
    sha256: str
    file_name: str
    verdict: Verdict | None = None
    is_withheld: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """A request that was accepted, as it is in the database."""

    id: str
    request: GenerationRequest
    origin: Origin
    state: JobState
    cost: int
    """In thousandths of a picture."""
    created_at: datetime
    delivery_begun_at: datetime | None = None
    delivery_channel_id: int | None = None
    """Where its delivery was begun, if not where it was asked for."""
    undelivered_at: datetime | None = None
    images: tuple[StoredImage, ...] = ()
    seconds: float = 0.0
    card: ModelCard | None = None
    level: Level = "strict"
    """How much might be shown where it was asked for. What nobody screened is held to the strictest."""
    is_strict: bool = True
    """Whether its prompt holds its pictures to the strictest threshold everywhere."""
    prompt_reasons: tuple[str, ...] = ()
    left: Left | None = None
    """What the member may still draw after it, as it was when it was accepted. Not kept."""


def to_row(job: Job) -> dict[str, Any]:
    """The columns of a job that was just accepted."""
    origin = job.origin
    return {
        "id": job.id,
        "state": job.state,
        "request": msgspec.msgpack.encode(job.request),
        "cost": job.cost,
        "preset": job.request.labels.get("Preset", ""),
        "created_at": job.created_at,
        "level": job.level,
        "prompt_decision": "strict" if job.is_strict else "allow",
        "prompt_reasons": list(job.prompt_reasons),
        "interaction_id": origin.interaction_id,
        "interaction_token": origin.interaction_token,
        "application_id": origin.application_id,
        "guild_id": origin.guild_id,
        "channel_id": origin.channel_id,
        "user_id": origin.user_id,
        "message_id": origin.message_id,
        "locale": origin.locale,
        "attachment_size_limit": origin.attachment_size_limit,
    }


def to_job(row: JobRow) -> Job:
    """A row with its images as the rest of the bot knows it.

    Raises:
        ValueError: another version of the bot wrote it, or something else changed it.
    """
    return Job(
        id=row.id,
        request=msgspec.msgpack.decode(row.request, type=GenerationRequest),
        origin=Origin(
            interaction_id=row.interaction_id,
            interaction_token=row.interaction_token,
            application_id=row.application_id,
            guild_id=row.guild_id,
            channel_id=row.channel_id,
            user_id=row.user_id,
            message_id=row.message_id,
            locale=row.locale,
            attachment_size_limit=row.attachment_size_limit,
        ),
        # The check constraint on the column holds it to the states.
        state=row.state,  # pyright: ignore[reportArgumentType]
        cost=row.cost,
        created_at=row.created_at,
        delivery_begun_at=row.delivery_begun_at,
        delivery_channel_id=row.delivery_channel_id,
        undelivered_at=row.undelivered_at,
        images=tuple(
            StoredImage(
                seed=image.seed,
                width=image.width,
                height=image.height,
                sha256=image.sha256,
                file_name=image.file_name,
                verdict=msgspec.convert(image.verdict, Verdict) if image.verdict is not None else None,
                is_withheld=image.is_withheld,
            )
            for image in row.images
        ),
        seconds=row.seconds or 0.0,
        card=msgspec.convert(row.model, ModelCard) if row.model is not None else None,
        # The same holds for the levels.
        level=row.level,  # pyright: ignore[reportArgumentType]
        is_strict=row.prompt_decision != "allow",
        prompt_reasons=msgspec.convert(row.prompt_reasons, tuple[str, ...]),
    )
