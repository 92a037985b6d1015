"""Who changed what: every change by an admin or the host, and its row in the audit log, are one transaction.

`Desk` is the one door for such changes. The permission is checked here again, whatever let the caller in.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.admin_errors import NotAllowed
from bot.database.failures import told_to_members
from bot.database.models import AuditRow
from bot.database.session import Database, at_once
from bot.errors import ControlCharacters, OutOfRange, TextTooLong
from bot.ledger import lock_ledger

T = TypeVar("T")

MAX_REASON = 300


@dataclass(frozen=True, kw_only=True)
class Admin:
    """Who acts on which server, and whether they may.

    `guild_id` is 0 for what the host does to all servers. The caller knows Discord and fills in `may_manage`
    (`cogs/admin_answer.py` for admins, `cogs/host.py` for the host); nothing is done without it.
    """

    actor_id: int
    guild_id: int
    may_manage: bool

    def check(self) -> None:
        """Raise `NotAllowed` unless they may."""
        if not self.may_manage:
            raise NotAllowed


@dataclass(frozen=True, kw_only=True)
class Change:
    """What was changed. Before and after are plain JSON; equal ones mean that nothing happened."""

    action: str
    target: str = ""
    before: Any = None
    after: Any = None

    @property
    def is_one(self) -> bool:
        """Whether anything is different now."""
        return self.before != self.after


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One line of the log."""

    id: int
    created_at: datetime
    actor_id: int
    change: Change


class Desk:
    """Changes and looks at what is kept of a server, for those who may."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self._database = database

    async def change(
        self, admin: Admin, work: Callable[[AsyncSession, datetime], Awaitable[Change]]
    ) -> Change:
        """Do one change and write down who did it, or do neither.

        Raises:
            NotAllowed: they may not.
            RecordsUnavailable: the database did not take it; nothing was changed.
            MemberError: what `work` found wrong; nothing was changed.
        """
        admin.check()

        async def transaction(session: AsyncSession) -> Change:
            # Nobody else decides or changes meanwhile: before and after are what they were and became.
            await at_once(session, lock_ledger)
            now = self.clock()
            change = await work(session, now)
            if change.is_one:
                session.add(_row(admin, change, now))
            return change

        with told_to_members():
            return await self._database.write(transaction)

    async def read(self, admin: Admin, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Look something up for somebody who may see it.

        Raises:
            NotAllowed: they may not.
            RecordsUnavailable: the database did not answer.
        """
        admin.check()
        with told_to_members():
            async with self._database.session() as session:
                return await work(session)

    async def log(
        self, admin: Admin, *, page: int, size: int, newest: int | None = None
    ) -> tuple[list[AuditEntry], bool]:
        """A page of the server's log, newest first, and whether there is another behind it.

        `newest` is the id that the first page began with: pages stay the same while rows are added.
        """

        async def entries(session: AsyncSession) -> list[AuditEntry]:
            query = select(AuditRow).where(AuditRow.guild_id == admin.guild_id)
            if newest is not None:
                query = query.where(AuditRow.id <= newest)
            rows = await session.scalars(
                query.order_by(AuditRow.id.desc()).offset(page * size).limit(size + 1)
            )
            return [_entry(row) for row in rows]

        found = await self.read(admin, entries)
        return found[:size], len(found) > size


def _row(admin: Admin, change: Change, now: datetime) -> AuditRow:
    return AuditRow(
        created_at=now,
        guild_id=admin.guild_id,
        actor_id=admin.actor_id,
        action=change.action,
        target=change.target,
        before=change.before,
        after=change.after,
    )


def _entry(row: AuditRow) -> AuditEntry:
    change = Change(action=row.action, target=row.target, before=row.before, after=row.after)
    return AuditEntry(id=row.id, created_at=row.created_at, actor_id=row.actor_id, change=change)


def clean_text(option: str, text: str | None, limit: int = MAX_REASON) -> str:
    """What an admin wrote, on one line.

    Raises:
        TextTooLong | ControlCharacters: it cannot be kept like this.
    """
    text = " ".join((text or "").split())
    if len(text) > limit:
        raise TextTooLong(option=option, length=len(text), limit=limit)
    # PostgreSQL takes neither NUL nor halves of a surrogate pair.
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise ControlCharacters(option=option)
    return text


def check_range(option: str, value: float, low: float, high: float) -> None:
    """Raise `OutOfRange` for what is not between these, not-a-number among them."""
    if not low <= value <= high:
        low_text, high_text, given = (f"{number:.15g}" for number in (low, high, value))
        raise OutOfRange(option=option, value=given, low=low_text, high=high_text)
