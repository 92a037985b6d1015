"""What the bot knows of the engine's devices: they come, go and are given up while others draw."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine.protocol import Accepted, EngineReady, EngineUnavailable
from tests.fixtures.engine import PATIENCE, running_engine


async def test_the_status_follows_the_workers(tmp_path: Path) -> None:
    async with running_engine(tmp_path, devices="cpu*2") as engine:
        await engine.wait_for_workers(2)
        (hold := tmp_path / "hold").touch()
        for worker, left in zip(engine.workers(), (1, 0), strict=True):
            worker.kill()
            status = await engine.wait_for_workers(left)
            assert (status.starting, status.given_up) == (["cpu"] * (2 - left), {})
        job = engine.submit("a cat")
        await job.seen(Accepted)
        hold.unlink()
        assert (await engine.wait_for_workers(2)).starting == []
        assert await job.pictures()


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        ("broken", "RuntimeError: broken, as asked"),
        ("deadly", "the worker died 3 times while starting"),
    ],
)
async def test_the_status_says_which_worker_was_given_up(tmp_path: Path, mark: str, reason: str) -> None:
    async with running_engine(tmp_path, devices="cpu*2") as engine:
        await engine.wait_for_workers(2)
        (tmp_path / mark).touch()
        first, second = engine.workers()
        first.kill()
        async with asyncio.timeout(PATIENCE):
            status = await engine.client.wait_until(
                lambda status: isinstance(status, EngineReady) and bool(status.given_up)
            )
        assert isinstance(status, EngineReady)
        assert (status.devices, status.starting) == (["cpu"], [])
        assert status.given_up == {"cpu": reason}
        assert await engine.submit("a cat").pictures()
        second.kill()
        async with asyncio.timeout(PATIENCE):
            await engine.client.wait_until(lambda status: isinstance(status, EngineUnavailable))
