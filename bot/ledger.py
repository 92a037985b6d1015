"""The ledger: who was given what, and what each job took. Entries are only ever added.

    reserve   −cost     when a job is accepted (one entry per grant it is paid from, one for the quota)
    settle    +unused   when it was delivered, or cancelled: what it did not use comes back
    refund    +cost     when it failed, was refused or could not be delivered: all comes back
    grant     +amount   pictures that an admin gave beside the quota
    expire    −left     what was left of a grant when its time was over, or an admin took it back
    reset     +used     an admin let a member's window begin anew

A closed job that took too much is made good with a reset, and with a grant where it was paid from one; both
name the job then.

Steps 4 and 9 of a request's life. Runs inside the transactions of others: who changes a job's state changes
the ledger with it, or neither happens. Balances are sums
over the entries (`bot/balances.py`), so there is nothing to rebuild.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.balances import OF_JOBS
from bot.database.models import GrantRow, LedgerEntryRow
from bot.database.session import at_once
from bot.quotas import Asker

LEDGER_LOCK = 0x7452_694E
"""Key of PostgreSQL's advisory lock that decisions hold until they are committed."""

BOT = 0
"""The actor where nobody in particular caused an entry."""

_Entry = LedgerEntryRow

_HELD: Any = func.sum(
    case((_Entry.kind == "reserve", 1), (_Entry.kind.in_(("settle", "refund")), -1), else_=0)
)
"""Over zero where a job that was not closed has part in a group of entries."""


async def close_job(session: AsyncSession, job_id: str, *, used: int, reason: str, now: datetime) -> None:
    """Give back what a job reserved beyond `used` thousandths: all of it is a refund, else it settles.

    What came from grants comes back last to be used, so it is given back first. What was closed before, by
    hand or in a backup, stays so: the job comes to its end none the less.
    """
    found = await session.scalars(
        select(_Entry).where(_Entry.job_id == job_id, _Entry.kind.in_(OF_JOBS)).order_by(_Entry.grant_id)
    )
    of_job = found.all()
    reserved = [entry for entry in of_job if entry.kind == "reserve"]
    closed = {entry.grant_id: entry.amount for entry in of_job if entry.kind != "reserve"}
    paid = sum(-entry.amount - closed[entry.grant_id] for entry in reserved if entry.grant_id in closed)
    used = max(used - paid, 0)
    entries: list[dict[str, Any]] = []
    for entry in reserved:
        if entry.grant_id in closed:
            continue
        kept = min(used, -entry.amount)
        used -= kept
        entries.append(
            {
                "kind": "settle" if kept else "refund",
                "amount": -entry.amount - kept,
                "job_id": job_id,
                "guild_id": entry.guild_id,
                "channel_id": entry.channel_id,
                "user_id": entry.user_id,
                "grant_id": entry.grant_id,
                "actor_id": BOT,
                "reason": reason,
                "created_at": now,
                "effective_at": entry.effective_at,
            }
        )
    if entries:
        await session.execute(insert(_Entry), entries)


async def make_good(session: AsyncSession, job_id: str, *, amount: int, now: datetime) -> None:
    """Give back thousandths that a closed job took too much, to those who paid: grants first.

    An account is closed once; so this is no second refund, and the limits of channels, servers and the host,
    which count what jobs took, know nothing of it.
    """
    paid = await session.execute(
        select(
            _Entry.guild_id, _Entry.channel_id, _Entry.user_id, _Entry.grant_id, _Entry.effective_at,
            -func.sum(_Entry.amount),
        )
        .where(_Entry.job_id == job_id)
        .group_by(
            _Entry.guild_id, _Entry.channel_id, _Entry.user_id, _Entry.grant_id, _Entry.effective_at
        )
        .order_by(_Entry.grant_id.desc())
    )  # fmt: skip
    for guild_id, channel_id, user_id, grant_id, effective_at, taken in paid.all():
        back = min(max(int(taken), 0), amount)
        amount -= back
        if back:
            kind = "grant" if grant_id else "reset"
            entry = _own_entry(kind, back, guild_id, user_id, grant_id, BOT, "reconciled", now)
            entry.job_id, entry.channel_id, entry.effective_at = job_id, channel_id, effective_at
            session.add(entry)


def reserve_entries(
    job_id: str, asker: Asker, parts: dict[int, int], reason: str, now: datetime
) -> list[dict[str, Any]]:
    """The rows that a job's reservation adds."""
    return [
        {
            "kind": "reserve",
            "amount": -amount,
            "job_id": job_id,
            "guild_id": asker.guild_id,
            "channel_id": asker.channel_id,
            "user_id": asker.user_id,
            "grant_id": grant_id,
            "actor_id": asker.user_id,
            "reason": reason,
            "created_at": now,
            "effective_at": now,
        }
        for grant_id, amount in parts.items()
    ]


