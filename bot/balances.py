"""Balances: sums over the entries of the ledger, for accounts, jobs and grants. Only read here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.database.models import GrantRow, LedgerEntryRow
from bot.limits import Grant
from bot.quotas import Account

OF_JOBS = ("reserve", "settle", "refund")
"""Kinds of entries that belong to a job."""

MOST_MOMENTS = 5000
"""How far a window is looked through for the moment at which it has room again."""

_Entry = LedgerEntryRow


async def sums(
    session: AsyncSession, wanted: Iterable[tuple[Account, datetime]], *, before: datetime | None = None
) -> dict[tuple[Account, datetime], int]:
    """What accounts have used since the given times; one query for all that differ in the subject only.

    Args:
        before: leave out what was written by a clock that was ahead of this time.
    """
    groups: dict[tuple[str, int, datetime], set[int]] = {}
    used: dict[tuple[Account, datetime], int] = {}
    for account, since in wanted:
        used[account, since] = 0
        groups.setdefault((account.kind, account.guild_id, since), set()).add(account.subject_id)
    for (kind, guild_id, since), subjects in groups.items():
        column, conditions = _account_filter(kind, guild_id)
        rows = await session.execute(
            select(column, func.sum(_Entry.amount))
            .where(
                column.in_(_subjects(kind, guild_id, subjects)),
                _Entry.effective_at >= since,
                *_until(before),
                *conditions,
            )
            .group_by(column)
        )
        for subject, amount in rows.all():
            account = Account(kind, guild_id, 0 if kind == "server" else subject)  # pyright: ignore[reportArgumentType]
            used[account, since] = -int(amount)
    return used


async def paid_for(session: AsyncSession, job_ids: Sequence[str]) -> dict[str, int]:
    """What jobs took in the end, without what came back."""
    rows = await session.execute(
        select(_Entry.job_id, -func.sum(_Entry.amount))
        .where(_Entry.job_id.in_(job_ids))
        .group_by(_Entry.job_id)
    )
    return {str(job_id): int(paid) for job_id, paid in rows.all()}


async def used_since(
    session: AsyncSession, account: Account, since: datetime, *, before: datetime | None = None
) -> list[tuple[datetime, int]]:
    """What an account used since a time, by the moment from which it counts, oldest first.

    Of a great many only the oldest: a request has room again when a few of them have left the window.
    """
    column, conditions = _account_filter(account.kind, account.guild_id)
    [subject] = _subjects(account.kind, account.guild_id, {account.subject_id})
    used = -func.sum(_Entry.amount)
    rows = await session.execute(
        select(_Entry.effective_at, used)
        .where(column == subject, _Entry.effective_at >= since, *_until(before), *conditions)
        .group_by(_Entry.effective_at)
        .having(used != 0)
        .order_by(_Entry.effective_at)
        .limit(MOST_MOMENTS)
    )
    return [(at, int(amount)) for at, amount in rows.all()]


def _until(before: datetime | None) -> Sequence[ColumnElement[bool]]:
    return [] if before is None else [_Entry.effective_at < before]


def _subjects(kind: str, guild_id: int, subjects: set[int]) -> Sequence[int]:
    return [guild_id] if kind == "server" else sorted(subjects)


def _account_filter(kind: str, guild_id: int) -> tuple[ColumnElement[int], Sequence[ColumnElement[bool]]]:
    """The column that tells the subjects apart, and what else its entries must be.

    A member's quota has no part in what grants pay, but a reset counts; the others sum up what jobs took.
    """
    if kind == "member":
        return _Entry.user_id.expression, [_Entry.guild_id == guild_id, _Entry.grant_id == 0]
    column = {"channel": _Entry.channel_id, "server": _Entry.guild_id, "user": _Entry.user_id}[kind]
    of_jobs = [_Entry.kind.in_(OF_JOBS)]
    return column.expression, [*of_jobs, _Entry.guild_id == guild_id] if kind == "channel" else of_jobs


async def grants_of(
    session: AsyncSession, user_ids: Iterable[int], now: datetime
) -> dict[tuple[int, int], list[Grant]]:
    """What is left of members' grants, by server and member."""
    left = func.sum(_Entry.amount)
    rows = await session.execute(
        select(GrantRow.id, GrantRow.guild_id, GrantRow.user_id, GrantRow.expires_at, left)
        .join(_Entry, _Entry.grant_id == GrantRow.id)
        .where(
            GrantRow.user_id.in_(sorted(set(user_ids))),
            (GrantRow.expires_at.is_(None)) | (GrantRow.expires_at > now),
        )
        .group_by(GrantRow.id, GrantRow.guild_id, GrantRow.user_id, GrantRow.expires_at)
        .having(left > 0)
    )
    found: dict[tuple[int, int], list[Grant]] = {}
    for grant_id, guild_id, user_id, expires_at, amount in rows.all():
        found.setdefault((guild_id, user_id), []).append(
            Grant(id=grant_id, left=int(amount), expires_at=expires_at)
        )
    return found
