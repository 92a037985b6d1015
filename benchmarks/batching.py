"""What it is worth that samples join and leave at every step, on one CPU core with a tiny UNet.

Four ways to serve the same requests take turns, round by round, timed by the CPU time of this process:

- continuous: the worker's own loop, tables and model (`engine.worker`);
- one by one: diffusers, a request at a time;
- static: diffusers, waiting requests with equal settings together;
- run to longest: the worker's own model, but a batch stays together until its longest request is done.

Throughput is measured with all requests there at the start, which is when static batches can be largest.
Times are measured with random arrivals at 70 % of what the slower of the two compared ways can do.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks import report
from benchmarks.clock import CpuClock, Outcome
from benchmarks.continuous import Feeder, run_continuous
from benchmarks.peers import (
    Draw,
    PlainDiffusers,
    RunToLongest,
    Take,
    equal_ones,
    first_only,
    oldest,
    run_in_batches,
)
from benchmarks.tiny_model import CARD, SIZE, tiny_parts
from benchmarks.trace import Arrival, at_once, equal_requests, mixed_requests, poisson
from engine.protocol import GenerationRequest
from engine.worker.model import DiffusionModel

GOALS = {
    "continuous_vs_one_by_one": report.Goal(2.2),
    "continuous_vs_static": report.Goal(1.5),
    "p95_vs_run_to_longest": report.Goal(0.8, at_most=True),
    "loop_overhead": report.Goal(0.08, at_most=True),
    "max_latent_difference": report.Goal(1e-4, at_most=True),
}

LOAD = 0.7
TRACES = 3
"""Of random arrivals in each round: the 95th percentile of one is the time of one or two requests."""

Latents = dict[int, torch.Tensor]


class Bench:
    """The four ways, ready to run."""

    def __init__(self, max_batch_size: int) -> None:
        torch.set_num_threads(1)
        parts = tiny_parts()
        self._unet = parts.unet
        self._max_batch_size = max_batch_size
        self._model = DiffusionModel(parts, CARD, max_batch_size=max_batch_size)
        self._diffusers = PlainDiffusers(parts)
        self._longest = RunToLongest(self._model)

    def continuous(self, arrivals: Sequence[Arrival]) -> Feeder:
        """The worker's own loop."""
        return run_continuous(self._model, arrivals, CpuClock())

    def one_by_one(self, arrivals: Sequence[Arrival]) -> Outcome:
        """diffusers, a request at a time."""
        return self._in_batches(arrivals, first_only, self._diffusers.draw)

    def static(self, arrivals: Sequence[Arrival]) -> Outcome:
        """diffusers, equal requests together."""
        return self._in_batches(arrivals, equal_ones(self._max_batch_size), self._diffusers.draw)

    def to_longest(self, arrivals: Sequence[Arrival]) -> Outcome:
        """Batches that nobody joins."""
        return self._in_batches(arrivals, oldest(self._max_batch_size), self._longest.draw)

    @staticmethod
    def _in_batches(arrivals: Sequence[Arrival], take: Take, draw: Draw) -> Outcome:
        return run_in_batches(arrivals, CpuClock(), take, draw)

    def overhead(self, arrivals: Sequence[Arrival]) -> float:
        """CPU time of the continuous way over that of its UNet calls, less 1.

        Each call is made once more, bare, right after it, so that both see the same machine.
        """
        bare = 0.0

        def again(unet: Any, args: Any, kwargs: Any, _output: Any) -> None:
            nonlocal bare
            started = time.process_time()
            unet.forward(*args, **kwargs)
            bare += time.process_time() - started

        hook = self._unet.register_forward_hook(again, with_kwargs=True)
        try:
            total = self.continuous(arrivals).outcome.total
        finally:
            hook.remove()
        return (total - 2 * bare) / bare


def difference(one: Latents, other: Latents) -> float:
    """The largest, relative to the largest value of the same latent where that is above 1."""
    assert one.keys() == other.keys()
    return max(float((one[key] - other[key]).abs().max() / one[key].abs().max().clamp(min=1)) for key in one)


def compare_throughput(bench: Bench, requests: Sequence[GenerationRequest], *, turn: int) -> dict[str, float]:
    """Everything is there at the start. Pictures a second of each way, and how far apart latents are."""
    arrivals = at_once(requests)
    ways: list[Callable[[Sequence[Arrival]], Any]] = [
        bench.continuous,
        bench.one_by_one,
        bench.static,
        bench.to_longest,
    ]
    names = ["continuous", "one_by_one", "static", "run_to_longest"]
    order = [(number + turn) % len(ways) for number in range(len(ways))]
    outcomes: dict[str, Outcome] = {}
    for number in order:
        done = ways[number](arrivals)
        outcomes[names[number]] = done.outcome if isinstance(done, Feeder) else done
    found = {name: outcome.pictures_per_second for name, outcome in outcomes.items()}
    first = outcomes["one_by_one"].latents
    found["difference"] = max(difference(first, outcome.latents) for outcome in outcomes.values())
    return found


