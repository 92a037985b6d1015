"""An engine process that lives and does nothing is replaced; one that is only slow to start is not."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from engine import heartbeat
from engine.core import devices
from engine.models import DEMO_FOLDER
from engine.protocol import Drain, EngineToBot, Finished, Ping, Pong, Progress, TerminalEvent
from engine.transport import spawn
from tests.fixtures.engine import PATIENCE, Wire, eventually, gone, is_alive, running_engine
from tests.fixtures.odd_client import odd_engine
from tests.fixtures.odd_engine import ENDLESS_LOOP, SLOW_START


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three seconds without a word are too long: enough for a plain engine on a busy machine."""
    monkeypatch.setattr(heartbeat, "PING_SECONDS", 3 / heartbeat.MAX_UNANSWERED)


@pytest.mark.usefixtures("impatient")
async def test_an_engine_that_is_stopped_is_replaced(tmp_path: Path) -> None:
    async with running_engine(tmp_path, devices="cpu*2") as engine:
        await engine.wait_for_workers(2)
        jobs = engine.submit_all(["a slow cat"] * 5)
        await asyncio.gather(*(job.seen(Progress) for job in jobs))
        first_life, workers = engine.process, engine.workers()
        first_life.suspend()
        engine.open_gate()
        assert all([await job.pictures() for job in jobs])
        ends = [event for job in jobs for event in job.events if isinstance(event, TerminalEvent)]
        assert len(ends) == 5
        await gone([first_life, *workers])
        assert not set(workers) & set(engine.workers())


@pytest.mark.usefixtures("impatient")
async def test_an_engine_in_an_endless_loop_is_replaced(tmp_path: Path) -> None:
    program = ("-m", "tests.fixtures.odd_engine", ENDLESS_LOOP, str(tmp_path))
    async with odd_engine(tmp_path, *program) as engine:
        await engine.client.wait_settled()
        first_life = engine.process
        assert isinstance(await engine.submit("a cat").ended(), Finished)
        assert not is_alive(first_life)


async def test_an_engine_that_is_slow_to_start_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "PING_SECONDS", 0.2)
    program = ("-m", "tests.fixtures.odd_engine", SLOW_START, str(tmp_path))
    async with odd_engine(tmp_path, *program) as engine:
        await eventually(lambda: engine.client.pid is not None)
        first_life = engine.process
        await engine.client.wait_settled()
        assert isinstance(await engine.submit("a cat").ended(), Finished)
        assert engine.process == first_life


async def test_closing_with_an_engine_that_is_stopped_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as engine:
        family = engine.family()
        engine.process.suspend()
        await engine.client.close(grace=0.1)
        await gone(family)


SLOW_DEVICES = """
import asyncio, runpy
import engine.core.devices

async def for_ever(setting):
    await asyncio.Event().wait()

engine.core.devices.find_devices = for_ever
runpy.run_module("engine", run_name="__main__")
"""


async def test_an_engine_that_looks_for_devices_answers_and_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW_DEVICES, "--model", str(DEMO_FOLDER)]
    process, channel = await spawn(command, EngineToBot)
    try:
        wire = Wire(process.pid, channel)
        wire.send(Ping())
        assert await wire.read_until(bool) == [Pong()]
        wire.send(Drain())
        assert await wire.read_to_the_end() == []
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
    finally:
        await channel.close()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_nobody_goes_on_looking_for_devices_in_vain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 1000\n")
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(devices, "DRIVERS", [tmp_path])
    before = set(psutil.Process().children())
    looking = asyncio.create_task(devices.find_devices("auto"))
    await eventually(lambda: bool(set(psutil.Process().children()) - before))
    (child,) = set(psutil.Process().children()) - before
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert not is_alive(child)
