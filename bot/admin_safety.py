"""What a server's admins allow to be shown, and which words. Within the host's cap, and in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from bot.admin_errors import BlankText, TooManyNamed
from bot.audit import Admin, Change, Desk, clean_text
from bot.database.safety import ServerSafetyRow
from bot.errors import MemberError
from bot.i18n import N_
from bot.safety.levels import Level, lowest
from bot.safety.places import ServerSafety
from bot.safety.servers import load_safety

MAX_CHANNELS = 50
MAX_WORDS = 100
"""In each of a server's lists."""
MAX_WORD = 60


class AboveHostCap(MemberError):
    message = N_(
        "The host of this bot allows nothing above the level “{cap}”, so “{level}” cannot be chosen. "
        "Nothing was changed."
    )

    def __init__(self, *, cap: Level, level: Level) -> None:
        super().__init__(cap=cap, level=level)


@dataclass(frozen=True, kw_only=True)
class WordChanges:
    """What is to be different in a server's lists; None stays as it is."""

    block: str | None = None
    unblock: str | None = None
    allow: str | None = None
    disallow: str | None = None


@dataclass(frozen=True, kw_only=True)
class SafetyOverview:
    """What counts in a server."""

    cap: Level
    server: ServerSafety


class SafetyChanges:
    """What admins do about safety."""

    def __init__(self, desk: Desk, cap: Level) -> None:
        self._desk = desk
        self._cap: Level = cap

    async def overview(self, admin: Admin) -> SafetyOverview:
        """What the admins chose, and the host's cap."""

        async def look(session: AsyncSession) -> SafetyOverview:
            return SafetyOverview(cap=self._cap, server=await load_safety(session, admin.guild_id))

        return await self._desk.read(admin, look)

    async def set_level(self, admin: Admin, level: Level) -> Change:
        """Choose how much may be shown in the server.

        Raises:
            AboveHostCap: the host does not allow it.
        """
        self._check(level)

        def edit(row: ServerSafetyRow) -> dict[str, Any]:
            before, row.level = row.level, level
            return {"level": before}

        return await self._change(admin, "safety.level", "", edit, lambda row: {"level": row.level})

    async def set_channel(self, admin: Admin, channel_id: int, level: Level | None) -> Change:
        """Give a channel, and its threads, a level of their own; with None take it away.

        Raises:
            AboveHostCap | TooManyNamed: it cannot be chosen.
        """
        if level is not None:
            self._check(level)
        key = str(channel_id)

        def edit(row: ServerSafetyRow) -> dict[str, Any]:
            before = row.channels.get(key)
            # A new mapping: SQLAlchemy would not notice a change within the old one.
            channels = {name: kept for name, kept in row.channels.items() if name != key}
            if level is not None:
                channels[key] = level
            if len(channels) > MAX_CHANNELS:
                raise TooManyNamed(limit=MAX_CHANNELS)
            row.channels = channels
            return {"level": before}

        return await self._change(
            admin, "safety.channel", f"channel:{key}", edit, lambda row: {"level": row.channels.get(key)}
        )

    async def change_words(self, admin: Admin, changes: WordChanges) -> Change:
        """Add words to the server's own lists, or take them off.

        Raises:
            MemberError: a word that cannot be kept, or there are too many.
        """

        def edit(row: ServerSafetyRow) -> dict[str, Any]:
            before = {"block_list": row.block_list, "allow_list": row.allow_list}
            row.block_list = _edited("block", row.block_list, changes.block, changes.unblock)
            row.allow_list = _edited("allow", row.allow_list, changes.allow, changes.disallow)
            return before

        return await self._change(
            admin,
            "safety.lists",
            "",
            edit,
            lambda row: {"block_list": row.block_list, "allow_list": row.allow_list},
        )

    def _check(self, level: Level) -> None:
        if lowest(self._cap, level) != level:
            raise AboveHostCap(cap=self._cap, level=level)

    async def _change(
        self,
        admin: Admin,
        action: str,
        target: str,
        edit: Callable[[ServerSafetyRow], dict[str, Any]],
        facts: Callable[[ServerSafetyRow], dict[str, Any]],
    ) -> Change:
        async def work(session: AsyncSession, now: datetime) -> Change:
            row = await _row(session, admin.guild_id, now)
            before = edit(row)
            after = facts(row)
            changed = [name for name in after if before[name] != after[name]]
            if changed:
                row.updated_at = now
            return Change(
                action=action,
                target=target,
                before={name: before[name] for name in changed},
                after={name: after[name] for name in changed},
            )

        return await self._desk.change(admin, work)


async def _row(session: AsyncSession, guild_id: int, now: datetime) -> ServerSafetyRow:
    """The server's row, made with the defaults if there is none."""
    row = await session.get(ServerSafetyRow, guild_id)
    if row is None:
        row = ServerSafetyRow(guild_id=guild_id, updated_at=now)
        session.add(row)
        await session.flush()
    return row


def _edited(option: str, words: list[str], add: str | None, remove: str | None) -> list[str]:
    edited = [word for word in words if remove is None or word != _word(option, remove)]
    if add is not None and (word := _word(option, add)) not in edited:
        edited = sorted([*edited, word])
    if len(edited) > max(MAX_WORDS, len(words)):
        raise TooManyNamed(limit=MAX_WORDS)
    return edited


def _word(option: str, text: str) -> str:
    word = clean_text(option, text, limit=MAX_WORD).casefold()
    if not word:
        raise BlankText(option=option)
    return word
