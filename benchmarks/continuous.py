"""The worker's own batching loop and model, fed with a trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.clock import Clock, Outcome
from benchmarks.trace import Arrival
from engine.protocol import Assign, Drain
from engine.worker.batch import DiffusionSample
from engine.worker.interfaces import Model, Pending
from engine.worker.loop import BatchingLoop

Resolve = Callable[[Callable[[], None]], object]


class Feeder:
    """Stands between the loop and its model, and is the loop's listener.

    Requests reach the loop's inbox when the clock says so: after a step, which is when the loop looks, or at
    once if it has nothing to do.
    """

    def __init__(self, model: Model, arrivals: Sequence[Arrival], clock: Clock, resolve: Resolve) -> None:
        self.card = model.card
        self.max_batch_size = model.max_batch_size
        self.outcome = Outcome(arrivals, clock)
        self.batch_sizes: list[int] = []
        self._model = model
        self._clock = clock
        self._resolve = resolve
        self._posted = 0
        self._decoded = 0
        self._loop: BatchingLoop

    def run(self) -> None:
        """Until everything has come and is done."""
        self._loop = BatchingLoop(self, self)
        self._post_next()
        self._loop.run()

    def _post_due(self) -> None:
        arrivals = self.outcome.arrivals
        while self._posted < len(arrivals) and arrivals[self._posted].at <= self._clock.now():
            self._loop.post(Assign(str(self._posted), arrivals[self._posted].request))
            self._posted += 1

    def _post_next(self) -> None:
        if self._posted == len(self.outcome.arrivals):
            self._loop.post(Drain())
            return
        self._clock.wait_until(self.outcome.arrivals[self._posted].at)
        self._post_due()

    # --- the model ---

    def start(self, job: Assign) -> Sequence[DiffusionSample]:
        return self._model.start(job)

    def step(self, samples: Sequence[DiffusionSample]) -> None:
        self.batch_sizes.append(len(samples))
        self._model.step(samples)
        self._post_due()

    def decode(self, samples: Sequence[DiffusionSample]) -> Pending:
        return self._model.decode(samples)

    def preview(self, sample: DiffusionSample) -> Pending:
        return self._model.preview(sample)

    # --- the listener ---

    def on_step(self, job_id: str, step: int, num_steps: int) -> None:
        pass

    def on_preview(self, job_id: str, pending: Pending) -> None:
        pass

    def on_decoded(self, samples: Sequence[Any], pending: Pending) -> None:
        def finish() -> None:
            pictures = pending()
            for sample, picture in zip(samples, pictures, strict=True):
                if picture is None:
                    raise ValueError(f"request {sample.job_id} has no picture")
                self.outcome.finish(int(sample.job_id))

        self._resolve(finish)
        for sample in samples:
            self.outcome.latents[int(sample.job_id)] = sample.latent
        self._decoded += len(samples)
        if self._decoded == self._posted:
            self._post_next()

    def on_failed(self, job_id: str, error: Exception) -> None:
        raise RuntimeError(f"request {job_id} failed") from error

    def on_cancelled(self, job_id: str) -> None:
        raise AssertionError(job_id)


def run_continuous(model: Model, arrivals: Sequence[Arrival], clock: Clock) -> Feeder:
    """Run a trace in this thread alone, as CPU time has it."""
    feeder = Feeder(model, arrivals, clock, lambda finish: finish())
    feeder.run()
    return feeder


def run_continuous_beside(model: Model, arrivals: Sequence[Arrival], clock: Clock) -> Feeder:
    """Run a trace on a device: other threads wait for its pictures, as in the worker."""
    with ThreadPoolExecutor(4) as threads:
        futures: list[Any] = []
        feeder = Feeder(model, arrivals, clock, lambda finish: futures.append(threads.submit(finish)))
        feeder.run()
    for future in futures:
        future.result()
    return feeder
