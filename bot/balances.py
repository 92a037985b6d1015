"""Balances: sums over the entries of the ledger, for accounts, jobs and grants. Only read here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Integer,
    Select,
    bindparam,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from bot.database.models import GrantRow, LedgerEntryRow
from bot.limits import Grant
from bot.quotas import Account, AccountKind

OF_JOBS = ("reserve", "settle", "refund")
"""Kinds of entries that belong to a job."""

MOST_MOMENTS = 5000
"""How far a window is looked through for the moment at which it has room again."""

MOST_PARTS = 100
"""Of one query; SQLite takes five hundred."""

ALWAYS = datetime.max.replace(tzinfo=UTC)

_Entry = LedgerEntryRow

_OWNERS: dict[AccountKind, dict[str, InstrumentedAttribute[int]]] = {
    "member": {"guild_id": _Entry.guild_id, "subject_id": _Entry.user_id},
    "channel": {"guild_id": _Entry.guild_id, "subject_id": _Entry.channel_id},
    "server": {"guild_id": _Entry.guild_id},
    "user": {"subject_id": _Entry.user_id},
}
"""The columns that must be an account's own for an entry to be one of its, by their names in `Account`."""

_LEFT: Any = func.sum(_Entry.amount)
_GRANTS = (
    select(GrantRow.id, GrantRow.guild_id, GrantRow.user_id, GrantRow.expires_at, _LEFT)
    .join(_Entry, _Entry.grant_id == GrantRow.id)
    .where(
        GrantRow.user_id.in_(bindparam("users", expanding=True)),
        (GrantRow.expires_at.is_(None)) | (GrantRow.expires_at > bindparam("now")),
    )
    .group_by(GrantRow.id, GrantRow.guild_id, GrantRow.user_id, GrantRow.expires_at)
    .having(_LEFT > 0)
)


def sums(
    connection: Connection, wanted: Iterable[tuple[Account, datetime]], *, before: datetime | None = None
) -> dict[tuple[Account, datetime], int]:
    """What accounts have used since the given times, in one query for as many as one can have.

    Args:
        before: leave out what was written by a clock that was ahead of this time.
    """
    used: dict[tuple[Account, datetime], int] = {}
    groups: dict[tuple[AccountKind, datetime], set[Account]] = {}
    for account, since in wanted:
        used[account, since] = 0
        groups.setdefault((account.kind, since), set()).add(account)
    spans = sorted(groups)
    for first in range(0, len(spans), MOST_PARTS):
        part = spans[first : first + MOST_PARTS]
        values: dict[str, Any] = {"before": before or ALWAYS}
        for number, (kind, since) in enumerate(part):
            values[f"since_{number}"] = since
            for name in _OWNERS[kind]:
                values[f"{name}_{number}"] = sorted({getattr(one, name) for one in groups[kind, since]})
        for number, guild_id, subject_id, amount in connection.execute(
            _sums_by_kind(tuple(kind for kind, _ in part)), values
        ):
            kind, since = part[number]
            key = (Account(kind, guild_id, subject_id), since)
            if key in used:  # of several servers' subjects each is looked up in each server
                used[key] = -int(amount)
    return used


@lru_cache(maxsize=256)
def _sums_by_kind(kinds: tuple[AccountKind, ...]) -> CompoundSelect[int, int, int, int]:
    """What accounts of these kinds have used, by the place of their kind; made once for each combination."""
    return union_all(*(_sum(number, kind) for number, kind in enumerate(kinds)))


def _sum(number: int, kind: AccountKind) -> Select[int, int, int, int]:
    owners = _OWNERS[kind]
    nobody = literal_column("0", Integer)
    return (
        select(
            literal_column(str(number), Integer),
            owners.get("guild_id", nobody),
            owners.get("subject_id", nobody),
            func.sum(_Entry.amount),
        )
        .where(
            *(column.in_(bindparam(f"{name}_{number}", expanding=True)) for name, column in owners.items()),
            _Entry.effective_at >= bindparam(f"since_{number}"),
            _Entry.effective_at < bindparam("before"),
            *_counted(kind),
        )
        .group_by(*owners.values())
    )


def _counted(kind: AccountKind) -> Sequence[ColumnElement[bool]]:
    """A member's quota has no part in what grants pay, but a reset counts; others sum up what jobs took."""
    return [_Entry.grant_id == 0] if kind == "member" else [_Entry.kind.in_(OF_JOBS)]


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
    owned = [column == getattr(account, name) for name, column in _OWNERS[account.kind].items()]
    used = -func.sum(_Entry.amount)
    rows = await session.execute(
        select(_Entry.effective_at, used)
        .where(
            *owned,
            _Entry.effective_at >= since,
            _Entry.effective_at < (before or ALWAYS),
            *_counted(account.kind),
        )
        .group_by(_Entry.effective_at)
        .having(used != 0)
        .order_by(_Entry.effective_at)
        .limit(MOST_MOMENTS)
    )
    return [(at, int(amount)) for at, amount in rows.all()]


def grants_of(
    connection: Connection, user_ids: Iterable[int], now: datetime
) -> dict[tuple[int, int], list[Grant]]:
    """What is left of members' grants, by server and member."""
    rows = connection.execute(_GRANTS, {"users": sorted(set(user_ids)), "now": now})
    found: dict[tuple[int, int], list[Grant]] = {}
    for grant_id, guild_id, user_id, expires_at, amount in rows.all():
        found.setdefault((guild_id, user_id), []).append(
            Grant(id=grant_id, left=int(amount), expires_at=expires_at)
        )
    return found
