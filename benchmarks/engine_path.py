"""What a job costs from bot to engine to worker and back, without the models: four real processes.

The models of worker and checker do nothing, but their threads, loops and PNG encoders are the real ones. A
job takes `--steps` steps, each reported to the bot, and makes a flat picture of 64 x 64, a file of a few
hundred bytes. The keys that end in `_with_png` are of files with as many bytes as a real picture's
(`--png-bytes`), which a long model name fills up. To compress a real picture of 512 x 512 takes an encoder
thread 30 to 60 ms: that is no part of either, nor is what the classifiers take.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import report
from engine.client import EngineClient
from engine.models import CARD_NAME, COMPONENTS
from engine.protocol import EngineReady, Finished, GenerationRequest, ModelCard

GOALS = {"p50_ms": report.Goal(5.0, at_most=True), "jobs_per_s": report.Goal(500.0)}

WORKER = "benchmarks.instant_worker"
CHECKER = "benchmarks.instant_checker"


def make_request(steps: int) -> GenerationRequest:
    """The one request that is asked for again and again."""
    return GenerationRequest(
        prompt="a girl with blue hair, watercolor",
        negative_prompt="lowres, bad hands",
        width=64,
        height=64,
        num_inference_steps=steps,
        guidance_scale=7.0,
        sampler="DPM++ 2M Karras",
        seed=1,
    )


def write_model(folder: Path, png_bytes: int) -> None:
    """A folder with the names of a model's files, of which the instant worker reads the card alone."""
    folder.joinpath("model_index.json").write_text("{}", encoding="utf-8")
    card = ModelCard(name="x" * png_bytes, sizes={"square": (64, 64)})
    folder.joinpath(CARD_NAME).write_bytes(msgspec.json.encode(card))
    for component, patterns in COMPONENTS.items():
        folder.joinpath(component).mkdir()
        for pattern in patterns:
            folder.joinpath(component, pattern.replace("*", "")).write_text("{}", encoding="utf-8")


@asynccontextmanager
async def instant_engine(png_bytes: int) -> AsyncGenerator[EngineClient]:
    """An engine process with one instant worker."""
    os.environ.setdefault("TRINART_LOG_LEVEL", "WARNING")
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), png_bytes)
        client = EngineClient(Path(folder), devices="cpu", worker_module=WORKER, checker_module=CHECKER)
        await client.start()
        try:
            status = await client.wait_settled()
            if not isinstance(status, EngineReady):
                raise RuntimeError(f"the engine cannot draw: {status}")
            yield client
        finally:
            await client.close()


async def draw(client: EngineClient, job_id: str, request: GenerationRequest) -> float:
    """One job; the milliseconds until its picture is here."""
    started = time.perf_counter()
    events = [event async for event in client.submit(job_id, request)]
    if not isinstance(events[-1], Finished):
        raise RuntimeError(f"job {job_id} ended with {events[-1]}")
    return (time.perf_counter() - started) * 1000


async def draw_many(client: EngineClient, request: GenerationRequest, jobs: int, at_once: int) -> float:
    """So many jobs, `at_once` of them in flight; jobs a second."""
    numbers = iter(range(jobs))

    async def one_after_another() -> None:
        for number in numbers:
            await draw(client, f"many-{number}", request)

    started = time.perf_counter()
    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    return jobs / (time.perf_counter() - started)


async def measure_with(png_bytes: int, args: Any) -> tuple[list[float], list[float]]:
    """Single jobs, one after another, then many at once: milliseconds of each, and jobs a second by round."""
    request = make_request(args.steps)
    async with instant_engine(png_bytes) as client:
        for number in range(min(50, args.jobs)):
            await draw(client, f"warm-{number}", request)
        single = [await draw(client, f"single-{number}", request) for number in range(args.single_jobs)]
        return single, [await draw_many(client, request, args.jobs, args.at_once) for _ in range(args.rounds)]


async def measure(args: Any) -> dict[str, Any]:
    """Without the bytes of a picture, and with them."""
    single, rates = await measure_with(0, args)
    heavy_single, heavy_rates = await measure_with(args.png_bytes, args)
    return {
        "p50_ms": statistics.median(single),
        "jobs_per_s": statistics.median(rates),
        "p95_ms": sorted(single)[int(0.95 * len(single))],
        "p50_ms_with_png": statistics.median(heavy_single),
        "jobs_per_s_with_png": statistics.median(heavy_rates),
        "rounds": {"jobs_per_s": rates, "jobs_per_s_with_png": heavy_rates},
    }


def main() -> None:
    """The command line."""
    parser = report.parser(__doc__)
    parser.add_argument("--single-jobs", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--png-bytes", type=int, default=500_000)
    args = parser.parse_args()
    results = asyncio.run(measure(args))
    asked = {name: value for name, value in vars(args).items() if name != "json"}
    conditions = report.conditions(clock="wall", asked=asked)
    title = "A job's way from the bot to the engine and back"
    report.publish(title, results, goals=GOALS, conditions=conditions, as_json=args.json)


if __name__ == "__main__":
    main()
