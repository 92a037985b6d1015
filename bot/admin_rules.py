"""A server's rules as its admins change them: quotas, limits and settings."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.admin_errors import AmountMissing, NotARate, NotATimeZone, TooManyNamed
from bot.audit import Admin, Change, Desk, check_range, clean_text
from bot.database.models import GuildSettingsRow, PresetRow, QuotaRow
from bot.errors import UnknownPreset
from bot.presets import PresetBook
from bot.quotas import MAX_AMOUNT, PICTURE, Quota, Rate

QuotaScope = Literal["default", "member", "role", "channel", "server"]

WINDOWS = ("day", "week", "month", "24h", "168h", "720h")
"""What can be chosen; 168 and 720 hours are 7 and 30 days."""
UNLIMITED, NO_RULE = "unlimited", "remove"

MAX_JOBS = 1000
MAX_NAMED = 50
"""Channels or roles in one list."""
LANGUAGES = ("en", "ja")
OFF = "off"

NOT_PLACES = {"localtime", "posixrules", "Factory"}
"""Files among the time zones that are none."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whom a quota is for; the default of each member and the server as a whole have no id."""

    scope: QuotaScope = "default"
    id: int = 0

    def __str__(self) -> str:
        return f"{self.scope}:{self.id}" if self.id else self.scope


@dataclass(frozen=True, kw_only=True)
class LimitChanges:
    """What is to be different; None stays as it is."""

    rate: str | None = None
    """Such as `5/min`, or `off`."""
    jobs: int | None = None
    """0 leaves it to the host."""
    enabled: bool | None = None
    exempt: int | None = None
    not_exempt: int | None = None


@dataclass(frozen=True, kw_only=True)
class SettingChanges:
    """What is to be different; None stays as it is, and `clear` names what nobody shall have chosen."""

    allow_channel: int | None = None
    forbid_channel: int | None = None
    preset: str | None = None
    language: str | None = None
    result_channel: int | None = None
    timezone: str | None = None
    clear: str | None = None


CLEARED: Mapping[str, Any] = {
    "allowed_channels": list[int](),
    "default_preset": None,
    "language": None,
    "result_channel_id": None,
    "timezone": "UTC",
}
"""What can be cleared, and what it is then."""


def _limit_facts(row: GuildSettingsRow) -> dict[str, Any]:
    has_rate = row.rate_count is not None and row.rate_seconds is not None
    return {
        "enabled": row.enabled,
        "rate": str(Rate(count=row.rate_count or 1, seconds=row.rate_seconds or 1)) if has_rate else None,
        "concurrent_jobs": row.concurrent_jobs,
        "exempt_roles": row.exempt_roles,
    }


def _setting_facts(row: GuildSettingsRow) -> dict[str, Any]:
    return {column: getattr(row, column) for column in CLEARED}


