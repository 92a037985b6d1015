"""The watchdog of a worker process: a real process that never gets ready is not waited for for ever."""

from __future__ import annotations

import asyncio
import sys

import pytest

from engine.core import pool
from engine.core.pool import Worker
from engine.protocol import WorkerJobEvent, WorkerReady
from tests.fixtures.engine import PATIENCE


class Listener:
    """Notes that a worker was given up."""

    def __init__(self) -> None:
        self.lost = 0
        self.given_up: list[str] = []

    def worker_ready(self, worker: Worker, ready: WorkerReady) -> None:
        raise AssertionError

    def worker_event(self, worker: Worker, event: WorkerJobEvent) -> None:
        raise AssertionError

    def worker_lost(self, worker: Worker) -> None:
        self.lost += 1

    def worker_unavailable(self, worker: Worker) -> None:
        self.given_up.append(worker.unavailable_reason)


async def test_a_worker_that_hangs_while_loading_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LOAD_SECONDS", 0.2)
    listener = Listener()
    worker = Worker("cpu", [sys.executable, "-c", "import time; time.sleep(3600)"], step_timeout=120.0)
    async with asyncio.timeout(PATIENCE):
        await worker.run(listener)
    assert listener.lost == 3
    assert listener.given_up == ["the worker died 3 times while starting"]
