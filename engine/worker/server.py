"""The worker process's other threads: messages from and to the core, and picture files.

The event loop only moves messages; the device thread runs the batching loop; a few encoder threads wait for
pictures to come off the device and make PNG files of them meanwhile.

The threads hear of an end later than the core does, which may assign a job of the same id by then. So they
know each job by a key of its own, and what they say of one that has ended is for nobody. Ids are only in
messages from and to the core.
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

import msgspec

from engine.protocol import (
    Assign,
    Cancel,
    Cancelled,
    CoreToWorker,
    Drain,
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
    job_id: str
    request: GenerationRequest
    started: float = field(default_factory=time.monotonic)
    images: dict[int, Image] = field(default_factory=dict[int, Image])


class WorkerServer:
    """Implements `engine.worker.interfaces.Listener`."""

    def __init__(self, load: Callable[[], Model]) -> None:
        self._load = load
        self._jobs: dict[str, _Job] = {}
        """By their keys."""
        self._keys: dict[str, str] = {}
        """By the jobs' ids."""
        self._assigned = 0
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
                match message:
                    case Assign(job_id, request):
                        self._post(Assign(self._add(job_id, request), request))
                    case Cancel(job_id):
                        if (key := self._keys.get(job_id)) is not None:
                            self._post(Cancel(key))
                    case Drain():
                        self._post(message)
        except FrameError:
            log.exception("the engine core sent garbage")
        # The core is dead. The device thread may be in the middle of a long call that nobody can
        # interrupt and nobody wants any more.
        os._exit(0)

    def _add(self, job_id: str, request: GenerationRequest) -> str:
        """Note a job that was assigned; its key, in which its id can still be found in a log."""
        self._assigned += 1
        key = self._keys[job_id] = f"{job_id}#{self._assigned}"
        self._jobs[key] = _Job(job_id, request)
        return key

    def _post(self, message: CoreToWorker) -> None:
        if self._batching is None:
            self._early.append(message)
        else:
            self._batching.post(message)

    # --- what the batching loop says, on the device thread; its job ids are keys ---

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

    def _collect(self, key: str, index: int, image: Image) -> None:
        job = self._jobs.get(key)
        if job is None:
            return
        job.images[index] = image
        if len(job.images) == job.request.num_images_per_prompt:
            images = [job.images[index] for index in range(len(job.images))]
            self._end_now(Finished(key, images, time.monotonic() - job.started))

    def _send(self, message: Progress | Preview) -> None:
        self._loop.call_soon_threadsafe(self._send_if_running, message)

    def _send_if_running(self, message: Progress | Preview) -> None:
        if (job := self._jobs.get(message.job_id)) is not None:
            self._channel.send(msgspec.structs.replace(message, job_id=job.job_id))

    def _end(self, event: TerminalEvent) -> None:
        self._loop.call_soon_threadsafe(self._end_now, event)

    def _end_now(self, event: TerminalEvent) -> None:
        """The only place where a job of this worker ends; what comes after that is not sent."""
        job = self._jobs.pop(event.job_id, None)
        if job is None:
            return
        self._keys.pop(job.job_id, None)
        self._channel.send(msgspec.structs.replace(event, job_id=job.job_id))
        if isinstance(event, Failed) and self._batching is not None:
            self._batching.post(Cancel(event.job_id))  # its other pictures are for nobody
