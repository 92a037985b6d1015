"""Steps 8 and 10 of a request's life: which pictures are kept, and which are shown in a place, as it is now.

A picture is decided on when it was drawn, at the level of where it was asked for, and each time that it is
about to be sent, at the level of where it goes. What is withheld once is withheld for good: its file is
deleted, and the row with its scores and hashes stays. A decision is in the database before anything is sent
because of it; while the database does not answer, nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.database.safety import SafetyDecisionRow
from bot.database.session import Database
from bot.job_store import JobStore
from bot.jobs import Job, StoredImage, utc_now
from bot.pictures import PictureStore, seed_of
from bot.quotas import cost_of_steps
from bot.reply import Undeliverable
from bot.safety.decisions import DecisionLog
from bot.safety.kept_files import ShownFile
from bot.safety.levels import Level, lowest
from bot.safety.noted import Noted, note_decision
from bot.safety.places import Place, effective_level
from bot.safety.policy import Judgement, Policy
from bot.safety.refusals import PicturesUnchecked, PicturesWithheld
from bot.safety.release import Release, ReleasedFile, ReleasedImage, judge_file, judge_image
from bot.safety.screening import Screening
from bot.safety.servers import load_safety
from engine.protocol import Image, ModelCard, Preview

UNSCREENED = "unscreened"
"""The reason of jobs that a version without a prompt check accepted."""

WITHHELD = "withheld"
"""How a job ends of whose pictures none may be shown."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A finished job and those of its pictures that were not withheld so far. Not for anybody's eyes yet."""

    job: Job
    images: dict[int, Image]
    """By their place among the job's pictures."""
    card: ModelCard
    seconds: float


@dataclass(frozen=True, kw_only=True)
class _Measure:
    """What the pictures of a job are held to in a place as it is now."""

    level: Level
    is_strict: bool
    is_prompt_refused: bool = False

    @property
    def refusal(self) -> Judgement:
        """The decision on each picture of a prompt that is refused there."""
        return Judgement(decision="withhold", level=self.level, reasons=("prompt",))