def compare_times(
    bench: Bench, requests: Sequence[GenerationRequest], rate: float, *, turn: int
) -> dict[str, float]:
    """Random arrivals. The 95th and 50th percentile of both ways that take mixed batches."""
    arrivals = poisson(requests, rate=rate, seed=turn)
    found: dict[str, float] = {}
    for way in ("continuous", "run_to_longest") if turn % 2 else ("run_to_longest", "continuous"):
        outcome = bench.continuous(arrivals).outcome if way == "continuous" else bench.to_longest(arrivals)
        found |= {f"{way}_p50": outcome.percentile(0.5), f"{way}_p95": outcome.percentile(0.95)}
    return found


def measure(bench: Bench, *, rounds: int, count: int, max_steps: int) -> dict[str, Any]:
    """All rounds; medians over the rounds of what was compared within a round."""
    mixed = [mixed_requests(count, seed=seed, size=SIZE, max_steps=max_steps) for seed in range(rounds)]
    same = equal_requests(count, seed=0, size=SIZE, steps=min(28, max_steps))
    for requests in (same, *mixed):
        # From here on every way knows all prompts, and the worker's model all tables: what is measured is how
        # requests share calls. The static way draws with the encoder that one by one has filled.
        bench.continuous(at_once(requests))
        bench.one_by_one(at_once(requests))
    saturated: list[dict[str, float]] = []
    timed: list[dict[str, float]] = []
    overheads: list[float] = []
    for turn, requests in enumerate(mixed):
        saturated.append(compare_throughput(bench, requests, turn=turn))
        slower = min(saturated[-1]["continuous"], saturated[-1]["run_to_longest"])
        for trace in range(turn * TRACES, (turn + 1) * TRACES):
            timed.append(compare_times(bench, requests, LOAD * slower, turn=trace))
        overheads.append(bench.overhead(at_once(requests)))
    equal = compare_throughput(bench, same, turn=0)
    return summary(saturated, timed, overheads) | {
        "continuous_vs_static_when_all_are_equal": equal["continuous"] / equal["static"]
    }


def summary(
    saturated: Sequence[dict[str, float]], timed: Sequence[dict[str, float]], overheads: Sequence[float]
) -> dict[str, Any]:
    """The keys of the report."""

    def ratio(rounds: Sequence[dict[str, float]], one: str, other: str) -> list[float]:
        return [each[one] / each[other] for each in rounds]

    one_by_one = ratio(saturated, "continuous", "one_by_one")
    static = ratio(saturated, "continuous", "static")
    p95 = ratio(timed, "continuous_p95", "run_to_longest_p95")
    names = ("continuous", "one_by_one", "static", "run_to_longest")
    return {
        "continuous_vs_one_by_one": statistics.median(one_by_one),
        "continuous_vs_static": statistics.median(static),
        "p95_vs_run_to_longest": statistics.median(p95),
        "loop_overhead": statistics.median(overheads),
        "max_latent_difference": max(each["difference"] for each in saturated),
        "p50_vs_run_to_longest": statistics.median(ratio(timed, "continuous_p50", "run_to_longest_p50")),
        "pictures_per_cpu_second": {
            name: statistics.median([each[name] for each in saturated]) for name in names
        },
        "rounds": {
            "continuous_vs_one_by_one": one_by_one,
            "continuous_vs_static": static,
            "p95_vs_run_to_longest": p95,
            "loop_overhead": list(overheads),
        },
    }


def main() -> None:
    """The command line."""
    parser = report.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=48, help="in each round")
    parser.add_argument("--max-batch-size", type=int, default=8)
    parser.add_argument("--max-steps", type=int, default=60, help="no request has more")
    args = parser.parse_args()
    bench = Bench(args.max_batch_size)
    results = measure(bench, rounds=args.rounds, count=args.requests, max_steps=args.max_steps)
    asked = {name: value for name, value in vars(args).items() if name != "json"}
    conditions = report.conditions(clock="CPU time of the process", torch_threads=1, asked=asked)
    title = "Samples that join and leave at every step, on the CPU"
    report.publish(title, results, goals=GOALS, conditions=conditions, as_json=args.json)


if __name__ == "__main__":
    main()
