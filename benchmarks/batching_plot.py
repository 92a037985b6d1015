"""A picture of step-level batching: when each of a few requests waits, is drawn and is done, in two ways.

`python -m benchmarks.batching_plot docs/images/batching.png` serves the same random arrivals with the
worker's own loop, and in batches that nobody joins, on one CPU core with a tiny UNet (`benchmarks.batching`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.patches import Rectangle

from benchmarks.batching import LOAD
from benchmarks.clock import CpuClock, Outcome
from benchmarks.continuous import run_continuous
from benchmarks.peers import RunToLongest, oldest, run_in_batches
from benchmarks.tiny_model import CARD, SIZE, tiny_parts
from benchmarks.trace import Arrival, at_once, mixed_requests, poisson
from engine.protocol import Assign
from engine.worker.batch import DiffusionSample
from engine.worker.interfaces import Pending
from engine.worker.model import DiffusionModel

MAX_BATCH_SIZE = 4
WAITING, DRAWN = "#c9c9d6", "#4c72b0"


class NotingModel:
    """A model, and the moment of each picture's first step by the picture's seed."""

    def __init__(self, model: DiffusionModel, clock: CpuClock) -> None:
        self.card = model.card
        self.max_batch_size = model.max_batch_size
        self.begun: dict[int, float] = {}
        self._model = model
        self._clock = clock

    def start(self, job: Assign) -> Sequence[DiffusionSample]:
        return self._model.start(job)

    def step(self, samples: Sequence[DiffusionSample]) -> None:
        now = self._clock.now()
        for sample in samples:
            self.begun.setdefault(sample.generator.initial_seed(), now)
        self._model.step(samples)

    def decode(self, samples: Sequence[DiffusionSample]) -> Pending:
        return self._model.decode(samples)

    def preview(self, sample: DiffusionSample) -> Pending:
        return self._model.preview(sample)


def draw_rows(axes: Any, title: str, outcome: Outcome, begun: dict[int, float]) -> None:
    """One row a request: from its arrival to its first step, and from there to its picture."""
    for number, arrival in enumerate(outcome.arrivals):
        start = begun[arrival.request.seed]
        end = arrival.at + outcome.seconds[number]
        axes.barh(number, start - arrival.at, left=arrival.at, color=WAITING, height=0.8)
        axes.barh(number, end - start, left=start, color=DRAWN, height=0.8)
    half, most = outcome.percentile(0.5), outcome.percentile(0.95)
    axes.set_title(f"{title}: half within {half:.2f} s, 95 % within {most:.2f} s", loc="left", fontsize=11)
    axes.invert_yaxis()
    axes.set_yticks([])
    axes.set_ylabel("requests")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def serve_both(arrivals: Sequence[Arrival], model: DiffusionModel, file: Path) -> None:
    """Serve the arrivals in both ways, and plot both."""
    figure, (upper, lower) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 7), layout="constrained")
    clock = CpuClock()
    noting = NotingModel(model, clock)
    longest = RunToLongest(noting)
    outcome = run_in_batches(arrivals, clock, oldest(MAX_BATCH_SIZE), longest.draw)
    draw_rows(upper, "A batch runs until its longest request is done", outcome, noting.begun)
    clock = CpuClock()
    noting = NotingModel(model, clock)
    outcome = run_continuous(noting, arrivals, clock).outcome
    draw_rows(lower, "Requests join and leave at every step", outcome, noting.begun)
    lower.set_xlabel("seconds of one CPU core, with a tiny UNet")
    handles = [Rectangle((0, 0), 1, 1, color=color) for color in (WAITING, DRAWN)]
    upper.legend(handles, ["waits", "is drawn"], loc="upper right", frameon=False)
    figure.savefig(file, dpi=110)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--requests", type=int, default=24)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = DiffusionModel(tiny_parts(), CARD, max_batch_size=MAX_BATCH_SIZE)
    requests = mixed_requests(args.requests, seed=3, size=SIZE)
    # Once before, so that all tables and prompts are known; it also tells what the machine can do.
    saturated = run_continuous(model, at_once(requests), CpuClock()).outcome.pictures_per_second
    serve_both(poisson(requests, rate=LOAD * saturated, seed=1), model, args.file)


if __name__ == "__main__":
    main()
