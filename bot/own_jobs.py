"""What members do with jobs of their own: stop one that goes on, fetch pictures that did not arrive.

`bot/history.py` lists them. A job is in the process that serves its server; no other can stop it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sqlalchemy.exc import SQLAlchemyError

from bot.errors import ElsewhereJob, JobAlreadyEnded, JobNotFound, NotYourJob, OnItsWay
from bot.generation import GenerationService
from bot.job_store import IllegalTransition, JobStore
from bot.jobs import ENDED, Job
from bot.safety.delivery import PendingDelivery
from bot.shards import Shards

log = logging.getLogger(__name__)


class OwnJobs:
    """The service behind the buttons Cancel and Show."""

    def __init__(self, service: GenerationService, jobs: JobStore, shards: Shards) -> None:
        self._service = service
        self._jobs = jobs
        self._shards = shards

    @asynccontextmanager
    async def fetching(self, job_id: str, user_id: int) -> AsyncGenerator[PendingDelivery]:
        """Pictures that could not be delivered, for the member who asked for them; settled when they have
        arrived, which is when the block ends. Nobody else delivers or refunds them meanwhile.

        Raises:
            NotYourJob | JobAlreadyEnded | JobNotFound: there is nothing to fetch, or for somebody else.
            OnItsWay: the bot is just delivering it, and it would arrive twice.
            PicturesWithheld: none of them may be shown.
        """
        runs = self._service.runs
        # Held before it is looked up: what was found stays so.
        with runs.taking(), runs.holding(job_id) as is_ours:
            job = await self._find(job_id, user_id)
            if not is_ours:
                raise OnItsWay
            drawn = await self._service.outcomes.kept(job)
            if drawn is None:
                raise JobNotFound
            delivery = self._service.outcomes.pending(drawn)
            yield delivery
            await self._service.outcomes.settle(delivery)

    async def cancel(self, job_id: str, user_id: int) -> None:
        """Stop a job for the member who asked for it; its run then ends with `GenerationCancelled`.

        Raises:
            NotYourJob | JobAlreadyEnded: it cannot be cancelled by this member, or any more.
            JobNotFound: the database cannot say whose it is.
        """
        job = await self._find(job_id, user_id)
        if job.state == "succeeded":
            raise JobAlreadyEnded
        if not self._service.engine.cancel(job_id) and job_id not in self._service.runs.job_ids:
            await self._end(job)  # nobody has begun it

    async def _end(self, job: Job) -> None:
        try:
            await self._jobs.mark(job, "cancelled", used=0)
        except IllegalTransition as error:
            raise JobAlreadyEnded from error
        except (SQLAlchemyError, OSError) as error:
            log.exception("job %s could not be cancelled", job.id)
            raise JobNotFound from error

    async def _find(self, job_id: str, user_id: int) -> Job:
        """A member's own job that has not ended."""
        try:
            job = await self._jobs.get(job_id)
        except (SQLAlchemyError, OSError) as error:
            log.exception("job %s could not be looked up", job_id)
            raise JobNotFound from error
        if job is None or job.state in ENDED:
            raise JobAlreadyEnded
        if job.origin.user_id != user_id:
            raise NotYourJob
        if not self._shards.own(job.origin.guild_id):
            raise ElsewhereJob
        return job
