"""The worker process's other threads: messages from and to the core, and picture files.

The event loop only moves messages; the device thread runs the batching loop; a few encoder threads wait for
pictures to come off the device and make PNG files of them meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from engine.protocol import (
    Assign,
    Cancel,
    Cancelled,
    CoreToWorker,
    Failed,
    Finished,
    GenerationRequest,
    Image,
    ModelCard,
    Preview,
    Progress,
    TerminalEvent,
    WorkerReady,
    WorkerToCore,
    WorkerUnavailable,
)
from engine.transport import Channel, FrameError
from engine.worker.interfaces import DeviceLost, Model, Pending, Pixels, Sample
from engine.worker.loop import BatchingLoop
from engine.worker.pictures import encode_picture, encode_preview

log = logging.getLogger(__name__)

ENCODER_THREADS = 4


@dataclass
class _Job:
    request: GenerationRequest
    started: float = field(default_factory=time.monotonic)
    images: dict[int, Image] = field(default_factory=dict[int, Image])


class WorkerServer:
    """Implements `engine.worker.interfaces.Listener`."""

    def __init__(self, load: Callable[[], Model]) -> None:
        self._load = load
        self._jobs: dict[str, _Job] = {}
        self._early: list[CoreToWorker] = []
        self._batching: BatchingLoop | None = None
        self._device_thread = ThreadPoolExecutor(1, "device")
        self._encoder_threads = ThreadPoolExecutor(ENCODER_THREADS, "encoder")
        self._channel: Channel[CoreToWorker, WorkerToCore]
        self._loop: asyncio.AbstractEventLoop
        self._card: ModelCard

    async def serve(self, sock: socket.socket) -> None:
        """Load the model, then draw until drained. Exits the process when the core is gone."""
        self._channel = await Channel.open(sock, CoreToWorker)
        self._loop = asyncio.get_running_loop()
        receiving = asyncio.create_task(self._receive())
        try:
            model = await self._loop.run_in_executor(self._device_thread, self._load)
        except Exception as error:  # whatever a model folder or a driver may raise, told in one line
            log.exception("the model could not be loaded")
            self._channel.send(WorkerUnavailable(f"{type(error).__name__}: {error}"))
            await self._channel.flush()
            await self._channel.close()
            os._exit(1)
        self._card = model.card
        self._batching = BatchingLoop(model, self)
        for message in self._early:
            self._batching.post(message)
        self._channel.send(WorkerReady(model.card, model.max_batch_size))
        try:
            await self._loop.run_in_executor(self._device_thread, self._batching.run)
        except (Exception, DeviceLost):
            log.exception("the worker cannot go on; its jobs are for the next one")
            os._exit(1)
        await asyncio.to_thread(self._encoder_threads.shutdown)
        await self._channel.flush()
        receiving.cancel()
        await self._channel.close()

    async def _receive(self) -> None:
        try:
            async for message in self._channel:
                if isinstance(message, Assign):
                    self._jobs[message.job_id] = _Job(message.request)
                if self._batching is None:
                    self._early.append(message)
                else:
                    self._batching.post(message)
        except FrameError:
            log.exception("the engine core sent garbage")
        # The core is dead. The device thread may be in the middle of a long call that nobody can
        # interrupt and nobody wants any more.
        os._exit(0)

    # --- what the batching loop says, on the device thread ---

    def on_step(self, job_id: str, step: int, num_steps: int) -> None:
        """A step of a job is done."""
        self._send(Progress(job_id, step, num_steps))

    def on_preview(self, job_id: str, pending: Pending) -> None:
        """There is something to look at."""
        self._encoder_threads.submit(self._encode_preview, job_id, pending)

    def on_decoded(self, samples: Sequence[Sample], pending: Pending) -> None:
        """Pictures are about to come off the device."""
        self._encoder_threads.submit(self._encode, samples, pending)

    def on_failed(self, job_id: str, error: Exception) -> None:
        """A job cannot be drawn."""
        self._end(Failed(job_id, "generation_error", f"{type(error).__name__}: {error}"))

    def on_cancelled(self, job_id: str) -> None:
        """A job was stopped in time."""
        self._end(Cancelled(job_id))

    # --- on the encoder threads ---

    def _encode(self, samples: Sequence[Sample], pending: Pending) -> None:
        try:
            pictures = pending()
        except Exception:
            log.exception("the device did not hand over its pictures; its jobs are for the next worker")
            os._exit(1)
        for sample, pixels in zip(samples, pictures, strict=True):
            try:
                self._encode_one(sample, pixels)
            except Exception as error:
                log.exception("picture %d of job %s could not be encoded", sample.index, sample.job_id)
                self.on_failed(sample.job_id, error)

    def _encode_preview(self, job_id: str, pending: Pending) -> None:
        try:
            [pixels] = pending()
            if pixels is not None:
                self._send(Preview(job_id, encode_preview(pixels)))
        except Exception:  # a picture is drawn without previews too
            log.exception("no preview of job %s", job_id)

    def _encode_one(self, sample: Sample, pixels: Pixels | None) -> None:
        job = self._jobs.get(sample.job_id)
        if job is None:
            return  # it was cancelled, or failed with its other pictures
        if pixels is None:
            self._end(Failed(sample.job_id, "generation_error", "the picture has NaN values"))
            return
        image = encode_picture(pixels, job.request, sample.index, self._card)
        self._loop.call_soon_threadsafe(self._collect, sample.job_id, sample.index, image)

    # --- on the event loop ---

    def _collect(self, job_id: str, index: int, image: Image) -> None:
        job = self._jobs.get(job_id)
        if job is None:
            return
        job.images[index] = image
        if len(job.images) == job.request.num_images_per_prompt:
            images = [job.images[index] for index in range(len(job.images))]
            self._end_now(Finished(job_id, images, time.monotonic() - job.started))

    def _send(self, message: Progress | Preview) -> None:
        self._loop.call_soon_threadsafe(self._send_if_running, message)

    def _send_if_running(self, message: Progress | Preview) -> None:
        if message.job_id in self._jobs:
            self._channel.send(message)

    def _end(self, event: TerminalEvent) -> None:
        self._loop.call_soon_threadsafe(self._end_now, event)

    def _end_now(self, event: TerminalEvent) -> None:
        """The only place where a job of this worker ends; what comes after that is not sent."""
        if self._jobs.pop(event.job_id, None) is None:
            return
        self._channel.send(event)
        if isinstance(event, Failed) and self._batching is not None:
            self._batching.post(Cancel(event.job_id))  # its other pictures are for nobody
