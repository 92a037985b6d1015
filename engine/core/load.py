"""What one worker has to do, and how fast it does it. Runs in the engine process; step 6 of a job's life."""

from __future__ import annotations

import math
from typing import Protocol

from engine.core.jobs import Job
from engine.protocol import CoreToWorker, ModelCard

WINDOW_SECONDS = 0.25
"""Least time that a measurement of the speed takes."""
MEMORY_SECONDS = 15.0
"""How far back the measured speed looks."""


class WorkerHandle(Protocol):
    """One device's worker process, over all its restarts: what `Dispatcher` needs of it."""

    @property
    def device(self) -> str: ...

    def send(self, message: CoreToWorker) -> None:
        """Tell the process; returns at once."""
        ...


class SpeedMeter:
    """Step-work per second, an exponential moving average over the time in which there was work."""

    def __init__(self) -> None:
        self.speed: float | None = None
        self._work = 0.0
        self._busy = 0.0
        self._mark = 0.0

    def begin(self, now: float) -> None:
        """There is work again."""
        self._mark = now

    def add(self, work: float, now: float) -> None:
        """Some work was done."""
        self._work += work
        self._busy += max(0.0, now - self._mark)
        self._mark = now
        if self._busy < WINDOW_SECONDS:
            return
        measured = self._work / self._busy
        share = 1 - math.exp(-self._busy / MEMORY_SECONDS)
        self.speed = measured if self.speed is None else self.speed + share * (measured - self.speed)
        self._work = self._busy = 0.0


class WorkerLoad:
    """The jobs of one worker. Sums are kept up to date, so that no message costs more with more jobs."""

    def __init__(self, handle: WorkerHandle) -> None:
        self.handle = handle
        self.card: ModelCard | None = None
        self.max_batch_size = 1
        self.jobs: dict[str, Job] = {}
        self.outstanding = 0.0
        """Step-work that is not done yet."""
        self.images = 0
        self.images_in_steps = 0
        self._suspects = 0
        self._meter = SpeedMeter()

    @property
    def is_ready(self) -> bool:
        """Whether its process has loaded the model."""
        return self.card is not None

    @property
    def speed(self) -> float | None:
        """Step-work per second, once it was measured; also from before a restart."""
        return self._meter.speed

    @property
    def has_suspect(self) -> bool:
        """Whether it draws a job with which a worker died."""
        return self._suspects > 0

    @property
    def has_room(self) -> bool:
        """Whether there may be a job that fits."""
        return self.is_ready and not self.has_suspect and self._fits(1)

    def has_room_for(self, job: Job) -> bool:
        """Whether the job's samples can join the batch at the next step.

        A job that was on a worker when it died shares its next worker with nobody: if it is the cause,
        it takes no other job down with it.
        """
        if not self.is_ready or self.has_suspect or (job.is_suspect and self.jobs):
            return False
        return self._fits(job.images)

    def _fits(self, images: int) -> bool:
        # Those past their steps are only decoded; but a worker that is slow at it must not collect them.
        if self.images - self.images_in_steps > 2 * self.max_batch_size:
            return False
        return not self.images_in_steps or self.images_in_steps + images <= self.max_batch_size

    def add(self, job: Job, now: float) -> None:
        """The job is this worker's, until its terminal event or the worker's death."""
        if not self.images_in_steps:
            self._meter.begin(now)
        self.jobs[job.job_id] = job
        self.outstanding += job.cost * (1 - job.done)
        self.images += job.images
        self.images_in_steps += job.images if job.in_steps else 0
        self._suspects += job.is_suspect

    def remove(self, job: Job) -> None:
        """The job has ended."""
        del self.jobs[job.job_id]
        self.outstanding = self.outstanding - job.cost * (1 - job.done) if self.jobs else 0.0
        self.images -= job.images
        self.images_in_steps -= job.images if job.in_steps else 0
        self._suspects -= job.is_suspect

    def progress(self, job: Job, done: float, now: float) -> bool:
        """Note how far a job is; whether it has just done its last step."""
        was_in_steps = job.in_steps
        work = job.step_done(done, now)
        self.outstanding -= work
        if was_in_steps:
            self._meter.add(work, now)
        if job.in_steps or not was_in_steps:
            return False
        self.images_in_steps -= job.images
        return True

    def lose_all(self) -> list[Job]:
        """The process is gone: the jobs it had, in the order in which they came."""
        jobs = list(self.jobs.values())
        for job in jobs:
            self.remove(job)
        self.card = None
        return jobs
