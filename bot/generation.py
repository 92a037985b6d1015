"""GenerationService: the life of a request, top to bottom. Read this first.

parse (the cog) → resolve → screen → reserve → submit → place, denoise, judge (the engine) → deliver → settle.
Runs in the bot process. Discord is behind `Reply`, so that the command line and the tests of the rules
use the same service.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

from bot.admin_errors import Paused
from bot.errors import (
    DatabaseUnavailable,
    EngineNotReady,
    MemberError,
    ModelUnavailable,
    NotDelivered,
    Postponed,
    ShuttingDown,
    UnexpectedError,
)
from bot.job_store import IllegalTransition, JobStore
from bot.jobs import Job, Origin, utc_now
from bot.outcomes import Outcomes
from bot.pictures import PictureStore
from bot.preset_store import PresetStore
from bot.presets import GenerationOptions, PresetBook
from bot.quotas import Asker
from bot.reply import JobProgress, Reply, Undeliverable
from bot.reservations import Reservations
from bot.runs import Runs
from bot.safety.delivery import Drawn, ReleaseDesk
from bot.safety.screening import Screening
from bot.shards import Shards
from engine.client import EngineClient, EngineClosed
from engine.protocol import (
    EngineReady,
    EngineUnavailable,
    GenerationRequest,
    ModelCard,
    Preview,
    Progress,
    TerminalEvent,
)

log = logging.getLogger(__name__)

JUST_ACCEPTED = timedelta(seconds=30)
"""How long a job may be recorded before it is run: its command is about to start it."""


class GenerationService:
    """Takes requests and brings each accepted one to its end, whatever dies on the way."""

    def __init__(
        self,
        *,
        engine: EngineClient,
        jobs: JobStore,
        reservations: Reservations,
        pictures: PictureStore,
        screening: Screening,
        desk: ReleaseDesk,
        presets: PresetBook,
        shards: Shards | None = None,
        server_presets: PresetStore,
        runs: Runs | None = None,
        rng: random.Random | None = None,
        deadline_seconds: float = 0,
    ) -> None:
        self.engine = engine
        self.presets = presets
        self.runs = runs or Runs()
        self.wrap_reply: Callable[[Job, Reply], Reply] = lambda _job, reply: reply
        """What an onlooker, such as the demo's terminal, puts around the reply of each job."""
        self.progress: dict[str, JobProgress] = {}
        """How far the jobs are that run now, by id."""
        self._jobs = jobs
        self._reservations = reservations
        self.screening = screening
        self._desk = desk
        self.outcomes = Outcomes(jobs, pictures, desk)
        self._server_presets = server_presets
        self._rng = rng or random.SystemRandom()
        self._deadline_seconds = deadline_seconds
        self._shards = shards or Shards()
        self._born = utc_now()
        self._taken_up: set[str] = set()
        self.reply_to: Callable[[Job], Reply] | None = None
        """Makes the reply of a job that an earlier process accepted; None until there is a way to answer."""
        self._kept: set[str] = set()
        """Jobs whose pictures Discord takes nowhere: not worth an attempt before the next start."""
        self.paused = False
        """Set by the host: nothing new is taken, and what was taken goes on. A restart ends it."""

    async def __aenter__(self) -> Self:
        self.runs.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.runs.drain(grace=0)

    # --- resolve ---

    async def resolve(self, options: GenerationOptions, *, guild_id: int | None = None) -> GenerationRequest:
        """Turn the member's options into a request. Costs nothing and keeps nothing.

        Raises:
            MemberError: what the member has to change, or why nothing can be drawn now.
        """
        if self.runs.draining:
            raise ShuttingDown
        if self.paused:
            raise Paused
        card = self.model_card()
        return (await self.presets_in(guild_id, options.preset)).resolve(options, card, self._rng)

    async def presets_in(self, guild_id: int | None, wanted: str | None = None) -> PresetBook:
        """The presets that can be named in a server, or in direct messages.

        Raises:
            RecordsUnavailable: what is wanted may be one of the server's, and those cannot be read.
        """
        return await self._server_presets.book(guild_id, wanted) if guild_id is not None else self.presets

    def model_card(self) -> ModelCard:
        """What the loaded model offers.

        Raises:
            EngineNotReady | ModelUnavailable: no worker has loaded it yet, or none ever will.
        """
        match self.engine.status:
            case EngineReady(model):
                return model
            case EngineUnavailable():
                raise ModelUnavailable
            case _:
                raise EngineNotReady

    # --- screen, reserve ---

    async def check(self, request: GenerationRequest, asker: Asker, interaction_id: int) -> None:
        """Find at once what `accept` would refuse, so that it can be told in private.

        Raises:
            PromptRefused: the prompt check refuses it.
            LimitReached: a limit refuses it.
            DuplicateInteraction: this interaction has its job already.
        """
        try:
            async with asyncio.timeout(1):
                await self.screening.screen(request, asker)
                await self._reservations.check(request, asker, interaction_id)
        except TimeoutError:
            # It must not cost the 3 s in which Discord wants an answer; `accept` decides.
            log.warning("the limits were not looked up in a second")
        except (SQLAlchemyError, OSError):
            log.exception("the limits could not be looked up")

    async def accept(self, request: GenerationRequest, origin: Origin) -> Job:
        """Read what is asked for, record a job and take its cost. From here on it is brought to an end, by
        the next process if not by this one. Every request comes through here, whatever it was made with.

        Raises:
            PromptRefused: the prompt check refuses it; nothing was taken.
            LimitReached: a limit refuses it; nothing was taken.
            DatabaseUnavailable: it could not be recorded; nothing will be drawn.
            DuplicateInteraction: this interaction has its job already.
        """
        try:
            screened = await self.screening.screen(request, origin.asker)
            return await self._reservations.reserve(request, origin, screened)
        except (SQLAlchemyError, OSError) as error:
            log.exception("a job could not be recorded")
            raise DatabaseUnavailable from error

    def start(self, job: Job, reply: Reply) -> None:
        """`run` a job on its own."""
        reply = self.wrap_reply(job, reply)
        self.runs.start(job.id, lambda: self.run(job, reply))

    # --- submit to deliver ---

    async def run(self, job: Job, reply: Reply) -> None:
        """Bring a job from wherever it is to its end; a cancelled run leaves it for the next start."""
        try:
            drawn = await self.outcomes.kept(job) or await self._draw(job, reply)
            delivery = await self.outcomes.begin_delivery(drawn)
            await reply.deliver(delivery)
        except MemberError as error:
            await reply.fail(error)
        except EngineClosed:
            log.info("job %s waits for the next start", job.id)
        except Undeliverable as error:
            log.warning("job %s: its pictures could not be delivered: %s", job.id, error)
            await self.outcomes.postpone(job)
            if error.permanent:
                self._kept.add(job.id)
                await reply.fail(NotDelivered())
        except IllegalTransition as error:
            log.warning("somebody else brought this job to its end: %s", error)
        except (SQLAlchemyError, OSError):
            log.exception("job %s waits until the database answers", job.id)
            await reply.fail(Postponed())
        except Exception:
            log.exception("job %s", job.id)
            ended = await self.outcomes.give_up(job, "unexpected")
            await reply.fail(UnexpectedError() if ended else Postponed())
        else:
            await self.outcomes.settle(delivery)
        finally:
            self.progress.pop(job.id, None)
            reply.close()

    async def _draw(self, job: Job, reply: Reply) -> Drawn:
        """Submit, follow, and keep the pictures; raises a MemberError where there are none."""
        if job.state == "succeeded":
            job = await self._jobs.mark(job, "queued")
        progress = JobProgress(steps=job.request.num_inference_steps)
        events = self.engine.submit(
            job.id,
            job.request,
            user=str(job.origin.user_id or ""),
            deadline_seconds=self._deadline_seconds,
            accepted=job.id in self._taken_up,
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, TerminalEvent):
                    return await self.outcomes.end(job, event, progress, self.engine.card)
                if isinstance(event, Progress) and job.state == "queued":
                    job = await self._mark_running(job)
                if isinstance(event, Preview):
                    progress = progress.showing(self._desk.preview(job, event))
                progress = self.progress[job.id] = progress.after(event)
                reply.show_progress(progress)
        raise AssertionError("a job's events end with a terminal one")

    async def _mark_running(self, job: Job) -> Job:
        """For those who look at the table; if it cannot be written, the next step tries again."""
        try:
            return await self._jobs.mark(job, "running")
        except (SQLAlchemyError, OSError):
            log.exception("the start of job %s could not be recorded", job.id)
            return job

    # --- after a restart, or an outage ---

    async def take_up(self) -> None:
        """Run what an earlier process left, and jobs whose pictures did not arrive, oldest first."""
        if self.reply_to is None or self.runs.draining:
            return
        try:
            jobs = await self._jobs.unfinished(created_before=max(self._born, utc_now() - JUST_ACCEPTED))
        except (SQLAlchemyError, OSError):
            log.exception("unfinished jobs could not be read")
            return
        for job in jobs:
            if not self._shards.own(job.origin.guild_id) or job.origin.application_id is None:
                continue  # another process's, or of the command line
            if job.id in self._kept | self.runs.job_ids or await self.outcomes.record_cancelled(job):
                continue
            self._taken_up.add(job.id)  # promised before: not refused by the engine
            self.start(job, self.reply_to(job))
