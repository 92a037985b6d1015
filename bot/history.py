"""A member's own jobs, for `/jobs`: those that go on, and the latest that ended."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import select

from bot.balances import paid_for
from bot.database.failures import told_to_members
from bot.database.models import JobRow
from bot.database.session import Database
from bot.jobs import ENDED, JobState
from bot.safety.delivery import WITHHELD
from engine.protocol import GenerationRequest

log = logging.getLogger(__name__)

MOST_LIVE, MOST_ENDED = 10, 8
"""There is a Cancel button for each job that goes on; a message has room for 25."""


@dataclass(frozen=True, kw_only=True)
class PastJob:
    """One line of a member's list."""

    id: str
    state: JobState
    cost: int
    paid: int
    """What it took so far, after all that came back."""
    prompt: str
    steps: int
    created_at: datetime
    guild_id: int | None
    channel_id: int | None
    message_id: int | None
    is_withheld: bool
    """Whether none of its pictures might be shown."""
    can_be_fetched: bool
    """Whether its pictures are there and Discord did not take them where they were asked for."""

    @property
    def can_be_cancelled(self) -> bool:
        """Whether it is not drawn yet."""
        return self.state in ("queued", "running")

    @property
    def link(self) -> str | None:
        """Where Discord shows its message."""
        if self.channel_id is None or self.message_id is None:
            return None
        return f"https://discord.com/channels/{self.guild_id or '@me'}/{self.channel_id}/{self.message_id}"


@dataclass(frozen=True, kw_only=True)
class History:
    """A member's jobs, the newest first."""

    live: list[PastJob]
    ended: list[PastJob]
    unreadable: int = 0
    """How many there are beside these that cannot be read."""


class JobHistory:
    """Reads what members asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, user_id: int) -> History:
        """One member's jobs, wherever they were asked for.

        Raises:
            RecordsUnavailable: the database failed.
        """
        mine = select(JobRow).where(JobRow.user_id == user_id).order_by(JobRow.created_at.desc())
        with told_to_members():
            async with self._database.session() as session:
                live = list(await session.scalars(mine.where(JobRow.state.not_in(ENDED)).limit(MOST_LIVE)))
                ended = list(await session.scalars(mine.where(JobRow.state.in_(ENDED)).limit(MOST_ENDED)))
                paid = await paid_for(session, [row.id for row in (*live, *ended)])
        told = {row.id: _to_past(row, paid.get(row.id, 0)) for row in (*live, *ended)}
        return History(
            live=[job for row in live if (job := told[row.id]) is not None],
            ended=[job for row in ended if (job := told[row.id]) is not None],
            unreadable=list(told.values()).count(None),
        )


def _to_past(row: JobRow, paid: int) -> PastJob | None:
    try:
        request = msgspec.msgpack.decode(row.request, type=GenerationRequest)
    except ValueError:
        # Not what is wrong with it: that would quote it.
        log.error("job %s cannot be read", row.id)
        return None
    return PastJob(
        id=row.id,
        # The check constraint on the column holds it to the states.
        state=row.state,  # pyright: ignore[reportArgumentType]
        cost=row.cost,
        paid=paid,
        prompt=request.prompt,
        steps=request.num_inference_steps,
        created_at=row.created_at,
        guild_id=row.guild_id,
        channel_id=row.channel_id,
        message_id=row.message_id,
        is_withheld=row.error_code == WITHHELD,
        can_be_fetched=row.state == "succeeded" and row.undelivered_at is not None,
    )
