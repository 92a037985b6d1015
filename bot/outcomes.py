"""What a run leaves behind: rows and files that belong together, in the order that survives a crash."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from bot.errors import (
    DeadlineNotMet,
    GenerationFailed,
    MemberError,
    ModelUnavailable,
    PictureNotKept,
    QueueFull,
    cancelled,
)
from bot.job_store import IllegalTransition, JobStore
from bot.jobs import Job
from bot.pictures import PictureStore
from bot.quotas import cost_of_steps
from bot.reply import JobProgress, Undeliverable
from bot.safety.delivery import Drawn, PendingDelivery, ReleaseDesk
from bot.safety.refusals import PicturesUnchecked
from engine.protocol import Cancelled, Failed, FailureCode, Finished, Image, ModelCard, TerminalEvent

log = logging.getLogger(__name__)


class Outcomes:
    """Pictures on disk and the states of their jobs."""

    def __init__(self, jobs: JobStore, pictures: PictureStore, desk: ReleaseDesk) -> None:
        self._jobs = jobs
        self._pictures = pictures
        self._desk = desk
        self.checked: Callable[[str], None] = lambda _problem: None
        """Hears of each job that was drawn: why its pictures could not be checked, or an empty text."""
        self._cancelled: dict[str, int] = {}
        """Jobs that were cancelled though this could not be recorded yet, and what they pay."""

    async def end(
        self, job: Job, event: TerminalEvent, progress: JobProgress, card: ModelCard | None
    ) -> Drawn:
        """What the engine made of a job, recorded.

        Raises:
            MemberError: there are no pictures, and why.
            SQLAlchemyError | OSError: it could not be recorded; the job goes on later.
        """
        match event:
            case Finished(_, images, seconds):
                assert card is not None, "a worker was ready, or it could not have finished"
                self.checked("")
                return await self.keep(job, images, seconds=seconds, card=card)
            case Failed(_, "queue_full" | "deadline" as code, detail):
                log.warning("job %s was refused: %s: %s", job.id, code, detail)
                await self._jobs.mark(job, "refused", error_code=code)
                raise QueueFull if code == "queue_full" else DeadlineNotMet
            case Failed(_, code, detail):
                log.error("job %s failed: %s: %s", job.id, code, detail)
                if code == "check_failed":
                    self.checked(detail)
                await self._jobs.mark(job, "failed", error_code=code)
                raise _failure(code, job)
            case Cancelled():
                paid = cost_of_steps(job.cost, progress.step, progress.steps)
                self._cancelled[job.id] = paid
                await self.record_cancelled(job)
                raise cancelled(paid=paid, cost=job.cost, step=progress.step, steps=progress.steps)

    async def record_cancelled(self, job: Job) -> bool:
        """Record that a job was stopped, if it was; False if it was not.

        Its member was told so: a database that is away is told later, and nothing is drawn meanwhile.
        """
        if job.id not in self._cancelled:
            return False
        try:
            await self._jobs.mark(job, "cancelled", used=self._cancelled[job.id])
        except (SQLAlchemyError, OSError):
            log.exception("that job %s was cancelled could not be recorded", job.id)
            return True
        except IllegalTransition as error:
            log.warning("somebody else brought this job to its end: %s", error)
        del self._cancelled[job.id]
        return True

    async def keep(self, job: Job, images: Sequence[Image], *, seconds: float, card: ModelCard) -> Drawn:
        """Files first, then the row that names them. What could be shown nowhere is not written at all.

        Raises:
            PicturesWithheld: that is all of them; the job has ended.
            PictureNotKept: the disk did not take them; the job has failed.
            SQLAlchemyError | OSError: the database did not answer; the job goes on later.
        """
        try:
            withheld = self._desk.first_look(job, images)
            stored = await self._pictures.save(job.id, images, withheld)
        except OSError as error:
            log.exception("the pictures of job %s could not be written", job.id)
            if not await self.give_up(job, "disk"):
                raise
            raise PictureNotKept(job_id=job.id[:8]) from error
        rows = self._desk.rows(job, stored, withheld)
        job = await self._jobs.succeed(job, stored, seconds=seconds, card=card, decisions=rows)
        shown = {number: image for number, image in enumerate(images) if number not in withheld}
        if not shown:
            await self._desk.refuse(job)
        return Drawn(job=job, images=shown, card=card, seconds=seconds)

    async def kept(self, job: Job) -> Drawn | None:
        """The pictures of a job that was drawn before, by this process or an earlier one.

        Raises:
            PicturesWithheld: all of them were withheld when the earlier process died.
        """
        if job.state != "succeeded" or job.card is None:
            return None
        images = await self._pictures.load(job.images)
        if images is None:
            log.warning("the pictures of job %s are gone", job.id)
            return None
        await self._pictures.delete([image for image in job.images if image.is_withheld])
        if not images:
            await self._desk.refuse(job)
        return Drawn(job=job, images=images, card=job.card, seconds=job.seconds)

    def pending(self, drawn: Drawn) -> PendingDelivery:
        """Pictures on their way to the member."""
        return PendingDelivery(drawn, self._desk)

    async def begin_delivery(self, drawn: Drawn) -> PendingDelivery:
        """Before anything is sent: who takes the job up after a crash looks first whether it arrived.

        Returns:
            The delivery, with the channel that the server's admins had chosen when its first attempt began.

        Raises:
            Undeliverable: this could not be recorded, so nothing may be sent now.
        """
        try:
            begun = await self._jobs.begin_delivery(drawn.job)
            return PendingDelivery(drawn, self._desk, begun.delivery_channel_id)
        except (SQLAlchemyError, OSError) as error:
            raise Undeliverable(f"the attempt could not be recorded: {error}", permanent=False) from error

    async def settle(self, delivery: PendingDelivery) -> None:
        """The member has the pictures; if this cannot be recorded the next start looks whether they came."""
        try:
            await self._jobs.mark(delivery.job, "delivered", used=delivery.paid)
            await self._pictures.delete(delivery.job.images)
        except (SQLAlchemyError, IllegalTransition, OSError):
            log.exception("the delivery of job %s could not be recorded", delivery.job.id)

    async def postpone(self, job: Job) -> None:
        """Leave the pictures for `/jobs` and for another attempt; after a day `bot/upkeep.py` refunds."""
        with suppress(SQLAlchemyError, OSError):
            await self._jobs.note_undelivered(job)

    async def give_up(self, job: Job, error_code: str) -> bool:
        """End a job without pictures; False if that could not be recorded, and it is tried again later."""
        try:
            failed = await self._jobs.mark(job, "failed", error_code=error_code)
        except (SQLAlchemyError, OSError):
            log.exception("the end of job %s could not be recorded", job.id)
            return False
        with suppress(SQLAlchemyError, OSError):
            current = await self._jobs.get(failed.id)
            await self._pictures.delete(current.images if current else ())
        return True


def _failure(code: FailureCode, job: Job) -> MemberError:
    """What the member hears of a job that the engine could not do."""
    match code:
        case "model_unavailable":
            return ModelUnavailable()
        case "check_failed":
            return PicturesUnchecked(job_id=job.id[:8])
        case _:
            return GenerationFailed(job_id=job.id[:8])
