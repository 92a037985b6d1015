"""Where a server's moderators read of appeals and reports, and how many reports hide a picture."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.admin_rules import settings_row
from bot.audit import Admin, Change, Desk, check_range
from bot.database.failures import told_to_members
from bot.database.models import AuditRow, GuildSettingsRow
from bot.database.session import Database
from bot.safety.reports import REPORTS_TO_HIDE

MOST_TO_HIDE = 100
FACTS = ("moderation_channel_id", "reports_to_hide")
READERS = "moderation.readers"


@dataclass(frozen=True, kw_only=True)
class ModerationChanges:
    """What is to be different; None stays as it is."""

    channel: int | None = None
    reports: int | None = None
    close: bool = False
    """No channel any more."""


class Moderation:
    """The settings of moderators."""

    def __init__(self, database: Database, desk: Desk) -> None:
        self._database = database
        self._desk = desk

    async def change(self, admin: Admin, changes: ModerationChanges) -> Change:
        """Choose the channel, or how many reports hide a picture.

        Raises:
            MemberError: a value that cannot be.
        """
        if changes.reports is not None:
            check_range("reports", changes.reports, 1, MOST_TO_HIDE)

        async def work(session: AsyncSession, now: datetime) -> Change:
            row = await settings_row(session, admin.guild_id, now)
            before = _facts(row)
            row.moderation_channel_id = (
                None if changes.close else changes.channel or row.moderation_channel_id
            )
            row.reports_to_hide = changes.reports or row.reports_to_hide
            after = _facts(row)
            changed = [name for name in FACTS if before[name] != after[name]]
            if changed:
                row.updated_at = now
            return Change(
                action="moderation",
                before={name: before[name] for name in changed},
                after={name: after[name] for name in changed},
            )

        return await self._desk.change(admin, work)

    async def note_readers(self, watcher: Admin, channel_id: int, *, everybody: bool) -> None:
        """Write into the log that everybody can read the moderators' channel, or no longer can; each once.

        `watcher` is the bot itself, which has looked.
        """

        async def work(session: AsyncSession, _now: datetime) -> Change:
            target = f"channel:{channel_id}"
            noted = await session.scalar(
                select(AuditRow)
                .where(
                    AuditRow.guild_id == watcher.guild_id,
                    AuditRow.action == READERS,
                    AuditRow.target == target,
                )
                .order_by(AuditRow.id.desc())
                .limit(1)
            )
            before = noted.after if noted is not None else {"everybody_reads": False}
            return Change(action=READERS, target=target, before=before, after={"everybody_reads": everybody})

        await self._desk.change(watcher, work)

    async def show(self, admin: Admin) -> dict[str, Any]:
        """What is set, by the names of the log."""

        async def look(session: AsyncSession) -> dict[str, Any]:
            row = await session.get(GuildSettingsRow, admin.guild_id)
            facts = _facts(row) if row is not None else dict.fromkeys(FACTS)
            return facts | {"reports_to_hide": facts["reports_to_hide"] or REPORTS_TO_HIDE}

        return await self._desk.read(admin, look)

    async def channel_of(self, guild_id: int) -> int | None:
        """The moderators' channel of a server.

        Raises:
            RecordsUnavailable: the database failed.
        """
        with told_to_members():
            async with self._database.session() as session:
                row = await session.get(GuildSettingsRow, guild_id)
                return row.moderation_channel_id if row is not None else None


def _facts(row: GuildSettingsRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in FACTS}
