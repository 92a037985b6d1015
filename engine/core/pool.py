"""The workers: one process per device, started, watched and restarted. Step 6 of a request's life."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from engine.protocol import (
    Assign,
    CoreToWorker,
    Drain,
    GenerationRequest,
    ModelCard,
    WorkerJobEvent,
    WorkerReady,
    WorkerToCore,
    WorkerUnavailable,
)
from engine.transport import Channel, FrameError, spawn, stop

log = logging.getLogger(__name__)

MAX_FAILED_STARTS = 3
"""A worker that dies this often in a row before it is ready is given up."""


class Job:
    """A request the engine has accepted, and where it is now."""

    def __init__(self, job_id: str, request: GenerationRequest) -> None:
        self.job_id = job_id
        self.request = request
        self.worker: Worker | None = None
        self.lost_workers = 0
        self.cancelled = False
        self.announced_position = 0


class PoolListener(Protocol):
    """What the engine core hears from its workers."""

    def worker_ready(self, worker: Worker) -> None: ...

    def worker_event(self, worker: Worker, event: WorkerJobEvent) -> None: ...

    def worker_lost(self, worker: Worker, jobs: Sequence[Job]) -> None: ...

    def worker_unavailable(self, worker: Worker) -> None: ...


class Worker:
    """One device's process, over all its restarts, and the jobs assigned to it."""

    def __init__(self, device: str, command: Sequence[str]) -> None:
        self.device = device
        self.jobs: dict[str, Job] = {}
        self.card: ModelCard | None = None
        self.unavailable_reason = ""
        self._command = command
        self._max_batch_size = 1
        self._draining = False
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel[WorkerToCore, CoreToWorker] | None = None

    @property
    def load(self) -> int:
        """Images assigned and not yet finished."""
        return sum(job.request.num_images_per_prompt for job in self.jobs.values())

    def has_room_for(self, job: Job) -> bool:
        """Whether the job could join the next batch: one batch is being drawn, one may wait.

        A job that was on a worker when it died shares its next worker with nobody: if it is the cause,
        it takes no other job down with it again.
        """
        if self.card is None or self._draining:
            return False
        if not self.jobs:
            return True
        if any(each.lost_workers for each in (job, *self.jobs.values())):
            return False
        return self.load + job.request.num_images_per_prompt <= 2 * self._max_batch_size

    def assign(self, job: Job) -> None:
        """Hand a job over; it is this worker's until its terminal event or the worker's death."""
        assert self._channel is not None
        job.worker = self
        self.jobs[job.job_id] = job
        self._channel.send(Assign(job.job_id, job.request))

    def send(self, message: CoreToWorker) -> None:
        """Send to the running process, if there is one."""
        if self._channel is not None:
            self._channel.send(message)

    async def run(self, listener: PoolListener) -> None:
        """Keep the process alive until it is drained or can never work."""
        failed_starts = 0
        while not self._draining and not self.unavailable_reason:
            started = time.monotonic()
            was_ready = await self._run_once(listener)
            if self._draining or self.unavailable_reason:
                break
            failed_starts = 0 if was_ready else failed_starts + 1
            log.warning("worker %s died after %.1f s", self.device, time.monotonic() - started)
            if failed_starts >= MAX_FAILED_STARTS:
                self.unavailable_reason = f"the worker died {failed_starts} times while starting"
            elif failed_starts:
                await asyncio.sleep(2.0**failed_starts / 4)
        if self.unavailable_reason:
            listener.worker_unavailable(self)

    async def _run_once(self, listener: PoolListener) -> bool:
        """One life of the process; returns whether it became ready. Leaves no process and no job behind."""
        try:
            self._process, self._channel = await spawn(self._command, WorkerToCore)
        except OSError as error:
            log.error("worker %s could not be started: %s", self.device, error)
            return False
        if self._draining:
            self.kill()  # `drain` came while this process was being started, and could not reach it
        was_ready = False
        try:
            async for message in self._channel:
                match message:
                    case WorkerReady(card, max_batch_size):
                        was_ready = True
                        self.card, self._max_batch_size = card, max_batch_size
                        listener.worker_ready(self)
                    case WorkerUnavailable(reason):
                        self.unavailable_reason = reason
                    case _:
                        listener.worker_event(self, message)
        except FrameError as error:
            log.error("worker %s: %s; replacing it", self.device, error)
            self.kill()
        finally:
            channel, self._channel, self.card = self._channel, None, None
            await channel.close()
            # A worker that closed its socket exits by itself; one that does not is stuck.
            await stop(self._process, grace=2)
        jobs, self.jobs = list(self.jobs.values()), {}
        if jobs:
            listener.worker_lost(self, jobs)
        return was_ready

    def drain(self) -> None:
        """Let the process end; it draws what it was assigned first. One that still loads just ends."""
        self._draining = True
        if self.card is None:
            self.kill()
        self.send(Drain())

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
