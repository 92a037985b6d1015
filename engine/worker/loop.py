"""The batching loop of one worker: which samples share the next UNet call. Step 7 of a request's life.

Runs on the worker's device thread and never waits while there is work: a job's samples join at the next
step, and leave when their own steps are done. Everything else, messages and picture files, is on other
threads (`engine.worker.server`).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from engine.protocol import Assign, Cancel, Drain
from engine.worker.halving import call_or_halve
from engine.worker.interfaces import Listener, Model, Sample, Shape

log = logging.getLogger(__name__)

PREVIEW_SECONDS = 1.0
DECODE_BATCH = 2
"""Samples per autoencoder call: few, so that those in the middle of their steps do not wait long."""


@dataclass
class _RunningJob:
    num_steps: int
    samples: list[Sample]
    decoded: int = 0
    step: int = 0
    previewed: float = field(default_factory=time.monotonic)

    @property
    def total(self) -> int:
        return self.decoded + len(self.samples)


class BatchingLoop:
    """Runs until it was told to drain and everything is done."""

    def __init__(self, model: Model, listener: Listener) -> None:
        self._model = model
        self._listener = listener
        self._max_batch_size = model.max_batch_size
        self._inbox: SimpleQueue[Assign | Cancel | Drain] = SimpleQueue()
        self._jobs: dict[str, _RunningJob] = {}
        self._waiting: deque[Sample] = deque()
        self._running: dict[Shape, list[Sample]] = {}
        self._turns: dict[Shape, float] = {}
        self._limits: dict[Shape, int] = {}
        self._decoding: deque[Sample] = deque()
        self._decode_batch = DECODE_BATCH
        self._draining = False

    def post(self, message: Assign | Cancel | Drain) -> None:
        """Give the loop something to do; from any thread."""
        self._inbox.put(message)

    def run(self) -> None:
        """The loop itself."""
        while self.turn():
            pass

    def turn(self, *, wait: bool = True) -> bool:
        """Messages, one step of one batch, one decoding; False when it is all over.

        Where there is nothing to do it waits for a message, if it may.
        """
        if not self._receive(wait):
            return False
        self._join()
        if self._running:
            self._step(self._next_shape())
        self._decode()
        return True

    def _receive(self, wait: bool) -> bool:
        """Take all messages, waiting for one only if there is nothing to do; False when it is all over."""
        while True:
            is_idle = not self._jobs
            if is_idle and self._draining:
                return False
            try:
                message = self._inbox.get(block=is_idle and wait)
            except Empty:
                return True
            match message:
                case Assign():
                    self._start(message)
                case Cancel(job_id):
                    if self._forget(job_id):
                        self._listener.on_cancelled(job_id)
                case Drain():
                    self._draining = True

    def _start(self, message: Assign) -> None:
        try:
            samples = self._model.start(message)
            if not samples:
                raise ValueError("a job without a picture would never end")
        except Exception as error:
            log.exception("job %s could not be started", message.job_id)
            self._listener.on_failed(message.job_id, error)
            return
        self._jobs[message.job_id] = _RunningJob(message.request.num_inference_steps, list(samples))
        self._waiting.extend(samples)

    def _join(self) -> None:
        """Move waiting samples, oldest first, into the batches of their shapes."""
        for sample in list(self._waiting):
            batch = self._running.get(sample.shape, [])
            if len(batch) >= self._limits.get(sample.shape, self._max_batch_size):
                continue
            if not batch:
                # A shape that comes new has no time to catch up on.
                self._turns[sample.shape] = min((self._turns[each] for each in self._running), default=0.0)
            self._running[sample.shape] = [*batch, sample]
            self._waiting.remove(sample)

    def _next_shape(self) -> Shape:
        """Shapes take turns so that a sample of each gets the same time, large pictures fewer steps."""
        shape = min(self._running, key=self._turns.__getitem__)
        self._turns[shape] += shape[0] * shape[1]
        return shape

    def _step(self, shape: Shape) -> None:
        batch = self._running[shape]
        room = call_or_halve(self._model.step, batch, is_wanted=self._is_wanted, fail=self._fail)
        if room < len(batch):
            self._limits[shape] = room
        self._decoding.extend(sample for sample in batch if sample.done >= 1 and self._is_wanted(sample))
        for job_id in dict.fromkeys(sample.job_id for sample in batch):
            self._report(job_id)
        going_on = [sample for sample in self._running.get(shape, []) if sample.done < 1]
        limit = self._limits.get(shape, self._max_batch_size)
        self._keep(shape, going_on[:limit])
        self._waiting.extendleft(reversed(going_on[limit:]))

    def _report(self, job_id: str) -> None:
        """Tell how far a job is, and now and then show its first unfinished picture."""
        job = self._jobs.get(job_id)
        if job is None:
            return
        share = (job.decoded + sum(sample.done for sample in job.samples)) / job.total
        step = max(1, int(share * job.num_steps + 1e-6))
        if step > job.step:
            job.step = step
            self._listener.on_step(job_id, step, job.num_steps)
        now = time.monotonic()
        if now - job.previewed >= PREVIEW_SECONDS:
            job.previewed = now
            self._preview(job_id, job.samples[0])

    def _preview(self, job_id: str, sample: Sample) -> None:
        try:
            pixels = self._model.preview(sample)
        except Exception:  # a look that nobody needs must not end the picture, or the worker
            log.exception("no preview of job %s", job_id)
        else:
            self._listener.on_preview(job_id, pixels)

    def _decode(self) -> None:
        """One micro-batch, oldest first; the rest after the next step."""
        if not self._decoding:
            return
        shape = self._decoding[0].shape
        samples = [sample for sample in self._decoding if sample.shape == shape][: self._decode_batch]
        for sample in samples:
            self._decoding.remove(sample)
        room = call_or_halve(self._decode_now, samples, is_wanted=self._is_wanted, fail=self._fail)
        if room < len(samples):
            self._decode_batch = room

    def _decode_now(self, samples: Sequence[Sample]) -> None:
        self._listener.on_decoded(samples, self._model.decode(samples))
        for sample in samples:
            job = self._jobs[sample.job_id]
            job.samples.remove(sample)
            job.decoded += 1
            if not job.samples:
                del self._jobs[sample.job_id]

    def _is_wanted(self, sample: Sample) -> bool:
        return sample.job_id in self._jobs

    def _fail(self, sample: Sample, error: Exception) -> None:
        if self._forget(sample.job_id):
            self._listener.on_failed(sample.job_id, error)

    def _forget(self, job_id: str) -> bool:
        """Remove all samples of a job; whether there were any."""
        if self._jobs.pop(job_id, None) is None:
            return False
        for samples in (self._waiting, self._decoding):
            kept = [sample for sample in samples if sample.job_id != job_id]
            samples.clear()
            samples.extend(kept)
        for shape, batch in list(self._running.items()):
            self._keep(shape, [sample for sample in batch if sample.job_id != job_id])
        return True

    def _keep(self, shape: Shape, samples: list[Sample]) -> None:
        if samples:
            self._running[shape] = samples
        else:
            self._running.pop(shape, None)
