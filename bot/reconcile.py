"""Do jobs, ledger and files agree? Asked at every start, and by `trinart doctor`, which mends with `--fix`.

They are written together, in one transaction or in an order that a crash cannot turn into a loss; so what is
found here was done by somebody else: a restored backup, a hand in the tables, a disk that lied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.balances import OF_JOBS
from bot.database.models import ImageRow, JobRow, LedgerEntryRow
from bot.database.session import Database, at_once
from bot.jobs import ENDED
from bot.ledger import close_job, lock_ledger, make_good
from bot.quotas import cost_of_steps

LOOK_BACK = timedelta(days=93)
"""Longer than any window of a quota: what is older changes no allowance."""

CLOSINGS = ("settle", "refund")

NOT_DRAWN = ("queued", "running")


@dataclass(frozen=True, kw_only=True)
class Discrepancies:
    """What does not agree, by the ids of jobs, and the names of files that no job knows."""

    not_closed: tuple[str, ...] = ()
    """Ended, but their account is open: settled if delivered, else refunded."""
    orphaned: tuple[str, ...] = ()
    """Reserved for a job that does not exist: refunded."""
    closed_alive: tuple[str, ...] = ()
    """Their account was closed though they were not drawn: they end, and cost nothing. What was drawn is no
    such job: it is delivered, for what was paid."""
    overpaid: tuple[str, ...] = ()
    """Ended, and took more than their state says: it comes back to the member."""
    underpaid: tuple[str, ...] = ()
    """Ended, and took less than their state says. That is left to the member."""
    stray_files: tuple[str, ...] = ()
    """Deleted."""

    def __bool__(self) -> bool:
        return self.can_be_mended or bool(self.underpaid)

    @property
    def can_be_mended(self) -> bool:
        """Whether there is anything that is not left as it is."""
        return any((self.not_closed, self.orphaned, self.closed_alive, self.overpaid, self.stray_files))

    def sentences(self) -> list[str]:
        """One for each kind that was found."""
        kinds = {
            "ended jobs whose account is open": self.not_closed,
            "reservations of jobs that do not exist": self.orphaned,
            "jobs to be drawn whose account is closed": self.closed_alive,
            "ended jobs that took too much": self.overpaid,
            "ended jobs that took too little, which is left to their members": self.underpaid,
            "files that belong to no job": self.stray_files,
        }
        return [
            f"{kind}: {len(found)} ({', '.join(found[:3])}{', …' if len(found) > 3 else ''})"
            for kind, found in kinds.items()
            if found
        ]


async def find_discrepancies(database: Database, pictures_dir: Path, now: datetime) -> Discrepancies:
    """Compare jobs, ledger and files; changes nothing."""
    since = now - LOOK_BACK
    async with database.session() as session:

        async def ids(query: Select[Any, *tuple[Any, ...]]) -> tuple[str, ...]:
            return tuple(await session.scalars(query))

        return Discrepancies(
            not_closed=await ids(_not_closed(since)),
            orphaned=await ids(_orphaned(since)),
            closed_alive=await ids(_closed_alive(since)),
            overpaid=await ids(_overpaid(since)),
            underpaid=await ids(_underpaid(since)),
            stray_files=tuple(await _stray_files(session, pictures_dir)),
        )


async def mend(database: Database, pictures_dir: Path, found: Discrepancies, now: datetime) -> None:
    """Make jobs, ledger and files agree again, in favour of the members."""

    async def close(session: AsyncSession) -> None:
        # Two bots that start together must not both make the same job good.
        await at_once(session, lock_ledger)
        if found.closed_alive:
            await session.execute(
                update(JobRow)
                .where(JobRow.id.in_(found.closed_alive), JobRow.state.in_(NOT_DRAWN))
                .values(state="failed", error_code="reconciled", finished_at=now, interaction_token=None)
            )
        for job_id in [*found.not_closed, *found.orphaned]:
            job = await session.get(JobRow, job_id)
            is_paid = job is not None and job.state == "delivered"
            used = await _paid_share(session, job) if is_paid and job is not None else 0
            await close_job(session, job_id, used=used, reason="reconciled", now=now)
        # Asked for again: a job that just ended may be one of them, and another bot may have been here.
        overpaid = await session.execute(_overpaid(now - LOOK_BACK))
        for job_id, too_much in overpaid.all():
            await make_good(session, job_id, amount=int(too_much), now=now)

    await database.write(close)
    async with database.session() as session:
        stray = await _stray_files(session, pictures_dir)
    for name in stray:
        (pictures_dir / name).unlink(missing_ok=True)


async def _paid_share(session: AsyncSession, job: JobRow) -> int:
    """What a delivered job pays: nothing for pictures that were withheld."""
    flags = list(await session.scalars(select(ImageRow.is_withheld).where(ImageRow.job_id == job.id)))
    return cost_of_steps(job.cost, flags.count(False), len(flags))


def _open_reserve(since: datetime) -> Select[str | None]:
    """Job ids of reservations that nothing closes; one pass over the ledger, whatever indexes there are."""
    entry = LedgerEntryRow
    closings = func.sum(case((entry.kind.in_(CLOSINGS), 1), else_=0))
    return (
        select(entry.job_id)
        .where(entry.kind.in_(OF_JOBS), entry.effective_at >= since)
        .group_by(entry.job_id, entry.grant_id)
        .having(closings == 0)
    )


def _not_closed(since: datetime) -> Select[str]:
    return select(JobRow.id).where(JobRow.state.in_(ENDED), JobRow.id.in_(_open_reserve(since)))


def _orphaned(since: datetime) -> Select[str]:
    open_reserve = _open_reserve(since).distinct().subquery()
    return select(open_reserve.c.job_id).where(~exists().where(JobRow.id == open_reserve.c.job_id))


def _closed_alive(since: datetime) -> Select[str]:
    closings = select(LedgerEntryRow.job_id).where(
        LedgerEntryRow.kind.in_(CLOSINGS), LedgerEntryRow.effective_at >= since
    )
    return select(JobRow.id).where(JobRow.state.in_(NOT_DRAWN), JobRow.id.in_(closings))


def _overpaid(since: datetime) -> Select[str, int]:
    """Failed and refused jobs take nothing, others at most their cost; and how much was taken beyond that."""
    most = case((JobRow.state.in_(("failed", "refused")), 0), else_=JobRow.cost)
    return _ended_having(since, lambda taken: taken - most)


def _underpaid(since: datetime) -> Select[str, int]:
    """Delivered jobs take their cost, unless pictures were withheld; no job takes less than nothing."""
    has_withheld = exists().where(ImageRow.job_id == JobRow.id, ImageRow.is_withheld)
    least = case((and_(JobRow.state == "delivered", ~has_withheld), JobRow.cost), else_=0)
    return _ended_having(since, lambda taken: least - taken)


def _ended_having(
    since: datetime, wrong_by: Callable[[ColumnElement[int]], ColumnElement[int]]
) -> Select[str, int]:
    """Ended jobs whose account is closed, and by how much what they took is wrong, if it is over zero."""
    sums = (
        select(LedgerEntryRow.job_id, (-func.sum(LedgerEntryRow.amount)).label("taken"))
        .where(LedgerEntryRow.job_id.is_not(None), LedgerEntryRow.effective_at >= since)
        .group_by(LedgerEntryRow.job_id)
        .subquery()
    )
    wrong = wrong_by(sums.c.taken)
    return (
        select(JobRow.id, wrong)
        .join(sums, sums.c.job_id == JobRow.id)
        .where(JobRow.state.in_(ENDED), wrong > 0, JobRow.id.not_in(_open_reserve(since)))
    )


async def _stray_files(session: AsyncSession, pictures_dir: Path) -> list[str]:
    """Files whose job has ended or never was; a file's name begins with the id of its job."""
    if not pictures_dir.is_dir():
        return []
    names = sorted(path.name for path in pictures_dir.iterdir() if path.is_file())
    jobs = {name.partition("-")[0] for name in names}
    live = await session.scalars(select(JobRow.id).where(JobRow.id.in_(jobs), JobRow.state.not_in(ENDED)))
    known = set(live)
    return [name for name in names if name.partition("-")[0] not in known]
