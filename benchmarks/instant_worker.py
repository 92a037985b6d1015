"""A worker that draws nothing and does all the rest; the engine starts it as `benchmarks.instant_worker`.

Its message thread, batching loop and PNG encoders are the real ones, around a model whose pictures are flat.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.logs import configure_logging
from engine.models import read_model
from engine.protocol import Assign, ModelCard
from engine.worker.__main__ import parse_arguments
from engine.worker.interfaces import Pending
from engine.worker.server import WorkerServer


@dataclass(eq=False)
class InstantSample:
    """A picture that takes its steps at no cost."""

    job_id: str
    index: int
    shape: tuple[int, int]
    steps: int
    calls: int = 0

    @property
    def done(self) -> float:
        return self.calls / self.steps


class InstantModel:
    """A model for BatchingLoop."""

    def __init__(self, card: ModelCard, max_batch_size: int) -> None:
        self.card = card
        self.max_batch_size = max_batch_size

    def start(self, job: Assign) -> list[InstantSample]:
        request = job.request
        shape = request.height, request.width
        return [
            InstantSample(job.job_id, index, shape, request.num_inference_steps)
            for index in range(request.num_images_per_prompt)
        ]

    def step(self, samples: Sequence[InstantSample]) -> None:
        for sample in samples:
            sample.calls += 1

    def decode(self, samples: Sequence[InstantSample]) -> Pending:
        pictures = [np.full((*sample.shape, 3), 127, np.uint8) for sample in samples]
        return lambda: pictures

    def preview(self, sample: InstantSample) -> Pending:
        return self.decode([sample])


def main() -> None:
    """The command line of engine.worker."""
    args = parse_arguments()
    configure_logging("WARNING")
    server = WorkerServer(lambda: InstantModel(read_model(args.model), args.max_batch_size))
    asyncio.run(server.serve(socket.socket(fileno=args.fd)))


if __name__ == "__main__":
    main()
