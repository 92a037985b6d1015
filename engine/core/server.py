"""The engine process: accepts jobs from the bot, queues and places them, passes events back.

Steps 5 and 6 of a request's life. The invariant: every accepted job gets exactly one terminal event,
whatever its worker does. When the bot's end of the socket closes, the engine ends.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.core.devices import DeviceError, default_threads, find_devices
from engine.core.pool import Job, Worker
from engine.models import ModelError, read_model
from engine.protocol import (
    Accepted,
    BotToEngine,
    Cancel,
    Cancelled,
    Drain,
    EngineReady,
    EngineToBot,
    EngineUnavailable,
    Failed,
    FailureCode,
    GenerationRequest,
    Queued,
    Submit,
    TerminalEvent,
    WorkerJobEvent,
)
from engine.transport import Channel, FrameError

log = logging.getLogger(__name__)

MAX_LOST_WORKERS = 3
"""A job that was on this many workers when they died is taken for the cause, and fails."""

POSITION_SECONDS = 0.25
"""Queue positions are announced at most this often."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How the host wants the engine to run; 0 means to choose."""

    model: Path
    devices: str = "auto"
    threads: int = 0
    max_batch_size: int = 8
    worker_module: str = "engine.worker"


class EngineCore:
    """The queue and the workers of one engine process."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._jobs: dict[str, Job] = {}
        self._queue: deque[Job] = deque()
        self._workers: list[Worker] = []
        self._running: list[asyncio.Task[None]] = []
        self._unavailable_reason = ""
        self._position_timer: asyncio.TimerHandle | None = None
        self._channel: Channel[BotToEngine, EngineToBot]

    async def serve(self, sock: socket.socket) -> None:
        """Work until the bot drains the engine or closes the connection."""
        self._channel = await Channel.open(sock, BotToEngine)
        serving = asyncio.current_task()
        assert serving is not None
        # From a bot that will not wait for a worker that hangs.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
        try:
            await self._start_workers()
            await self._receive()
        finally:
            for worker in self._workers:
                worker.drain()  # or it would be started again
                worker.kill()
            if self._running:
                await asyncio.wait(self._running, timeout=2)
            await self._channel.close()

    async def _start_workers(self) -> None:
        try:
            read_model(self._options.model)
            devices = await find_devices(self._options.devices)
        except (ModelError, DeviceError) as error:
            self._become_unavailable(str(error))
            return
        threads = self._options.threads or default_threads(devices)
        for device in devices:
            worker = Worker(device, self._worker_command(device, threads))
            self._workers.append(worker)
            self._running.append(asyncio.create_task(worker.run(self)))

    def _worker_command(self, device: str, threads: int) -> list[str]:
        return [
            *(sys.executable, "-P", "-m", self._options.worker_module),
            *("--model", str(self._options.model)),
            *("--device", device),
            *("--threads", str(threads)),
            *("--max-batch-size", str(self._options.max_batch_size)),
        ]

    async def _receive(self) -> None:
        try:
            async for message in self._channel:
                match message:
                    case Submit(job_id, request):
                        self._submit(job_id, request)
                    case Cancel(job_id):
                        self._cancel(job_id)
                    case Drain():
                        await self._drain()
                        return
        except FrameError as error:
            log.error("the bot sent garbage: %s", error)
            raise SystemExit(1) from error
        log.warning("the bot is gone; the engine ends")

    def _submit(self, job_id: str, request: GenerationRequest) -> None:
        if job_id in self._jobs:
            return
        job = self._jobs[job_id] = Job(job_id, request)
        self._channel.send(Accepted(job_id))
        if self._unavailable_reason:
            self._fail(job, "model_unavailable", self._unavailable_reason)
            return
        self._queue.append(job)
        self._place()

    def _cancel(self, job_id: str) -> None:
        job = self._jobs.get(job_id)
        if job is None:
            return  # it has ended meanwhile, and the bot knows or is about to hear
        if job.worker is not None:
            job.cancelled = True  # remembered in case the worker dies before it answers
            job.worker.send(Cancel(job_id))
            return
        self._queue.remove(job)
        self._end(job, Cancelled(job_id))
        self._place()

    def _place(self) -> None:
        """Hand queued jobs, oldest first, to the workers with the least to do."""
        while self._queue:
            able = [worker for worker in self._workers if worker.has_room_for(self._queue[0])]
            if not able:
                break
            min(able, key=lambda worker: worker.load).assign(self._queue.popleft())
        if self._queue and self._position_timer is None:
            loop = asyncio.get_running_loop()
            self._position_timer = loop.call_later(POSITION_SECONDS, self._announce_positions)

    def _announce_positions(self) -> None:
        self._position_timer = None
        for position, job in enumerate(self._queue, start=1):
            if job.announced_position != position:
                job.announced_position = position
                self._channel.send(Queued(job.job_id, position))

    def _end(self, job: Job, event: TerminalEvent) -> None:
        """The only place where a job ends."""
        del self._jobs[job.job_id]
        if job.worker is not None:
            job.worker.jobs.pop(job.job_id, None)
        self._channel.send(event)

    def _fail(self, job: Job, code: FailureCode, detail: str) -> None:
        self._end(job, Failed(job.job_id, code, detail))

    def _become_unavailable(self, reason: str) -> None:
        log.error("the engine cannot draw: %s", reason)
        self._unavailable_reason = reason
        self._channel.send(EngineUnavailable(reason))
        self._queue.clear()
        for job in list(self._jobs.values()):
            self._fail(job, "model_unavailable", reason)

    async def _drain(self) -> None:
        for worker in self._workers:
            worker.drain()
        if self._running:
            await asyncio.wait(self._running)
        await self._channel.flush()

    # --- what the workers say (PoolListener) ---

    def worker_ready(self, worker: Worker) -> None:
        """A worker loaded the model."""
        assert worker.card is not None
        log.info("worker %s is ready", worker.device)
        devices = [each.device for each in self._workers if each.card is not None]
        self._channel.send(EngineReady(worker.card, devices))
        self._place()

    def worker_event(self, worker: Worker, event: WorkerJobEvent) -> None:
        """Progress or an ending of one of the worker's jobs; events of other jobs are its mistake."""
        job = worker.jobs.get(event.job_id)
        if job is None:
            log.error("worker %s spoke of a job that is not its own: %s", worker.device, type(event).__name__)
        elif isinstance(event, TerminalEvent):
            self._end(job, event)
            self._place()
        else:
            self._channel.send(event)

    def worker_lost(self, worker: Worker, jobs: Sequence[Job]) -> None:
        """A worker died with jobs: they go back to the head of the queue, in their order."""
        log.warning("worker %s was lost with %d jobs", worker.device, len(jobs))
        for job in reversed(jobs):
            job.worker = None
            job.announced_position = 0
            job.lost_workers += 1
            if job.cancelled:
                self._end(job, Cancelled(job.job_id))
            elif job.lost_workers >= MAX_LOST_WORKERS:
                self._fail(job, "worker_lost", f"{job.lost_workers} workers died drawing it")
            else:
                self._queue.appendleft(job)
        self._place()

    def worker_unavailable(self, worker: Worker) -> None:
        """A worker gave up for good; the engine goes on with the others."""
        log.error("worker %s cannot run: %s", worker.device, worker.unavailable_reason)
        if all(each.unavailable_reason for each in self._workers):
            self._become_unavailable(worker.unavailable_reason)
