"""The batching loop of one worker: which assigned jobs share the next pipeline call.

Step 7 of a request's life. The event loop only moves messages; one thread owns the device and draws,
another encodes PNGs meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from engine.protocol import (
    Assign,
    Cancel,
    Cancelled,
    CoreToWorker,
    Drain,
    Failed,
    Finished,
    GenerationRequest,
    ModelCard,
    Preview,
    Progress,
    TerminalEvent,
    WorkerReady,
    WorkerToCore,
    WorkerUnavailable,
)
from engine.transport import Channel, FrameError
from engine.worker.batch import Batch, Drawing, take_batch
from engine.worker.pictures import encode_images

log = logging.getLogger(__name__)


class Pipeline(Protocol):
    """What the loop needs of a loaded model."""

    card: ModelCard

    def count_chunks(self, request: GenerationRequest) -> int:
        """How many chunks of tokens the prompts of a request need."""
        ...

    def draw(self, batch: Batch) -> list[Drawing]:
        """Draw all jobs of a batch in one call; blocking."""
        ...


class WorkerLoop:
    """Receives jobs, batches those of the same shape that wait together, sends pictures back."""

    def __init__(self, load: Callable[[], Pipeline], *, max_batch_size: int) -> None:
        self._load = load
        self._max_batch_size = max_batch_size
        self._waiting: list[Assign] = []
        self._live: set[str] = set()
        self._cancelled: set[str] = set()
        self._wake = asyncio.Event()
        self._draining = False
        self._device_thread = ThreadPoolExecutor(1, "device")
        self._encoder_thread = ThreadPoolExecutor(1, "encoder")
        self._encoding: set[asyncio.Task[None]] = set()
        self._channel: Channel[CoreToWorker, WorkerToCore]
        self._pipeline: Pipeline

    async def serve(self, sock: socket.socket) -> None:
        """Load the model, then draw until drained. Exits the process when the core is gone."""
        self._channel = await Channel.open(sock, CoreToWorker)
        receiving = asyncio.create_task(self._receive())
        loop = asyncio.get_running_loop()
        try:
            self._pipeline = await loop.run_in_executor(self._device_thread, self._load)
        except Exception as error:  # whatever a model folder or a driver may raise, told in one line
            log.exception("the model could not be loaded")
            self._channel.send(WorkerUnavailable(f"{type(error).__name__}: {error}"))
            await self._channel.flush()
            await self._channel.close()
            os._exit(1)
        self._channel.send(WorkerReady(self._pipeline.card, self._max_batch_size))
        while await self._has_work():
            await self._draw_or_split(self._take_batch())
        await asyncio.gather(*self._encoding)
        await self._channel.flush()
        receiving.cancel()
        await self._channel.close()

    async def _receive(self) -> None:
        try:
            async for message in self._channel:
                match message:
                    case Assign():
                        self._live.add(message.job_id)
                        self._waiting.append(message)
                    case Cancel(job_id):
                        self._cancelled |= self._live & {job_id}
                    case Drain():
                        self._draining = True
                self._wake.set()
        except FrameError:
            log.exception("the engine core sent garbage")
        # The core is dead. The device thread may be in the middle of a long call that nobody can
        # interrupt and nobody wants any more.
        os._exit(0)

    async def _has_work(self) -> bool:
        while True:
            self._drop_cancelled()
            if self._waiting:
                return True
            if self._draining:
                return False
            self._wake.clear()
            await self._wake.wait()

    def _drop_cancelled(self) -> None:
        for job in [job for job in self._waiting if job.job_id in self._cancelled]:
            self._waiting.remove(job)
            self._end(job.job_id, Cancelled(job.job_id))

    def _take_batch(self) -> list[Assign]:
        return take_batch(self._waiting, self._max_batch_size, self._pipeline.count_chunks)

    async def _draw_or_split(self, jobs: Sequence[Assign]) -> None:
        """Draw a batch; when it fails, draw its jobs one by one so that only the guilty one fails."""
        try:
            await self._draw(jobs)
        except Exception as error:
            if len(jobs) > 1:
                log.warning("a batch of %d jobs failed (%s); drawing them one by one", len(jobs), error)
                for job in jobs:
                    await self._draw_or_split([job])
            else:
                log.exception("job %s failed", jobs[0].job_id)
                self._fail(jobs[0].job_id, error)

    async def _draw(self, jobs: Sequence[Assign]) -> None:
        loop = asyncio.get_running_loop()

        def on_step(step: int, num_steps: int) -> None:
            loop.call_soon_threadsafe(self._report_step, jobs, step, num_steps)

        def on_preview(job_id: str, png: bytes) -> None:
            loop.call_soon_threadsafe(self._channel.send, Preview(job_id, png))

        batch = Batch(
            jobs=tuple(jobs),
            on_step=on_step,
            on_preview=on_preview,
            is_cancelled=self._cancelled.__contains__,
        )
        drawings = await loop.run_in_executor(self._device_thread, self._pipeline.draw, batch)
        for job, drawing in zip(jobs, drawings, strict=True):
            if job.job_id in self._cancelled:
                self._end(job.job_id, Cancelled(job.job_id))
            elif drawing.error:
                self._end(job.job_id, Failed(job.job_id, "generation_error", drawing.error))
            else:
                task = loop.create_task(self._encode(job.job_id, job.request, drawing))
                self._encoding.add(task)
                task.add_done_callback(self._encoding.discard)

    async def _encode(self, job_id: str, request: GenerationRequest, drawing: Drawing) -> None:
        loop = asyncio.get_running_loop()
        try:
            images = await loop.run_in_executor(
                self._encoder_thread, encode_images, drawing.pixels, request, self._pipeline.card
            )
        except Exception as error:
            log.exception("the pictures of job %s could not be encoded", job_id)
            self._fail(job_id, error)
        else:
            self._end(job_id, Finished(job_id, images, drawing.seconds))

    def _report_step(self, jobs: Sequence[Assign], step: int, num_steps: int) -> None:
        for job in jobs:
            if job.job_id not in self._cancelled:
                self._channel.send(Progress(job.job_id, step, num_steps))

    def _fail(self, job_id: str, error: Exception) -> None:
        self._end(job_id, Failed(job_id, "generation_error", f"{type(error).__name__}: {error}"))

    def _end(self, job_id: str, event: TerminalEvent) -> None:
        self._live.discard(job_id)
        self._cancelled.discard(job_id)
        self._channel.send(event)
