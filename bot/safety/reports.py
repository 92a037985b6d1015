"""Reports: members say that a picture should not be there; enough of them hide it until a moderator looks.

The message is edited by the cog. What was in it is kept here meanwhile, a day at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.audit import Desk
from bot.database.failures import told_to_members
from bot.database.models import GuildSettingsRow, JobRow
from bot.database.people import ReportedPictureRow, ReportRow
from bot.database.session import Database, at_once
from bot.jobs import utc_now
from bot.ledger import lock_ledger
from bot.safety.errors import (
    NothingToReport,
    TooManyReports,
)
from bot.safety.kept_files import KeptFiles, ShownFile

REPORTS_TO_HIDE = 3
"""Where a server's admins chose no other number."""
MOST_REPORTS = 20
REPORTS_WINDOW = timedelta(hours=24)
KEPT_FOR = timedelta(days=1)
"""How long a hidden picture waits for a moderator; then it is deleted and stays hidden."""


@dataclass(frozen=True, kw_only=True)
class PictureMessage:
    """The message that is reported."""

    message_id: int
    guild_id: int
    channel_id: int
    job_id: str


@dataclass(frozen=True, kw_only=True)
class Reported:
    """What a report came to."""

    count: int
    is_hidden: bool
    """Whether the picture is to be hidden, by this report or an earlier one."""
    is_posted: bool
    """Whether the moderators have been told."""
    author_id: int
    """Who asked for the picture; 0 if that is no longer known."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a message showed."""

    content: str
    embeds: tuple[dict[str, Any], ...]
    files: tuple[ShownFile, ...]
    is_age_restricted: bool
    """The channel, as it was then."""


class Reports:
    """Reported pictures of all servers."""

    def __init__(self, database: Database, files: KeptFiles, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._files = files
        self._desk = Desk(database, clock)
        self._clock = clock

    async def report(self, message: PictureMessage, reporter_id: int, *, is_moderator: bool) -> Reported:
        """Count one person's report, once; a moderator's is enough to hide the picture.

        Raises:
            NothingToReport | TooManyReports: it does not count.
            RecordsUnavailable: it could not be recorded.
        """
        now = self._clock()

        async def write(session: AsyncSession) -> Reported:
            await at_once(session, lock_ledger)  # two at once must not both be the last that was needed
            picture = await session.get(ReportedPictureRow, message.message_id)
            picture = picture or await _begin(session, message, now)
            if picture.state in ("restored", "removed"):
                raise NothingToReport
            await _add_report(session, picture, reporter_id, now)
            count = await session.scalar(
                select(func.count()).select_from(ReportRow).where(ReportRow.message_id == message.message_id)
            )
            needed = await _reports_needed(session, message.guild_id)
            if picture.state == "reported" and (is_moderator or (count or 0) >= needed):
                picture.state, picture.hidden_at = "hidden", now
            return Reported(
                count=count or 0,
                is_hidden=picture.state == "hidden",
                is_posted=picture.queue_message_id is not None,
                author_id=picture.author_id,
            )

        with told_to_members():
            return await self._database.write(write)

    async def keep(self, message_id: int, shown: Shown) -> None:
        """Keep what the message shows, before it is taken away.

        Raises:
            RecordsUnavailable: it could not be kept.
        """
        with told_to_members():
            notes = await self._files.save(message_id, shown.files)

            async def write(session: AsyncSession) -> None:
                picture = await session.get_one(ReportedPictureRow, message_id)
                if not picture.files:  # another report was quicker, and Discord may have nothing any more
                    picture.content, picture.embeds, picture.files = shown.content, [*shown.embeds], notes
                    picture.age_restricted = shown.is_age_restricted

            await self._database.write(write)

    async def posted(self, message_id: int, queue_message_id: int) -> None:
        """The moderators can see it now."""

        async def write(session: AsyncSession) -> None:
            picture = await session.get(ReportedPictureRow, message_id)
            if picture is not None:
                picture.queue_message_id = queue_message_id

        with told_to_members():
            await self._database.write(write)

    async def forget_files(self, message_id: int) -> None:
        """Delete what was kept of a message: it is shown again."""
        await self._forget(ReportedPictureRow.message_id == message_id)

    async def expire(self) -> None:
        """Delete pictures that no moderator looked at in their day. They stay hidden."""
        before = self._clock() - KEPT_FOR
        await self._forget(ReportedPictureRow.hidden_at < before)
        await self._files.delete_older(before)

    async def _forget(self, which: Any) -> None:
        notes: list[Any] = []

        async def write(session: AsyncSession) -> None:
            for picture in await session.scalars(select(ReportedPictureRow).where(which)):
                notes.extend(picture.files)
                picture.files, picture.embeds, picture.content = [], [], ""

        await self._database.write(write)
        await self._files.delete(notes)


async def _begin(session: AsyncSession, message: PictureMessage, now: datetime) -> ReportedPictureRow:
    job = await session.get(JobRow, message.job_id)
    picture = ReportedPictureRow(
        message_id=message.message_id,
        state="reported",
        guild_id=message.guild_id,
        channel_id=message.channel_id,
        job_id=message.job_id,
        author_id=(job.user_id or 0) if job is not None else 0,
        content="",
        embeds=[],
        files=[],
        created_at=now,
        actor_id=0,
    )
    session.add(picture)
    await session.flush()
    return picture


async def _add_report(
    session: AsyncSession, picture: ReportedPictureRow, reporter_id: int, now: datetime
) -> None:
    if await session.get(ReportRow, (picture.message_id, reporter_id)) is not None:
        return
    recent = await session.scalar(
        select(func.count())
        .select_from(ReportRow)
        .where(ReportRow.reporter_id == reporter_id, ReportRow.created_at > now - REPORTS_WINDOW)
    )
    if (recent or 0) >= MOST_REPORTS:
        raise TooManyReports(limit=MOST_REPORTS)
    session.add(ReportRow(message_id=picture.message_id, reporter_id=reporter_id, created_at=now))
    await session.flush()


async def _reports_needed(session: AsyncSession, guild_id: int) -> int:
    settings = await session.get(GuildSettingsRow, guild_id)
    chosen = settings.reports_to_hide if settings is not None else None
    return chosen or REPORTS_TO_HIDE
