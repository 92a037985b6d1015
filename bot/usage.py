"""What a server's members drew, what was refused, and how long they waited, counted by the database."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, case, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from bot.database.models import GuildSettingsRow, ImageRow, JobRow, RefusalRow
from bot.server_rules import known_zone

TOP_USERS = 10
MAX_WAITS = 20_000
"""Jobs whose waiting is looked at, the newest: percentiles are worked out here."""

DRAWN = (JobRow.state.in_(("succeeded", "delivered")), ImageRow.is_withheld.is_(False))
"""What makes an image of a job one that was drawn for somebody."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Seconds from a request to its first step: half of them waited no longer than `p50`."""

    p50: float
    p95: float


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Counts over some days of a server's calendar."""

    days: Sequence[date]
    timezone: str = "UTC"
    pictures: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])
    """Of each preset, by day; the preset with the most comes first."""
    refusals: Mapping[str, int] = field(default_factory=dict[str, int])
    """By code, the most frequent first."""
    top_users: Sequence[tuple[int, int]] = ()
    """Members and their pictures."""
    waiting: Mapping[date, Waiting] = field(default_factory=dict[date, Waiting])
    total_waiting: Waiting | None = None
    kept_days: int | None = None
    """Given if more days were asked for than records are kept."""
    oldest: datetime | None = None
    """The first of these records, if the first of these days has none."""

    @property
    def total(self) -> int:
        """All pictures."""
        return sum(sum(counts) for counts in self.pictures.values())


async def read_usage(
    session: AsyncSession, guild_id: int, *, days: int, now: datetime, kept_days: int
) -> Usage:
    """Count the last `days` days up to `now`; of those older than `kept_days` nothing can be known."""
    settings = await session.get(GuildSettingsRow, guild_id)
    zone = ZoneInfo(known_zone(settings) if settings is not None else "UTC")
    today = now.astimezone(zone).date()
    dates = [today - timedelta(days=back) for back in reversed(range(min(days, kept_days)))]
    since = _midnight(dates[0], zone)
    in_time = (JobRow.guild_id == guild_id, JobRow.created_at >= since)
    waits = await _waits(session, in_time, zone)
    return Usage(
        days=dates,
        timezone=zone.key,
        pictures=await _pictures(session, in_time, dates, zone),
        refusals=await _refusals(session, guild_id, since, in_time),
        top_users=await _top_users(session, in_time),
        waiting={day: percentiles(seconds) for day, seconds in waits.items()},
        total_waiting=percentiles([wait for seconds in waits.values() for wait in seconds])
        if waits
        else None,
        kept_days=kept_days if kept_days < days else None,
        oldest=await _oldest(session, guild_id, since, _midnight(dates[0] + timedelta(days=1), zone)),
    )


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


async def _oldest(
    session: AsyncSession, guild_id: int, since: datetime, first_day_ends: datetime
) -> datetime | None:
    """When the records begin, if that is after the first day."""
    firsts = [
        await session.scalar(
            select(func.min(table.created_at)).where(table.guild_id == guild_id, table.created_at >= since)
        )
        for table in (JobRow, RefusalRow)
    ]
    oldest = min((first for first in firsts if first is not None), default=None)
    return oldest if oldest is not None and oldest >= first_day_ends else None


async def _pictures(
    session: AsyncSession, in_time: Sequence[ColumnElement[bool]], dates: Sequence[date], zone: ZoneInfo
) -> dict[str, list[int]]:
    drawn = (
        select(_day(JobRow.created_at, dates, zone).label("day"), JobRow.preset)
        .join(ImageRow, ImageRow.job_id == JobRow.id)
        .where(*in_time, *DRAWN)
        .subquery()
    )
    rows = await session.execute(
        select(drawn.c.day, drawn.c.preset, func.count()).group_by(drawn.c.day, drawn.c.preset)
    )
    pictures: dict[str, list[int]] = {}
    for day, preset, count in rows.all():
        pictures.setdefault(preset, [0] * len(dates))[day] = count
    return dict(sorted(pictures.items(), key=lambda item: -sum(item[1])))


def _day(
    column: InstrumentedAttribute[datetime], dates: Sequence[date], zone: ZoneInfo
) -> ColumnElement[int]:
    """Which of the days a time is on: by their midnights, as days can have 23 or 25 hours."""
    ends = [(column < _midnight(day, zone), number) for number, day in enumerate(dates[1:])]
    return case(*ends, else_=len(dates) - 1) if ends else literal(0)


async def _refusals(
    session: AsyncSession, guild_id: int, since: datetime, in_time: Sequence[ColumnElement[bool]]
) -> dict[str, int]:
    """Those by a limit, and the jobs that the engine did not take."""
    by_limits = await session.execute(
        select(RefusalRow.code, func.count())
        .where(RefusalRow.guild_id == guild_id, RefusalRow.created_at >= since)
        .group_by(RefusalRow.code)
    )
    by_engine = await session.execute(
        select(func.coalesce(JobRow.error_code, "other"), func.count())
        .where(*in_time, JobRow.state == "refused")
        .group_by(JobRow.error_code)
    )
    refusals: dict[str, int] = {}
    for code, count in (*by_limits.all(), *by_engine.all()):
        refusals[code] = refusals.get(code, 0) + count
    return dict(sorted(refusals.items(), key=lambda item: (-item[1], item[0])))


async def _top_users(session: AsyncSession, in_time: Sequence[ColumnElement[bool]]) -> list[tuple[int, int]]:
    pictures = func.count()
    rows = await session.execute(
        select(JobRow.user_id, pictures)
        .join(ImageRow, ImageRow.job_id == JobRow.id)
        .where(*in_time, *DRAWN, JobRow.user_id.is_not(None))
        .group_by(JobRow.user_id)
        .order_by(pictures.desc(), JobRow.user_id)
        .limit(TOP_USERS)
    )
    return [(user_id, count) for user_id, count in rows.all() if user_id is not None]


async def _waits(
    session: AsyncSession, in_time: Sequence[ColumnElement[bool]], zone: ZoneInfo
) -> dict[date, list[float]]:
    rows = await session.execute(
        select(JobRow.created_at, JobRow.started_at)
        .where(*in_time, JobRow.started_at.is_not(None))
        .order_by(JobRow.created_at.desc())
        .limit(MAX_WAITS)
    )
    waits: dict[date, list[float]] = {}
    for created_at, started_at in rows.all():
        if started_at is not None:
            # A clock that was set back made nobody wait less than nothing.
            seconds = max((started_at - created_at).total_seconds(), 0.0)
            waits.setdefault(created_at.astimezone(zone).date(), []).append(seconds)
    return waits


def percentiles(seconds: Sequence[float]) -> Waiting:
    """The least values that half, and 95 of 100, do not exceed."""
    ranked = sorted(seconds)
    p50, p95 = (ranked[max(math.ceil(share * len(ranked)) - 1, 0)] for share in (0.5, 0.95))
    return Waiting(p50=p50, p95=p95)
