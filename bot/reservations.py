"""Step 4 of a request's life, reserve: the one door through which every request goes, whatever asked for it.

The job's row and its debit are one transaction, in which nobody else decides: SQLite lets in one writer at a
time, on PostgreSQL a lock does. Requests that arrive meanwhile share the next transaction: many can be
decided in a second although each has to reach the disk.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.books import read_books
from bot.database.models import JobRow, LedgerEntryRow, RateBucketRow, RefusalRow
from bot.database.session import Database, at_once
from bot.errors import LimitReached
from bot.jobs import DuplicateInteraction, Job, Origin, to_row, utc_now
from bot.ledger import lock_ledger, reserve_entries
from bot.limits import Books, Charge, Left, decide, least_left
from bot.quotas import Asker, HostRules, cost_of, limits_of
from bot.rolling import with_time
from bot.safety.screening import Screened
from engine.protocol import GenerationRequest

log = logging.getLogger(__name__)

LARGEST_GROUP = 200
"""Requests decided in one transaction: enough to pay for the disk, few enough to be quick."""

_KNOWN: Any = select(JobRow.interaction_id).where(JobRow.interaction_id.in_(bindparam("ids", expanding=True)))
_CHANGE_BUCKET = (
    update(RateBucketRow)
    .where(
        RateBucketRow.guild_id == bindparam("at_guild_id"), RateBucketRow.user_id == bindparam("at_user_id")
    )
    .values(full_at=bindparam("at_full_at"))
)


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """A request that waits to be decided, and who waits for it."""

    job: Job
    asker: Asker | None
    decided: asyncio.Future[Left | None]


class Reservations:
    """Accepts requests, or says which limit refuses them."""

    def __init__(
        self, database: Database, host: HostRules | None = None, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.host = host or HostRules()
        self._database = database
        self._clock = clock
        self._wishes: list[_Wish] = []
        self._deciding: asyncio.Task[None] | None = None
        self._notes: set[asyncio.Task[None]] = set()

    async def check(self, request: GenerationRequest, asker: Asker, interaction_id: int) -> None:
        """Refuse what `reserve` would refuse, before anybody else sees that something was asked.

        Raises:
            LimitReached | DuplicateInteraction: as `reserve` does.
            SQLAlchemyError | OSError: nothing is known.
        """
        now = self._clock()
        async with self._database.session() as session:
            if await session.scalar(select(JobRow.id).where(JobRow.interaction_id == interaction_id)):
                raise DuplicateInteraction(str(interaction_id))
            books = await at_once(session, read_books, [asker], self.host, now)
        try:
            decide(asker, cost_of(request), books, self.host, now)
        except LimitReached as error:
            # Not waited for: a database that is busy must not keep Discord from its answer.
            self._note(_refusal_row(asker, error, now))
            raise await self._say_when(error, asker) from None

    def _note(self, row: dict[str, Any]) -> None:
        async def write() -> None:
            async def add(session: AsyncSession) -> None:
                await session.execute(insert(RefusalRow), [row])

            try:
                await self._database.write(add)
            except (SQLAlchemyError, OSError):
                log.exception("a refusal could not be recorded")

        task = asyncio.create_task(write())
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def settled(self) -> None:
        """Wait until all refusals are recorded."""
        await asyncio.gather(*self._notes)

    async def reserve(
        self, request: GenerationRequest, origin: Origin, screened: Screened | None = None
    ) -> Job:
        """Record a job and take its cost; from here on it is brought to an end.

        The pictures of a request that nobody `screened` are held to the strictest threshold.

        Raises:
            LimitReached: a limit refuses it; nothing was taken.
            DuplicateInteraction: this interaction has its job already.
            SQLAlchemyError | OSError: nothing could be recorded, and nothing was taken.
        """
        job = Job(
            id=uuid.uuid4().hex,
            request=request,
            origin=origin,
            state="queued",
            cost=cost_of(request),
            created_at=self._clock(),
        )
        if screened is not None:
            is_strict = screened.verdict.decision != "allow"
            reasons = screened.verdict.reasons
            job = replace(job, level=screened.level, is_strict=is_strict, prompt_reasons=reasons)
        decided = asyncio.get_running_loop().create_future()
        self._wishes.append(_Wish(job=job, asker=origin.asker, decided=decided))
        if self._deciding is None:
            self._deciding = asyncio.create_task(self._decide_all())
        try:
            # Decided to the end even if the caller is cancelled: the job may be on disk already.
            left = await asyncio.shield(decided)
        except LimitReached as error:
            assert origin.asker is not None, "the command line meets no limits"
            raise await self._say_when(error, origin.asker) from None
        return replace(job, left=left)

    async def _say_when(self, error: LimitReached, asker: Asker) -> LimitReached:
        """Look up when a window that rolls has room again; a refusal never fails for want of that."""
        try:
            async with self._database.session() as session:
                return await with_time(session, error, asker, self._clock())
        except (SQLAlchemyError, OSError):
            log.exception("when to try again could not be read")
            return error

    async def _decide_all(self) -> None:
        try:
            while self._wishes:
                group, self._wishes = self._wishes[:LARGEST_GROUP], self._wishes[LARGEST_GROUP:]
                await self._decide_group(group)
        finally:
            self._deciding = None

    async def _decide_group(self, group: Sequence[_Wish]) -> None:
        outcomes: list[Exception | Left | None] = []

        try:
            outcomes[:] = await self._database.write_at_once(
                lambda connection: self._decide(connection, group)
            )
        except Exception as error:  # whatever it is, each of those who wait is told
            outcomes[:] = [error] * len(group)
        for wish, outcome in zip(group, outcomes, strict=True):
            if wish.decided.done():
                continue
            if isinstance(outcome, Exception):
                wish.decided.set_exception(outcome)
            else:
                wish.decided.set_result(outcome)

    def _decide(self, connection: Connection, group: Sequence[_Wish]) -> list[Exception | Left | None]:
        lock_ledger(connection)
        # Not before the lock is held: a decision must not be older than what it is based on.
        now = self._clock()
        books = read_books(connection, [wish.asker for wish in group if wish.asker], self.host, now)
        known = _known_interactions(connection, group)
        existing = set(books.buckets)
        rows = _Rows()
        outcomes: list[Exception | Left | None] = []
        for wish in group:
            interaction = wish.job.origin.interaction_id
            if interaction is not None and interaction in known:
                outcomes.append(DuplicateInteraction(str(interaction)))
                continue
            try:
                charge, left = self._charge(wish, books, now)
            except LimitReached as error:
                rows.refuse(wish, error, now)
                outcomes.append(error)
                continue
            if interaction is not None:
                known.add(interaction)
            rows.accept(wish, charge, now)
            outcomes.append(left)
        rows.write(connection, existing)
        return outcomes

    def _charge(self, wish: _Wish, books: Books, now: datetime) -> tuple[Charge | None, Left | None]:
        """What the request takes, and what is left then."""
        if wish.asker is None:
            return None, None
        charge = decide(wish.asker, wish.job.cost, books, self.host, now)
        limits = limits_of(wish.asker, books.rules_of(wish.asker.guild_id), self.host)
        books.take(wish.asker, charge, limits, now)
        return charge, least_left(wish.asker, books, limits, now)


class _Rows:
    """What a group's decisions add to the tables, collected so that each table is written once."""

    def __init__(self) -> None:
        self._jobs: list[dict[str, Any]] = []
        self._entries: list[dict[str, Any]] = []
        self._refusals: list[dict[str, Any]] = []
        self._buckets: dict[tuple[int, int], datetime] = {}

    def accept(self, wish: _Wish, charge: Charge | None, now: datetime) -> None:
        self._jobs.append(to_row(wish.job))
        if charge is not None and wish.asker is not None:
            self._entries += reserve_entries(wish.job.id, wish.asker, charge.parts, "a picture", now)
            self._buckets.update(charge.buckets)

    def refuse(self, wish: _Wish, error: LimitReached, now: datetime) -> None:
        assert wish.asker is not None
        self._refusals.append(_refusal_row(wish.asker, error, now))

    def write(self, connection: Connection, existing: set[tuple[int, int]]) -> None:
        for model, rows in (
            (JobRow, self._jobs),
            (LedgerEntryRow, self._entries),
            (RefusalRow, self._refusals),
        ):
            if rows:
                connection.execute(insert(model), rows)
        new = [_bucket(key, at) for key, at in self._buckets.items() if key not in existing]
        changed = [_bucket(key, at) for key, at in self._buckets.items() if key in existing]
        if new:
            connection.execute(insert(RateBucketRow), new)
        if changed:
            connection.execute(
                _CHANGE_BUCKET, [{f"at_{key}": value for key, value in row.items()} for row in changed]
            )


def _refusal_row(asker: Asker, error: LimitReached, now: datetime) -> dict[str, Any]:
    return {
        "created_at": now,
        "guild_id": asker.guild_id,
        "user_id": asker.user_id,
        "code": error.code,
    }


def _bucket(key: tuple[int, int], full_at: datetime) -> dict[str, Any]:
    return {"guild_id": key[0], "user_id": key[1], "full_at": full_at}


def _known_interactions(connection: Connection, group: Sequence[_Wish]) -> set[int]:
    """Those of the group that have a job already, from another delivery or another process."""
    ids = [wish.job.origin.interaction_id for wish in group if wish.job.origin.interaction_id is not None]
    found = connection.scalars(_KNOWN, {"ids": ids})
    return {interaction for interaction in found if interaction is not None}