async def give(
    session: AsyncSession,
    *,
    guild_id: int,
    user_id: int,
    amount: int,
    expires_at: datetime | None,
    actor_id: int,
    reason: str,
    now: datetime,
) -> None:
    """Grant thousandths of pictures beside the quota."""
    grant = GrantRow(guild_id=guild_id, user_id=user_id, expires_at=expires_at)
    session.add(grant)
    await session.flush()
    session.add(_own_entry("grant", amount, guild_id, user_id, grant.id, actor_id, reason, now))


async def reset_window(
    session: AsyncSession,
    *,
    guild_id: int,
    user_id: int,
    since: datetime,
    actor_id: int,
    reason: str,
    now: datetime,
) -> int:
    """Give a member back what the window since `since` has used; returns how much.

    What comes back counts when it was used: a window that rolls leaves both behind together. What jobs that
    go on have reserved is left out: it may still come back by itself.
    """
    taken = await _taken_and_held(session, guild_id, user_id, since)
    used = owed = max(sum(amount - held for _, amount, held in taken), 0)
    for effective_at, amount, held in taken:
        back = min(max(amount - held, 0), owed)
        owed -= back
        if back:
            entry = _own_entry("reset", back, guild_id, user_id, 0, actor_id, reason, now)
            entry.effective_at = effective_at
            session.add(entry)
    return used


async def _taken_and_held(
    session: AsyncSession, guild_id: int, user_id: int, since: datetime
) -> list[tuple[datetime, int, int]]:
    """What was taken of a member's quota, and what of that jobs hold that were not closed, by the time that
    it counts at, newest first.

    One statement, thus one state of the ledger: who closes a job does not wait for the ledger's lock, and on
    PostgreSQL each statement sees what was committed before it. Of a job that fails between two of them, the
    sum would be without what it took while it is still said to hold that.
    """
    jobs = (
        select(
            _Entry.effective_at, _Entry.job_id, func.sum(_Entry.amount).label("amount"), _HELD.label("held")
        )
        .where(
            _Entry.user_id == user_id,
            _Entry.guild_id == guild_id,
            _Entry.grant_id == 0,
            _Entry.effective_at >= since,
        )
        .group_by(_Entry.effective_at, _Entry.job_id)
        .subquery()
    )
    held = func.sum(case((jobs.c.held > 0, jobs.c.amount), else_=0))
    rows = await session.execute(
        select(jobs.c.effective_at, func.sum(jobs.c.amount), held)
        .group_by(jobs.c.effective_at)
        .order_by(jobs.c.effective_at.desc())
    )
    return [(effective_at, -int(amount), -int(of_jobs)) for effective_at, amount, of_jobs in rows.all()]


def lock_ledger(connection: Connection) -> None:
    """Until the transaction ends nobody else decides what may be taken. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LEDGER_LOCK)))


async def expire_grants(session: AsyncSession, now: datetime) -> None:
    """Take what is left of grants whose time is over; what comes back later is taken the next time."""
    await at_once(session, lock_ledger)
    left = func.sum(_Entry.amount)
    rows = await session.execute(
        select(GrantRow.id, GrantRow.guild_id, GrantRow.user_id, left)
        .join(_Entry, _Entry.grant_id == GrantRow.id)
        .where(GrantRow.expires_at <= now)
        .group_by(GrantRow.id, GrantRow.guild_id, GrantRow.user_id)
        .having(left > 0)
    )
    for grant_id, guild_id, user_id, amount in rows.all():
        session.add(_own_entry("expire", -int(amount), guild_id, user_id, grant_id, BOT, "expired", now))


async def take_back(
    session: AsyncSession, *, guild_id: int, user_id: int, actor_id: int, reason: str, now: datetime
) -> tuple[int, int]:
    """End a member's grants; returns how many they were, and how much was left of them.

    What a job that goes on has taken of them, and gives back later, ends with them. Grants that are used up
    are none any more.
    """
    left = func.sum(_Entry.amount)
    rows = await session.execute(
        select(GrantRow, left)
        .join(_Entry, _Entry.grant_id == GrantRow.id)
        .where(
            GrantRow.guild_id == guild_id,
            GrantRow.user_id == user_id,
            (GrantRow.expires_at.is_(None)) | (GrantRow.expires_at > now),
        )
        .group_by(GrantRow.id)
        .having(or_(left > 0, _HELD > 0))
    )
    count = taken = 0
    for grant, amount in rows.all():
        grant.expires_at = now
        count += 1
        if amount > 0:
            taken += int(amount)
            session.add(
                _own_entry("expire", -int(amount), guild_id, user_id, grant.id, actor_id, reason, now)
            )
    return count, taken


def _own_entry(
    kind: str,
    amount: int,
    guild_id: int,
    user_id: int,
    grant_id: int,
    actor_id: int,
    reason: str,
    now: datetime,
) -> LedgerEntryRow:
    """An entry that belongs to no job."""
    return LedgerEntryRow(
        kind=kind,
        amount=amount,
        guild_id=guild_id,
        channel_id=0,
        user_id=user_id,
        grant_id=grant_id,
        actor_id=actor_id,
        reason=reason,
        created_at=now,
        effective_at=now,
    )
