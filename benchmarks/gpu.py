"""A full-size Stable Diffusion v1 on one GPU: our loop, and others in the same run.

The weights are random, float16 and channels-last, for all alike. Pictures are 512 x 512, 30 steps with
guidance where nothing else is said; the mixed trace has other steps, cfg and samplers too. `--tiny --device
cpu` runs the same code on the demo model in seconds; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import ray_serve, report
from benchmarks.clock import Outcome, WallClock
from benchmarks.continuous import run_continuous_beside
from benchmarks.peers import PlainDiffusers, equal_ones, first_only, run_in_batches
from benchmarks.sd1 import load_pipeline, write_folder
from benchmarks.trace import Arrival, at_once, equal_requests, mixed_requests, poisson
from engine.client import EngineClient
from engine.models import read_model
from engine.protocol import EngineReady, Finished, GenerationRequest
from engine.worker.loading import ModelOptions, load_model

GOALS = {
    "images_per_s": report.Goal(5.0),
    "single_s": report.Goal(0.45, at_most=True),
    "p95_s": report.Goal(2.0, at_most=True),
    "continuous_vs_one_by_one": report.Goal(2.5),
}
"""What must be reached on one H100; the targets are 7.0, 0.30, 1.5 and 3.5."""

LOAD = 0.7
LIMIT = 3.0

Way = Callable[[Sequence[Arrival]], Outcome]


class Bench:
    """One model, and all ways to serve it."""

    def __init__(self, folder: Path, args: Any) -> None:
        self.pipe = load_pipeline(folder, args.device)
        card = read_model(folder)
        self.size = card.sizes["square"]
        self._max_batch_size = args.max_batch_size
        options = ModelOptions(
            device=args.device,
            threads=torch.get_num_threads(),
            max_batch_size=args.max_batch_size,
            is_compiled=args.compile_mode != "none",
        )
        self._model = load_model(folder, options)
        self._diffusers = PlainDiffusers(self.pipe)  # one for all rounds: it remembers prompts, as ours does

    def continuous(self, arrivals: Sequence[Arrival]) -> Outcome:
        """The worker's own loop."""
        return run_continuous_beside(self._model, arrivals, WallClock()).outcome

    def one_by_one(self, arrivals: Sequence[Arrival]) -> Outcome:
        """diffusers, a request at a time."""
        return run_in_batches(arrivals, WallClock(), first_only, self._diffusers.draw)

    def static(self, arrivals: Sequence[Arrival]) -> Outcome:
        """diffusers, equal requests together."""
        take = equal_ones(self._max_batch_size)
        return run_in_batches(arrivals, WallClock(), take, self._diffusers.draw)

    def compiled(self, mode: str) -> Way:
        """diffusers, a request at a time, with a compiled UNet."""
        compiled = PlainDiffusers(self.pipe, torch.compile(self.pipe.unet, mode=mode))
        return lambda arrivals: run_in_batches(arrivals, WallClock(), first_only, compiled.draw)


def all_ways(bench: Bench, compile_mode: str) -> dict[str, Way]:
    """By name; the compiled one compiles when it is first called."""
    ways: dict[str, Way] = {
        "continuous": bench.continuous,
        "one_by_one": bench.one_by_one,
        "static": bench.static,
    }
    if compile_mode != "none":
        ways["compiled_one_by_one"] = bench.compiled(compile_mode)
    return ways


def saturated(ways: dict[str, Way], requests: Sequence[GenerationRequest], rounds: int) -> dict[str, float]:
    """Pictures a second of each way, everything being there at the start; the ways take turns."""
    for way in ways.values():
        way(at_once(requests))
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            rates[name].append(way(at_once(requests)).pictures_per_second)
    return {name: statistics.median(each) for name, each in rates.items()}


def single(way: Way, requests: Sequence[GenerationRequest]) -> float:
    """Seconds of one picture with nothing else to do, the median of several."""
    return statistics.median(way(at_once([each])).seconds[0] for each in requests)


