"""What moderators see of reported pictures, and what they say: show again, or remove for good.

A picture that is shown again goes through the same door as a new one: `ReleaseDesk` decides about it, for the
place as it is now. So does one that the moderators' channel is to show.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from bot.audit import Admin, Change, Desk
from bot.database.failures import told_to_members
from bot.database.models import JobRow
from bot.database.people import ReportedPictureRow
from bot.database.session import Database
from bot.jobs import utc_now
from bot.safety.delivery import ReleaseDesk
from bot.safety.errors import (
    AlreadyDecided,
    DecisionForgotten,
    NotAgeRestricted,
    NotAModerator,
    NotShownThereNow,
    PictureGone,
)
from bot.safety.kept_files import KeptFiles
from bot.safety.noted import Noted, note_decision
from bot.safety.places import Place
from bot.safety.release import ReleasedFile
from bot.safety.reports import PictureMessage, Shown
from engine.protocol import GenerationRequest

PictureRuling = Literal["restore", "remove"]


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A picture that may be shown again."""

    change: Change
    message: PictureMessage
    content: str
    embeds: tuple[dict[str, Any], ...]
    files: tuple[ReleasedFile, ...]


@dataclass(frozen=True, kw_only=True)
class Removed:
    """A picture that stays away, and the decision against who asked for it, if that is known."""

    change: Change
    message: PictureMessage
    decision: Noted | None


class PictureRulings:
    """Hidden pictures of all servers, as their moderators deal with them."""

    def __init__(
        self,
        database: Database,
        files: KeptFiles,
        releases: ReleaseDesk,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._files = files
        self._releases = releases
        self._desk = Desk(database, clock)

    async def look(
        self, message: PictureMessage, shown: Shown, place: Place
    ) -> tuple[ReleasedFile, ...] | None:
        """The pictures of a message as moderators may see them in their channel; None if they may not there.

        Raises:
            RecordsUnavailable: what was decided could not be recorded, so nothing may be shown.
        """
        if shown.is_age_restricted and not place.is_age_restricted:
            return None  # what the image check misses is likelier there
        with told_to_members():
            return await self._releases.look_again(message.job_id, shown.files, place)

    async def channel_of(self, message_id: int) -> int:
        """Where a reported picture is.

        Raises:
            DecisionForgotten: it is no longer known.
            RecordsUnavailable: the database failed.
        """
        with told_to_members():
            async with self._database.session() as session:
                picture = await session.get(ReportedPictureRow, message_id)
        if picture is None:
            raise DecisionForgotten
        return picture.channel_id

    async def restore(self, admin: Admin, message_id: int, place: Place) -> Restored:
        """A moderator finds nothing wrong. The files stay until `Reports.forget_files`: Discord may not take
        them. `place` is the picture's channel as it is now.

        Raises:
            NotAModerator | DecisionForgotten | AlreadyDecided | PictureGone | NotAgeRestricted |
                NotShownThereNow: nothing was changed.
            RecordsUnavailable: it could not be recorded; nothing was changed.
        """
        self._check(admin)
        found: list[ReportedPictureRow] = []

        async def look(session: AsyncSession) -> None:
            found.append(await _hidden(session, admin, message_id, "restored"))

        await self._desk.read(admin, look)
        files = await self._files.load(found[0].files)
        if not files:
            raise PictureGone
        if found[0].age_restricted and not place.is_age_restricted:
            raise NotAgeRestricted
        with told_to_members():
            released = await self._releases.look_again(found[0].job_id, files, place)
        if released is None:
            raise NotShownThereNow(channel=f"<#{place.channel_id}>")

        async def work(session: AsyncSession, now: datetime) -> Change:
            picture = await _hidden(session, admin, message_id, "restored")
            before = picture.state
            picture.state, picture.decided_at, picture.actor_id = "restored", now, admin.actor_id
            return _change("report.restore", picture, before)

        change = await self._desk.change(admin, work)
        row = found[0]
        return Restored(
            change=change,
            message=_message(row),
            content=row.content,
            embeds=tuple(row.embeds),
            files=released,
        )

    async def remove(self, admin: Admin, message_id: int) -> Removed:
        """A moderator agrees: the picture is deleted, and it counts against who asked for it.

        Raises:
            NotAModerator | DecisionForgotten | AlreadyDecided: nothing was changed.
        """
        self._check(admin)
        found: list[tuple[PictureMessage, Noted | None, list[Any]]] = []

        async def work(session: AsyncSession, now: datetime) -> Change:
            picture = await _hidden(session, admin, message_id, "removed")
            before, notes = picture.state, picture.files
            decision = await _decide_against(session, picture, now) if before == "hidden" else None
            picture.state, picture.decided_at, picture.actor_id = "removed", now, admin.actor_id
            picture.files, picture.embeds, picture.content = [], [], ""
            found.append((_message(picture), decision, notes))
            return _change("report.remove", picture, before)

        change = await self._desk.change(admin, work)
        message, decision, notes = found[0]
        await self._files.delete(notes)
        return Removed(change=change, message=message, decision=decision)

    def _check(self, admin: Admin) -> None:
        if not admin.may_manage:
            raise NotAModerator


async def _hidden(session: AsyncSession, admin: Admin, message_id: int, again: str) -> ReportedPictureRow:
    """The row, if it waits for a decision or has the very one: Discord may not have taken that one."""
    picture = await session.get(ReportedPictureRow, message_id)
    if picture is None or picture.guild_id != admin.guild_id:
        raise DecisionForgotten
    if picture.state not in ("hidden", again):
        raise AlreadyDecided
    return picture


async def _decide_against(session: AsyncSession, picture: ReportedPictureRow, now: datetime) -> Noted | None:
    """What counts against who asked for the picture, and can be appealed."""
    if not picture.author_id:
        return None
    job = await session.get(JobRow, picture.job_id)
    decision = Noted(
        decision_id=uuid.uuid4().hex,
        kind="report",
        guild_id=picture.guild_id,
        channel_id=picture.channel_id,
        user_id=picture.author_id,
        reasons=("report",),
        prompt=msgspec.msgpack.decode(job.request, type=GenerationRequest).prompt if job is not None else "",
        locale=job.locale if job is not None else "en-US",
    )
    await note_decision(session, decision, now)
    return decision


def _change(action: str, picture: ReportedPictureRow, before: str) -> Change:
    message = {"message": str(picture.message_id)}
    return Change(
        action=action,
        target=f"member:{picture.author_id}" if picture.author_id else "",
        before=message | {"picture": before},
        after=message | {"picture": picture.state},
    )


def _message(row: ReportedPictureRow) -> PictureMessage:
    return PictureMessage(
        message_id=row.message_id, guild_id=row.guild_id, channel_id=row.channel_id, job_id=row.job_id
    )
