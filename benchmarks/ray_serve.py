"""The peer of `benchmarks.gpu` that is a product: Ray Serve with its `@serve.batch`, around diffusers."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import PlainDiffusers, settings
from engine.protocol import GenerationRequest


def is_installed() -> bool:
    """Whether there is a Ray with Serve."""
    return all(importlib.util.find_spec(name) for name in ("ray", "starlette", "uvicorn"))


class Replica:
    """One model; waiting requests come in batches, and those with equal settings share calls."""

    def __init__(self, folder: str, device: str, max_batch_size: int) -> None:
        from ray import serve  # pyright: ignore[reportMissingImports] - the extra `ray`

        from benchmarks.sd1 import load_pipeline

        self._diffusers = PlainDiffusers(load_pipeline(Path(folder), device))
        self._draw = serve.batch(max_batch_size=max_batch_size, batch_wait_timeout_s=0.05)(self._draw_batch)

    async def __call__(self, request: GenerationRequest) -> bool:
        return await self._draw(request)

    async def _draw_batch(self, requests: list[GenerationRequest]) -> list[bool]:
        groups: dict[Any, list[GenerationRequest]] = {}
        for request in requests:
            groups.setdefault(settings(request), []).append(request)
        for group in groups.values():
            await asyncio.to_thread(self._diffusers.draw, group)
        return [True] * len(requests)


def pictures_per_second(
    folder: Path, device: str, max_batch_size: int, requests: Sequence[GenerationRequest], rounds: int
) -> list[float]:
    """By round, with all requests sent at once. Starts a Ray of its own and ends it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray  # pyright: ignore[reportMissingImports]
    from ray import serve  # pyright: ignore[reportMissingImports]

    root = str(Path(__file__).parents[1])
    runtime_env = {"env_vars": {"PYTHONPATH": root, "HF_HUB_OFFLINE": "1"}}
    ray.init(
        include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, runtime_env=runtime_env
    )
    try:
        options = {"num_gpus": 1} if device.startswith("cuda") else {"num_cpus": 1}
        deployment = serve.deployment(max_ongoing_requests=4 * max_batch_size, ray_actor_options=options)(
            Replica
        )
        app: Any = deployment.bind(str(folder), device, max_batch_size)
        handle = serve.run(app, route_prefix=None)
        _draw_all(handle, requests[:max_batch_size])
        return [len(requests) / _draw_all(handle, requests) for _ in range(rounds)]
    finally:
        serve.shutdown()
        ray.shutdown()


def _draw_all(handle: Any, requests: Sequence[GenerationRequest]) -> float:
    started = time.perf_counter()
    for response in [handle.remote(request) for request in requests]:
        response.result()
    return time.perf_counter() - started