def under_load(bench: Bench, requests: Sequence[GenerationRequest]) -> dict[str, Any]:
    """Random arrivals of mixed requests, at a share of what our loop can do of them; static gets the same."""
    capacity = bench.continuous(at_once(requests)).pictures_per_second
    arrivals = poisson(requests, rate=LOAD * capacity, seed=0)
    ways: dict[str, Way] = {"continuous": bench.continuous, "static": bench.static}
    outcomes = {name: way(arrivals) for name, way in ways.items()}
    ours = outcomes["continuous"]
    return {
        "p50_s": ours.percentile(0.5),
        "p95_s": ours.percentile(0.95),
        "mixed_images_per_s": capacity,
        "goodput_at_3_s": ours.within(LIMIT),
        "p95_s_by_way": {name: outcome.percentile(0.95) for name, outcome in outcomes.items()},
        "goodput_at_3_s_by_way": {name: outcome.within(LIMIT) for name, outcome in outcomes.items()},
    }


def idle_share(bench: Bench, requests: Sequence[GenerationRequest]) -> float | None:
    """The share of the time between the first and the last kernel in which the GPU ran none."""
    if not torch.cuda.is_available():
        return None
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profiler:
        bench.continuous(at_once(requests))
        torch.cuda.synchronize()
    events: Any = profiler.events()
    on_gpu = [each for each in events if "CUDA" in str(each.device_type)]
    spans = sorted((each.time_range.start, each.time_range.end) for each in on_gpu)
    busy, until = 0.0, spans[0][0]
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return 1 - busy / (until - spans[0][0])


async def cold_start(folder: Path, device: str, request: GenerationRequest) -> tuple[float, float]:
    """Seconds until a new engine with this model says that it is ready, and until its first picture."""
    started = time.perf_counter()
    client = EngineClient(folder, devices=device)
    await client.start()
    try:
        status = await client.wait_settled()
        if not isinstance(status, EngineReady):
            raise RuntimeError(f"the engine cannot draw: {status}")
        ready = time.perf_counter() - started
        events = [event async for event in client.submit("first", request)]
        assert isinstance(events[-1], Finished), events[-1]
        return ready, time.perf_counter() - started
    finally:
        await client.close()


def measure(folder: Path, args: Any) -> dict[str, Any]:
    """All of it. The cold start comes first, when nothing is on the GPU; the folder was just written, so that
    its files are in the memory of the machine."""
    size = read_model(folder).sizes["square"]
    equal = equal_requests(args.requests, seed=0, size=size, steps=args.steps)
    mixed = mixed_requests(args.requests, seed=1, size=size, max_steps=2 * args.steps)
    ready, first = asyncio.run(cold_start(folder, args.device, equal[0]))
    served: list[float] = []
    if args.ray and ray_serve.is_installed():
        served = ray_serve.pictures_per_second(folder, args.device, args.max_batch_size, equal, args.rounds)
    bench = Bench(folder, args)
    ways = all_ways(bench, args.compile_mode)
    rates = saturated(ways, equal, args.rounds)
    if served:
        rates["ray_serve"] = statistics.median(served)
    singles = {name: single(way, equal[:5]) for name, way in ways.items() if name != "static"}
    return {
        "images_per_s": rates["continuous"],
        "single_s": singles["continuous"],
        "continuous_vs_one_by_one": rates["continuous"] / rates["one_by_one"],
        **under_load(bench, mixed),
        "gpu_idle_share": idle_share(bench, equal[: 2 * args.max_batch_size]),
        "cold_start_s": {"ready": ready, "first_picture": first},
        "images_per_s_by_way": rates,
        "single_s_by_way": singles,
    }


def main() -> None:
    """The command line."""
    parser = report.parser(__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--tiny", action="store_true", help="the demo model: only to try the program")
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-batch-size", type=int, default=8)
    parser.add_argument("--compile-mode", default="max-autotune", help="of torch.compile; none: leave it out")
    parser.add_argument(
        "--ray", action=argparse.BooleanOptionalAction, default=True, help="if it is installed"
    )
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no GPU; --tiny --device cpu tries the program without one")
    if args.device == "cpu":
        torch.set_num_threads(1)  # more of them get in each other's way on busy cores
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        write_folder(folder, args.device, tiny=args.tiny)
        results = measure(folder, args)
    device = torch.cuda.get_device_name(args.device) if args.device.startswith("cuda") else args.device
    asked = {name: value for name, value in vars(args).items() if name != "json"}
    conditions = report.conditions(device, clock="wall", asked=asked)
    report.publish(
        "Stable Diffusion v1 on one device",
        results,
        goals={} if args.tiny else GOALS,
        conditions=conditions,
        as_json=args.json,
    )


if __name__ == "__main__":
    main()
