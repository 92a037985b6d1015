"""What admins can look up of their server: its rules, and its ledger as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.audit import Admin, Desk, check_range
from bot.database.models import BlockRow, GuildSettingsRow, LedgerEntryRow
from bot.database.session import at_once
from bot.ledger_csv import CsvFile
from bot.limits import Block
from bot.quotas import HostRules, ServerRules
from bot.server_rules import load_rules
from bot.usage import Usage, read_usage

MAX_EXPORT_DAYS = 3650
MAX_USAGE_DAYS = 90
ROWS_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Everything that was chosen for a server, and by whom it is limited besides."""

    rules: ServerRules
    host: HostRules
    default_preset: str | None
    language: str | None
    result_channel_id: int | None
    blocks: Mapping[int, Block]
    """By member, without those that are over."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """The ledger of some days as a file, the newest rows first."""

    data: bytes
    rows: int
    is_whole: bool
    """False if the oldest rows did not fit."""


class Reports:
    """Reads; changes nothing."""

    def __init__(self, desk: Desk, host: HostRules, *, kept_days: int) -> None:
        self._desk = desk
        self._host = host
        self._kept_days = kept_days

    async def overview(self, admin: Admin) -> Overview:
        """All rules and settings of a server."""

        async def look(session: AsyncSession) -> Overview:
            rules = (await at_once(session, load_rules, [admin.guild_id])).get(admin.guild_id)
            row = await session.get(GuildSettingsRow, admin.guild_id)
            return Overview(
                rules=rules or ServerRules(),
                host=self._host,
                default_preset=row.default_preset if row else None,
                language=row.language if row else None,
                result_channel_id=row.result_channel_id if row else None,
                blocks=await _blocks(session, admin.guild_id, self._desk.clock()),
            )

        return await self._desk.read(admin, look)

    async def export(self, admin: Admin, *, days: int, limit: int) -> Export:
        """The ledger of the last days, in at most `limit` bytes.

        Raises:
            OutOfRange: so many days cannot be asked for.
        """
        check_range("days", days, 1, MAX_EXPORT_DAYS)
        since = self._desk.clock() - timedelta(days=days)

        async def write(session: AsyncSession) -> Export:
            file = CsvFile(limit)
            rows = await session.stream_scalars(
                select(LedgerEntryRow)
                .where(LedgerEntryRow.guild_id == admin.guild_id, LedgerEntryRow.created_at >= since)
                .order_by(LedgerEntryRow.id.desc())
                .execution_options(yield_per=ROWS_AT_ONCE)
            )
            is_whole = True
            async for row in rows:
                if not file.add(row):
                    is_whole = False
                    break
            await rows.close()
            return Export(data=file.data, rows=file.rows, is_whole=is_whole)

        return await self._desk.read(admin, write)

    async def usage(self, admin: Admin, *, days: int) -> Usage:
        """What was drawn and refused in the last days, today among them, in the server's time zone.

        Of days before the host's retention there are no records, so these are left out.

        Raises:
            OutOfRange: so many days cannot be asked for.
        """
        check_range("days", days, 1, MAX_USAGE_DAYS)
        now = self._desk.clock()
        return await self._desk.read(
            admin,
            lambda session: read_usage(
                session, admin.guild_id, days=days, now=now, kept_days=self._kept_days
            ),
        )


async def _blocks(session: AsyncSession, guild_id: int, now: datetime) -> dict[int, Block]:
    rows = await session.scalars(
        select(BlockRow)
        .where(BlockRow.guild_id == guild_id, BlockRow.until.is_(None) | (BlockRow.until > now))
        .order_by(BlockRow.created_at.desc())
    )
    return {row.user_id: Block(until=row.until, reason=row.reason) for row in rows}
