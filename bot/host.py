"""What the host of the bot does over all servers; each of it is in the audit log too.

A server's own log shows what was done to it; what concerns all is kept under server 0.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.admin_rules import settings_row
from bot.audit import Admin, Change, Desk
from bot.database.models import GuildSettingsRow, ImageRow, JobRow
from bot.usage import DRAWN

DAYS_COUNTED = 30
LIVE = ("queued", "running", "succeeded")


@dataclass(frozen=True, kw_only=True)
class ServerCounts:
    """What the records say about the servers."""

    pictures: Mapping[int, int]
    """Of the last 30 days, by server."""
    suspended: Collection[int]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and how a server is spoken to; None where its admins chose nothing."""

    channel_id: int | None = None
    language: str | None = None


class HostChanges:
    """What only the host may do; `Admin.may_manage` says here whether it is the host."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def suspend(self, host: Admin, *, suspended: bool) -> Change:
        """Switch the bot off in one server, or on again; its admins cannot change that."""

        async def work(session: AsyncSession, now: datetime) -> Change:
            row = await settings_row(session, host.guild_id, now)
            before, row.suspended = row.suspended, suspended
            row.updated_at = now
            action = "host.suspend" if suspended else "host.resume"
            return Change(
                action=action, target="server", before={"suspended": before}, after={"suspended": suspended}
            )

        return await self._desk.change(host, work)

    async def note(self, host: Admin, action: str, *, before: object = None, after: object) -> Change:
        """Write down what the host did outside the database."""

        async def work(_session: AsyncSession, _now: datetime) -> Change:
            return Change(action=action, before=before, after=after)

        return await self._desk.change(host, work)

    async def places(self, host: Admin) -> dict[int, Place]:
        """Where servers want to read what concerns everybody, and in which language; those that chose."""

        async def look(session: AsyncSession) -> dict[int, Place]:
            rows = await session.execute(
                select(
                    GuildSettingsRow.guild_id, GuildSettingsRow.result_channel_id, GuildSettingsRow.language
                )
            )
            return {
                guild_id: Place(channel_id=channel_id, language=language)
                for guild_id, channel_id, language in rows.all()
            }

        return await self._desk.read(host, look)

    async def servers(self, host: Admin) -> ServerCounts:
        """Which servers draw how much, and which are switched off by the host."""
        since = self._desk.clock() - timedelta(days=DAYS_COUNTED)

        async def look(session: AsyncSession) -> ServerCounts:
            rows = await session.execute(
                select(JobRow.guild_id, func.count())
                .join(ImageRow, ImageRow.job_id == JobRow.id)
                .where(JobRow.guild_id.is_not(None), JobRow.created_at >= since, *DRAWN)
                .group_by(JobRow.guild_id)
            )
            suspended = await session.scalars(
                select(GuildSettingsRow.guild_id).where(GuildSettingsRow.suspended.is_(True))
            )
            pictures = {guild_id: count for guild_id, count in rows.all() if guild_id is not None}
            return ServerCounts(pictures=pictures, suspended=frozenset(suspended))

        return await self._desk.read(host, look)

    async def live_jobs(self, host: Admin) -> dict[str, int]:
        """Jobs that were accepted and have not ended, by state."""

        async def look(session: AsyncSession) -> dict[str, int]:
            rows = await session.execute(
                select(JobRow.state, func.count()).where(JobRow.state.in_(LIVE)).group_by(JobRow.state)
            )
            counts: dict[str, int] = dict.fromkeys(LIVE, 0)
            for state, count in rows.all():
                counts[state] = count
            return counts

        return await self._desk.read(host, look)