class RuleChanges:
    """What admins do to the rules."""

    def __init__(self, desk: Desk, presets: PresetBook) -> None:
        self._desk = desk
        self._presets = presets

    async def set_quota(self, admin: Admin, subject: Subject, quota: Quota | None) -> Change:
        """Give a subject a quota in place of its old one, or with None take it away."""

        async def work(session: AsyncSession, _now: datetime) -> Change:
            row = await session.get(QuotaRow, (admin.guild_id, subject.scope, subject.id))
            before = str(Quota(amount=row.amount, window=row.window)) if row is not None else None
            if quota is None and row is not None:
                await session.delete(row)
            elif quota is not None:
                row = row or QuotaRow(guild_id=admin.guild_id, scope=subject.scope, subject_id=subject.id)
                row.amount, row.window = quota.amount, quota.window
                session.add(row)
            action = "quota.set" if quota is not None else "quota.remove"
            after = str(quota) if quota is not None else None
            return Change(action=action, target=str(subject), before=before, after=after)

        return await self._desk.change(admin, work)

    async def tidy(self, admin: Admin, *, roles: Collection[int], channels: Collection[int]) -> Change:
        """Take away the quotas and exemptions of roles and channels that are none of these: they are gone.

        The last channel that is allowed stays: without any, all would be.
        """
        living = {"role": roles, "channel": channels}

        async def work(session: AsyncSession, now: datetime) -> Change:
            before: dict[str, Any] = {}
            after: dict[str, Any] = {}
            rows = await session.scalars(select(QuotaRow).where(QuotaRow.guild_id == admin.guild_id))
            gone = [row for row in rows if row.subject_id not in living.get(row.scope, {row.subject_id})]
            for quota in gone:
                await session.delete(quota)
            if gone:
                before["quotas"], after["quotas"] = (
                    sorted(f"{row.scope}:{row.subject_id}" for row in gone),
                    [],
                )
            row = await settings_row(session, admin.guild_id, now)
            exempt = [role for role in row.exempt_roles if role in roles]
            allowed = [channel for channel in row.allowed_channels if channel in channels]
            for column, kept in (("exempt_roles", exempt), ("allowed_channels", allowed)):
                if kept != getattr(row, column) and (kept or column == "exempt_roles"):
                    before[column], after[column] = getattr(row, column), kept
                    setattr(row, column, kept)
                    row.updated_at = now
            return Change(action="quota.tidy", before=before, after=after)

        return await self._desk.change(admin, work)

    async def change_limits(self, admin: Admin, changes: LimitChanges) -> Change:
        """Change how fast and by whom pictures are asked for.

        Raises:
            MemberError: a value that cannot be.
        """
        rate = _rate(changes.rate)
        if changes.jobs is not None:
            check_range("at_once", changes.jobs, 0, MAX_JOBS)

        def edit(row: GuildSettingsRow) -> None:
            if changes.rate is not None:
                row.rate_count = rate.count if rate is not None else None
                row.rate_seconds = rate.seconds if rate is not None else None
            if changes.jobs is not None:
                row.concurrent_jobs = changes.jobs or None
            if changes.enabled is not None:
                row.enabled = changes.enabled
            row.exempt_roles = _edited(row.exempt_roles, changes.exempt, changes.not_exempt)

        return await self._edit(admin, "limits", _limit_facts, edit)

    async def change_settings(self, admin: Admin, changes: SettingChanges) -> Change:
        """Change where the bot draws, what it takes when nothing is said, and how it speaks.

        Raises:
            MemberError: a value that cannot be.
        """
        timezone = find_timezone(changes.timezone) if changes.timezone is not None else None
        preset = await self._preset(admin, changes.preset) if changes.preset is not None else None

        def edit(row: GuildSettingsRow) -> None:
            row.allowed_channels = _edited(
                row.allowed_channels, changes.allow_channel, changes.forbid_channel
            )
            row.default_preset = preset or row.default_preset
            row.language = changes.language if changes.language in LANGUAGES else row.language
            row.result_channel_id = changes.result_channel or row.result_channel_id
            row.timezone = timezone or row.timezone
            if changes.clear is not None and changes.clear in CLEARED:
                setattr(row, changes.clear, CLEARED[changes.clear])

        return await self._edit(admin, "settings", _setting_facts, edit)

    async def _edit(
        self,
        admin: Admin,
        action: str,
        facts: Callable[[GuildSettingsRow], dict[str, Any]],
        edit: Callable[[GuildSettingsRow], None],
    ) -> Change:
        async def work(session: AsyncSession, now: datetime) -> Change:
            row = await settings_row(session, admin.guild_id, now)
            before = facts(row)
            edit(row)
            after = facts(row)
            changed = [name for name in after if before[name] != after[name]]
            if changed:
                row.updated_at = now
            return Change(
                action=action,
                before={name: before[name] for name in changed},
                after={name: after[name] for name in changed},
            )

        return await self._desk.change(admin, work)

    async def _preset(self, admin: Admin, name: str) -> str:
        """The name as it is written, of a preset that ships with the bot or is the server's own."""
        name = clean_text("preset", name, limit=64)

        async def own(session: AsyncSession) -> PresetRow | None:
            return await session.scalar(
                select(PresetRow)
                .where(PresetRow.guild_id == admin.guild_id, PresetRow.key == name.casefold())
                .order_by(PresetRow.version.desc())
                .limit(1)
            )

        try:
            return self._presets.get(name).name
        except UnknownPreset:
            row = await self._desk.read(admin, own)
            if row is None or row.deleted:
                raise
            return row.name


async def settings_row(session: AsyncSession, guild_id: int, now: datetime) -> GuildSettingsRow:
    """The server's row, made with the defaults if there is none."""
    row = await session.get(GuildSettingsRow, guild_id)
    if row is None:
        row = GuildSettingsRow(guild_id=guild_id, updated_at=now)
        session.add(row)
        # The defaults of the columns are filled in with this.
        await session.flush()
    return row


def make_quota(amount: float | None, window: str) -> Quota | None:
    """The quota of a number of pictures and a chosen window; None where there shall be no rule.

    Raises:
        AmountMissing | OutOfRange: it is no quota.
    """
    if window == NO_RULE:
        return None
    if window == UNLIMITED:
        return Quota(amount=None)
    if amount is None:
        raise AmountMissing(option="amount")
    check_range("amount", amount, 0, MAX_AMOUNT // PICTURE)
    return Quota(amount=round(amount * PICTURE), window=window)


def find_timezone(name: str) -> str:
    """A time zone by its name, whatever the case.

    Raises:
        NotATimeZone: there is none of that name.
    """
    wanted = name.strip().casefold().replace(" ", "_")
    for known in timezones():
        if known.casefold() == wanted:
            return known
    raise NotATimeZone(value=name.strip()[:60])


@cache
def timezones() -> tuple[str, ...]:
    """The names that can be chosen, in order of the alphabet."""
    return tuple(sorted(zoneinfo.available_timezones() - NOT_PLACES))


def _rate(text: str | None) -> Rate | None:
    if text is None or text.strip().casefold() == OFF:
        return None
    try:
        return Rate.parse(text)
    except ValueError as error:
        raise NotARate(value=text.strip()[:30]) from error


def _edited(ids: list[int], add: int | None, remove: int | None) -> list[int]:
    """A new list: SQLAlchemy would not notice a change within the old one."""
    edited = sorted({*ids, *([add] if add is not None else [])} - {remove})
    if len(edited) > MAX_NAMED and len(edited) > len(ids):
        raise TooManyNamed(limit=MAX_NAMED)
    return edited
