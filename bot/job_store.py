"""Durable jobs: what was accepted is on disk before the engine hears of it, and so is how it ended.

A job begins in `bot/reservations.py`; all that comes after is here. Whatever ends it closes its account in
the ledger in the same transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from bot.database.models import GuildSettingsRow, ImageRow, JobRow
from bot.database.safety import SafetyDecisionRow
from bot.database.session import Database
from bot.errors import TrinArtError
from bot.jobs import BEFORE, ENDED, TIMES, UNENDED, Job, JobState, StoredImage, to_job, utc_now
from bot.ledger import close_job
from bot.quotas import CLOCKS_DIFFER
from bot.safety.decided import facts_of, latest_decisions, subject_of
from engine.protocol import ModelCard

log = logging.getLogger(__name__)


class IllegalTransition(TrinArtError):
    """A job was not in a state from which the wanted one can be entered."""


class JobStore:
    """The jobs of one database."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    async def mark(
        self, job: Job, state: JobState, *, error_code: str | None = None, used: int | None = None
    ) -> Job:
        """Enter a state. An ended job forgets its interaction's token, and its account is closed.

        Args:
            used: thousandths of a picture that a cancelled job pays for, or a delivered one of whose
                pictures some were withheld.

        Raises:
            IllegalTransition: the job is not where it was thought to be.
        """
        now = self._clock()
        values: dict[str, object] = {"state": state, "error_code": error_code}
        if state in ENDED:
            values["interaction_token"] = None
        if state in TIMES:
            values[TIMES[state]] = now
        paid = {"delivered": job.cost if used is None else used, "cancelled": used or 0}.get(state, 0)

        async def change(session: AsyncSession) -> None:
            changed = await session.execute(
                update(JobRow)
                .where(JobRow.id == job.id, JobRow.state.in_(BEFORE[state]))
                .values(**values)
                .returning(JobRow.id)
            )
            if changed.one_or_none() is None:
                raise IllegalTransition(f"job {job.id} cannot become {state}")
            if state in ENDED:
                await close_job(session, job.id, used=paid, reason=error_code or state, now=now)

        await self._database.write(change)
        return replace(job, state=state)

    async def succeed(
        self,
        job: Job,
        images: Sequence[StoredImage],
        *,
        seconds: float,
        card: ModelCard,
        decisions: Sequence[SafetyDecisionRow] = (),
    ) -> Job:
        """Record the pictures, and why some are withheld, and enter `succeeded`, in one transaction."""

        async def record(session: AsyncSession) -> None:
            row = await session.get_one(JobRow, job.id, options=[selectinload(JobRow.images)])
            if row.state not in BEFORE["succeeded"]:
                raise IllegalTransition(f"job {job.id} is {row.state}, it cannot become succeeded")
            row.state = "succeeded"
            row.finished_at = self._clock()
            row.seconds = seconds
            row.model = msgspec.to_builtins(card)
            row.images = [
                ImageRow(
                    position=position,
                    seed=image.seed,
                    width=image.width,
                    height=image.height,
                    sha256=image.sha256,
                    file_name=image.file_name,
                    verdict=msgspec.to_builtins(image.verdict),
                    is_withheld=image.is_withheld,
                )
                for position, image in enumerate(images)
            ]
            session.add_all(decisions)

        await self._database.write(record)
        return replace(job, state="succeeded", images=tuple(images), seconds=seconds, card=card)

    async def record_decisions(
        self, job: Job, decisions: Sequence[SafetyDecisionRow], withheld: Collection[int]
    ) -> Job:
        """Write decisions on a job's pictures down, and which of them are withheld for good.

        What was decided on a picture for a place in just this way the last time is no further decision: a
        delivery is tried for as long as a day.
        """

        async def record(session: AsyncSession) -> None:
            known = await latest_decisions(session, job.id)
            session.add_all(row for row in decisions if known.get(subject_of(row)) != facts_of(row))
            await session.execute(
                update(ImageRow)
                .where(ImageRow.job_id == job.id, ImageRow.position.in_(withheld))
                .values(is_withheld=True)
            )

        await self._database.write(record)
        images = (
            replace(image, is_withheld=image.is_withheld or position in withheld)
            for position, image in enumerate(job.images)
        )
        return replace(job, images=tuple(images))

    async def begin_delivery(self, job: Job) -> Job:
        """Write down that the first attempt begins, and in which channel the server's admins want to see it.

        Later attempts keep to that channel: only there can be looked whether an earlier one arrived.
        """
        if job.delivery_begun_at is not None:
            return job
        now = self._clock()

        async def begin(session: AsyncSession) -> int | None:
            guild_id = job.origin.guild_id
            settings = await session.get(GuildSettingsRow, guild_id) if guild_id is not None else None
            channel_id = settings.result_channel_id if settings is not None else None
            values = {"delivery_begun_at": now, "delivery_channel_id": channel_id}
            await session.execute(update(JobRow).where(JobRow.id == job.id).values(values))
            return channel_id

        channel_id = await self._database.write(begin)
        return replace(job, delivery_begun_at=now, delivery_channel_id=channel_id)

    async def note_undelivered(self, job: Job) -> Job:
        """Write down when Discord first took the pictures nowhere."""
        if job.undelivered_at is not None:
            return job
        now = self._clock()

        async def note(session: AsyncSession) -> None:
            await session.execute(update(JobRow).where(JobRow.id == job.id).values(undelivered_at=now))

        await self._database.write(note)
        return replace(job, undelivered_at=now)

    async def get(self, job_id: str) -> Job | None:
        """A job by its id, if it is there and can be read."""
        async with self._database.session() as session:
            row = await session.get(JobRow, job_id, options=[selectinload(JobRow.images)])
            return _readable(row) if row is not None else None

    async def unfinished(self, *, created_before: datetime | None = None) -> list[Job]:
        """Jobs that were accepted and neither delivered nor ended otherwise, oldest first.

        What a clock wrote that was ahead must not wait until the time that it showed.
        """
        now = self._clock()
        is_old = JobRow.created_at <= (created_before or now)
        is_of_wrong_clock = JobRow.created_at > now + CLOCKS_DIFFER
        return await self._select(JobRow.state.in_(UNENDED), is_old | is_of_wrong_clock)

    async def kept_since_before(self, moment: datetime) -> list[Job]:
        """Jobs whose pictures Discord has not taken since before that moment."""
        return await self._select(JobRow.state == "succeeded", JobRow.undelivered_at < moment)

    async def _select(self, *conditions: ColumnElement[bool]) -> list[Job]:
        async with self._database.session() as session:
            rows = await session.scalars(
                select(JobRow)
                .where(*conditions)
                .order_by(JobRow.created_at)
                .options(selectinload(JobRow.images))
            )
            jobs = [(row.id, _readable(row)) for row in rows]
        for job_id in [job_id for job_id, job in jobs if job is None]:
            await self._fail_unreadable(job_id)
        return [job for _, job in jobs if job is not None]

    async def _fail_unreadable(self, job_id: str) -> None:
        """A job that this version cannot read, after a downgrade for example, ends and is refunded."""
        now = self._clock()

        async def end(session: AsyncSession) -> None:
            await session.execute(
                update(JobRow)
                .where(JobRow.id == job_id, JobRow.state.in_(UNENDED))
                .values(state="failed", error_code="unreadable", finished_at=now, interaction_token=None)
            )
            await close_job(session, job_id, used=0, reason="unreadable", now=now)

        await self._database.write(end)


def _readable(row: JobRow) -> Job | None:
    try:
        return to_job(row)
    except ValueError:
        # Not what is wrong with it: that would quote it.
        log.error("job %s cannot be read", row.id)
        return None
