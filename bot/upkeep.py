"""What has to happen though nobody asks for it: late refunds, another try, expiry, and forgetting.

Runs in the bot process at the start and every few minutes. Each part may run at any time, and twice: several
bots on one database do not get into each other's way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from sqlalchemy import CursorResult, Delete, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.database.models import JobRow, RefusalRow
from bot.database.people import AppealRow, ReportedPictureRow, StrikeRow
from bot.database.safety import SafetyDecisionRow
from bot.database.session import Database
from bot.job_store import IllegalTransition, JobStore
from bot.jobs import ENDED, utc_now
from bot.ledger import expire_grants
from bot.pictures import PictureStore
from bot.quotas import CLOCKS_DIFFER
from bot.reconcile import find_discrepancies, mend
from bot.runs import Runs
from bot.safety.strikes import strike_rules
from bot.shards import Shards

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=5)
KEPT_FOR = timedelta(days=1)
"""How long pictures that Discord took nowhere wait for `/jobs` before they are refunded."""

CHUNK = 500
"""Rows deleted in one transaction: others want to write too."""


class Upkeep:
    """The chores of one bot process."""

    def __init__(
        self,
        database: Database,
        jobs: JobStore,
        pictures: PictureStore,
        *,
        pictures_dir: Path,
        retention: timedelta,
        shards: Shards | None = None,
        runs: Runs | None = None,
        also: Sequence[Callable[[], Awaitable[None]]] = (),
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._pictures = pictures
        self._pictures_dir = pictures_dir
        self._retention = retention
        self._shards = shards or Shards()
        self._runs = runs or Runs()
        self._also = also
        """Chores of other parts of the bot."""
        self._clock = clock

    async def reconcile(self) -> None:
        """At the start, before anything runs: what does not agree is mended and logged."""
        now = self._clock()
        found = await find_discrepancies(self._database, self._pictures_dir, now)
        for sentence in found.sentences():
            log.warning("found %s", sentence)
        if found.can_be_mended:
            await mend(self._database, self._pictures_dir, found, now)

    async def run_once(self) -> None:
        """All chores, each though another fails."""
        for chore in (self.refund_kept, self.expire, *self._also, self.forget_people, self.forget):
            await self._attempt(chore)

    @asynccontextmanager
    async def running(self, also: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
        """Do the chores, and `also`, every few minutes while the block runs."""
        task = asyncio.create_task(self._run(also))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self, also: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self.run_once()
            # After the refunds: another attempt would put off each of them, round after round.
            await self._attempt(also)
            await asyncio.sleep(EVERY.total_seconds())

    async def _attempt(self, chore: Callable[[], Awaitable[None]]) -> None:
        """Whatever goes wrong in one of them, the others and later rounds go on."""
        try:
            await chore()
        except Exception:
            log.exception("upkeep: %s", chore)

    async def refund_kept(self) -> None:
        """Give back what pictures cost that nobody fetched in their day.

        Those of another process's shards are left to it: the files may be where only that one finds them.
        Those that are just being delivered or handed out are left for the next round.
        """
        for job in await self._jobs.kept_since_before(self._clock() - KEPT_FOR):
            if not self._shards.own(job.origin.guild_id):
                continue
            with self._runs.holding(job.id) as is_ours, suppress(IllegalTransition):
                if is_ours:  # else the pictures are just being sent, or shown
                    await self._jobs.mark(job, "failed", error_code="undelivered")
                    await self._pictures.delete(job.images)

    async def expire(self) -> None:
        """Take what is left of grants whose time is over."""

        async def take(session: AsyncSession) -> None:
            await expire_grants(session, self._clock())

        await self._database.write(take)

    async def forget(self) -> None:
        """Delete jobs, with their prompts, refusals and decisions that are older than the host keeps them."""
        before = self._clock() - self._retention
        old_jobs = select(JobRow.id).where(JobRow.state.in_(ENDED), JobRow.created_at < before).limit(CHUNK)
        old_refusals = select(RefusalRow.id).where(RefusalRow.created_at < before).limit(CHUNK)
        await self._delete_all(delete(JobRow).where(JobRow.id.in_(old_jobs)))
        await self._delete_all(delete(RefusalRow).where(RefusalRow.id.in_(old_refusals)))
        decision = SafetyDecisionRow
        # The database refuses to delete a row before its time, and goes by a clock of its own.
        over = decision.kept_until < self._clock() - CLOCKS_DIFFER
        old_decisions = select(decision.id).where(over).limit(CHUNK)
        await self._delete_all(delete(decision).where(decision.id.in_(old_decisions)))

    async def forget_people(self) -> None:
        """Delete appeals, reports and strikes whose time is over."""
        before = self._clock() - self._retention
        appeals = select(AppealRow.decision_id).where(AppealRow.created_at < before).limit(CHUNK)
        await self._delete_all(delete(AppealRow).where(AppealRow.decision_id.in_(appeals)))
        pictures = select(ReportedPictureRow.message_id).where(
            ReportedPictureRow.created_at < before,
            or_(ReportedPictureRow.hidden_at.is_(None), ReportedPictureRow.hidden_at < before),
        )
        await self._delete_all(
            delete(ReportedPictureRow).where(ReportedPictureRow.message_id.in_(pictures.limit(CHUNK)))
        )
        counted = self._clock() - strike_rules().kept_for
        strikes = select(StrikeRow.id).where(StrikeRow.created_at < counted).limit(CHUNK)
        await self._delete_all(delete(StrikeRow).where(StrikeRow.id.in_(strikes)))

    async def _delete_all(self, statement: Delete) -> None:
        deleted = CHUNK
        while deleted == CHUNK:

            async def chunk(session: AsyncSession) -> None:
                nonlocal deleted
                result = await session.execute(statement)
                deleted = cast("CursorResult[Any]", result).rowcount

            await self._database.write(chunk)