class ReleaseDesk:
    """Decides on pictures, and writes down what was decided."""

    def __init__(
        self,
        database: Database,
        jobs: JobStore,
        pictures: PictureStore,
        policy: Policy,
        decisions: DecisionLog,
        screening: Screening,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._pictures = pictures
        self._policy = policy
        self._decisions = decisions
        self._screening = screening

    # --- when it was drawn ---

    def first_look(self, job: Job, images: Sequence[Image]) -> dict[int, Judgement]:
        """Those pictures that could not be shown even where they were asked for: never stored."""
        judged = (self._policy.judge(image.verdict, job.level, is_strict=job.is_strict) for image in images)
        return {number: one for number, one in enumerate(judged) if one.decision == "withhold"}

    def preview(self, job: Job, preview: Preview) -> ReleasedImage | None:
        """A look at an unfinished picture, if it may be shown: never where anything is strict.

        Held to the strictest threshold everywhere, so that it does not matter where it goes; it is gone in a
        second, so it is not recorded.
        """
        if job.is_strict or job.level == "strict":
            return None
        request = job.request
        image = Image(
            png=preview.png,
            seed=request.seed,
            width=request.width,
            height=request.height,
            verdict=preview.verdict,
        )
        released = judge_image(self._policy, image, "strict", is_strict=False)[1]
        return released if released is not None and not released.is_spoiler else None

    def rows(
        self,
        job: Job,
        images: Sequence[StoredImage],
        judgements: Mapping[int, Judgement],
        place: Place | None = None,
    ) -> list[SafetyDecisionRow]:
        """The record of decisions on pictures of a job, by their numbers; for where it was asked for if no
        place is given."""
        return [
            self._decisions.of_picture(job, number, images[number], judgement, place)
            for number, judgement in judgements.items()
        ]

    # --- when it is about to be sent ---

    async def judge(
        self, drawn: Drawn, place: Place
    ) -> tuple[dict[int, Judgement], tuple[ReleasedImage, ...]]:
        """Decide on all pictures of a job for a place as it is now."""
        measure = await self._measure(drawn.job, place)
        if measure.is_prompt_refused:
            return dict.fromkeys(drawn.images, measure.refusal), ()
        judgements: dict[int, Judgement] = {}
        released: list[ReleasedImage] = []
        for number, image in drawn.images.items():
            judgements[number], shown = judge_image(
                self._policy, image, measure.level, is_strict=measure.is_strict
            )
            if shown is not None:
                released.append(shown)
        return judgements, tuple(released)

    async def _measure(self, job: Job, place: Place) -> _Measure:
        async with self._database.session() as session:
            server = await load_safety(session, place.guild_id)
        # What was not to be shown when it was asked for is not shown because a channel has changed since.
        level = lowest(job.level, effective_level(self._screening.cap, server, place))
        if level == job.level and UNSCREENED not in job.prompt_reasons:
            return _Measure(level=level, is_strict=job.is_strict)
        # The prompt stands beside the pictures, and was read for another level, or by nobody.
        verdict = self._screening.read(job.request, level, server)
        return _Measure(
            level=level,
            is_strict=job.is_strict or verdict.decision == "strict",
            is_prompt_refused=verdict.decision == "refuse",
        )

    async def record(self, drawn: Drawn, judgements: Mapping[int, Judgement], place: Place) -> Drawn:
        """Write decisions down, and let go of what is withheld; what is left."""
        withheld = [number for number, one in judgements.items() if one.decision == "withhold"]
        rows = self.rows(drawn.job, drawn.job.images, judgements, place)
        job = await self._jobs.record_decisions(drawn.job, rows, withheld)
        await self._pictures.delete([job.images[number] for number in withheld])
        images = {number: image for number, image in drawn.images.items() if number not in withheld}
        return replace(drawn, job=job, images=images)

    async def look_again(
        self, job_id: str, files: Sequence[ShownFile], place: Place
    ) -> tuple[ReleasedFile, ...] | None:
        """Decide once more on pictures that were shown, for a place as it is now; None unless all may be.

        It is written down before anything is sent, like every decision, and nothing is withheld for good by
        it: whoever loosens the level can ask again.

        Raises:
            SQLAlchemyError | OSError: it could not be recorded, so nothing may be sent now.
        """
        job = await self._jobs.get(job_id)
        if job is None:
            return None  # nobody knows any more what the image check found
        numbers: dict[int | None, int] = {
            image.seed: number for number, image in enumerate(job.images) if not image.is_withheld
        }
        measure = await self._measure(job, place)
        judgements: dict[int, Judgement] = {}
        released: list[ReleasedFile] = []
        for file in files:
            number = numbers.get(seed_of(file.name))
            if number is None:
                return None
            judgement, shown = judge_file(
                self._policy, file, job.images[number].verdict, measure.level, is_strict=measure.is_strict
            )
            judgements[number] = measure.refusal if measure.is_prompt_refused else judgement
            if shown is not None and not measure.is_prompt_refused:
                released.append(shown)
        await self._jobs.record_decisions(job, self.rows(job, job.images, judgements, place), ())
        return tuple(released) if len(released) == len(files) else None

    async def refuse(self, job: Job) -> NoReturn:
        """End a job of which nothing may be shown: nothing is paid.

        Raises:
            PicturesWithheld: always; why, for the member.
            SQLAlchemyError | OSError | IllegalTransition: its end could not be recorded.
        """
        async with self._database.session() as session:
            found = await session.scalars(
                select(SafetyDecisionRow)
                .where(SafetyDecisionRow.job_id == job.id, SafetyDecisionRow.decision == "withhold")
                .order_by(SafetyDecisionRow.created_at, SafetyDecisionRow.position)
            )
            rows = list(found)
        is_unchecked = all({"no_verdict", "invalid_scores"} & {*row.reasons} for row in rows)
        if not is_unchecked and job.origin.user_id is not None:
            noted = _noted(job, rows[0], job.origin.user_id)

            async def note(session: AsyncSession) -> None:
                await note_decision(session, noted, utc_now())

            await self._database.write(note)
        await self._jobs.mark(job, "refused", error_code=WITHHELD)
        error = PicturesUnchecked if is_unchecked else PicturesWithheld
        raise error(decision_ids=tuple(row.id for row in rows), job_id=job.id[:8])


def _noted(job: Job, row: SafetyDecisionRow, user_id: int) -> Noted:
    """What was withheld as the member can appeal it: one appeal for all pictures of a job."""
    return Noted(
        decision_id=row.id,
        kind="picture",
        guild_id=job.origin.guild_id or 0,
        channel_id=job.origin.channel_id or 0,
        user_id=user_id,
        reasons=tuple(row.reasons),
        prompt=job.request.prompt,
        locale=job.origin.locale,
    )


class PendingDelivery:
    """Implements `bot.reply.Delivery` for the pictures of one job."""

    def __init__(self, drawn: Drawn, desk: ReleaseDesk, channel_id: int | None = None) -> None:
        self.channel_id = channel_id
        self._drawn = drawn
        self._desk = desk

    @property
    def job(self) -> Job:
        """The job, with what was decided on its pictures so far."""
        return self._drawn.job

    @property
    def paid(self) -> int:
        """The part of the job's cost that is for the pictures that may be shown."""
        return cost_of_steps(self.job.cost, len(self._drawn.images), len(self.job.images))

    async def release(self, place: Place) -> Release:
        """Those pictures that may be shown in a place as it is now. What may not is withheld for good.

        Raises:
            PicturesWithheld: none may. The job has ended, and its cost has come back.
            Undeliverable: this could not be recorded, so nothing may be sent now.
        """
        try:
            return await self._release(place)
        except (SQLAlchemyError, OSError) as error:
            raise Undeliverable(f"the decision could not be recorded: {error}", permanent=False) from error

    async def _release(self, place: Place) -> Release:
        judgements, images = await self._desk.judge(self._drawn, place)
        self._drawn = await self._desk.record(self._drawn, judgements, place)
        if not images:
            await self._desk.refuse(self.job)
        return Release(
            job=replace(self.job, cost=self.paid),
            images=images,
            withheld=len(self.job.images) - len(images),
            card=self._drawn.card,
            seconds=self._drawn.seconds,
        )
