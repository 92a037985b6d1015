"""The workers: one process per device, started, watched and restarted. Step 6 of a request's life."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from engine.protocol import (
    Assign,
    CoreToWorker,
    Drain,
    TerminalEvent,
    WorkerJobEvent,
    WorkerReady,
    WorkerToCore,
    WorkerUnavailable,
)
from engine.transport import Channel, FrameError, spawn, stop

log = logging.getLogger(__name__)

MAX_FAILED_STARTS = 3
"""A worker that dies this often in a row before it is ready is given up."""

LOAD_SECONDS = 1800.0
"""A worker that has not loaded its model by then hangs. Long: a cold disk may be slow."""


class PoolListener(Protocol):
    """What the engine core hears from its workers."""

    def worker_ready(self, worker: Worker, ready: WorkerReady) -> None: ...

    def worker_event(self, worker: Worker, event: WorkerJobEvent) -> None: ...

    def worker_lost(self, worker: Worker) -> None: ...

    def worker_unavailable(self, worker: Worker) -> None: ...


class Watchdog:
    """Calls `bite` when a process owes something and has said nothing for too long."""

    def __init__(self, name: str, step_timeout: float) -> None:
        self._name = name
        self._step_timeout = step_timeout
        self._jobs: set[str] = set()
        self._limit = 0.0
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._process: asyncio.subprocess.Process | None = None

    def start(self, process: asyncio.subprocess.Process) -> None:
        """The process was started, and owes that it is ready."""
        self._process = process
        self._expect(LOAD_SECONDS)

    def stop(self) -> None:
        """The process has ended."""
        self._process = None
        self._jobs.clear()
        self._expect(0)

    def sent(self, message: CoreToWorker) -> None:
        """The process owes the end of a job."""
        if isinstance(message, Assign):
            self._jobs.add(message.job_id)
            if self._limit == 0:
                self._expect(self._step_timeout)

    def heard(self, message: WorkerToCore) -> None:
        """The process lives."""
        self._last = asyncio.get_running_loop().time()
        if isinstance(message, TerminalEvent):
            self._jobs.discard(message.job_id)
        if self._limit == LOAD_SECONDS or not self._jobs:
            self._expect(self._step_timeout if self._jobs else 0)

    def _expect(self, seconds: float) -> None:
        """Something has to be heard within so many seconds from now, and again; 0 for no such limit."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._limit = seconds
        if seconds:
            loop = asyncio.get_running_loop()
            self._last = loop.time()
            self._timer = loop.call_at(self._last + seconds, self._look)

    def _look(self) -> None:
        # One timer at a time, moved when it fires: a message costs no timer.
        loop = asyncio.get_running_loop()
        if loop.time() < self._last + self._limit:
            self._timer = loop.call_at(self._last + self._limit, self._look)
            return
        self._timer = None
        owed = f"no step of {', '.join(sorted(self._jobs))}" if self._jobs else "the model is not loaded"
        log.error("worker %s hangs: %s in %.0f s; replacing it", self._name, owed, self._limit)
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


class Worker:
    """One device's process, over all its restarts. Implements `engine.core.load.WorkerHandle`."""

    def __init__(self, device: str, command: Sequence[str], *, step_timeout: float) -> None:
        self.device = device
        self.unavailable_reason = ""
        self._command = command
        self._watchdog = Watchdog(device, step_timeout)
        self.is_ready = False
        self._draining = False
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel[WorkerToCore, CoreToWorker] | None = None

    @property
    def is_starting(self) -> bool:
        """Whether it may be ready later."""
        return not (self.is_ready or self._draining or self.unavailable_reason)

    def send(self, message: CoreToWorker) -> None:
        """Send to the running process, if there is one."""
        if self._channel is not None:
            self._watchdog.sent(message)
            self._channel.send(message)

    async def run(self, listener: PoolListener) -> None:
        """Keep the process alive until it is drained or can never work."""
        failed_starts = 0
        while not self._draining and not self.unavailable_reason:
            started = time.monotonic()
            was_ready = await self._run_once(listener)
            if self._draining or self.unavailable_reason:
                break
            failed_starts = 0 if was_ready else failed_starts + 1
            log.warning("worker %s died after %.1f s", self.device, time.monotonic() - started)
            if failed_starts >= MAX_FAILED_STARTS:
                self.unavailable_reason = f"the worker died {failed_starts} times while starting"
            elif failed_starts:
                await asyncio.sleep(2.0**failed_starts / 4)
        if self.unavailable_reason:
            listener.worker_unavailable(self)

    async def _run_once(self, listener: PoolListener) -> bool:
        """One life of the process; returns whether it became ready. Leaves no process and no job behind."""
        try:
            self._process, self._channel = await spawn(self._command, WorkerToCore)
        except OSError as error:
            log.error("worker %s could not be started: %s", self.device, error)
            return False
        self._watchdog.start(self._process)
        if self._draining:
            self.kill()  # `drain` came while this process was being started, and could not reach it
        try:
            async for message in self._channel:
                self._watchdog.heard(message)
                self._take(message, listener)
        except FrameError as error:
            log.error("worker %s: %s; replacing it", self.device, error)
            self.kill()
        finally:
            self._watchdog.stop()
            was_ready, self.is_ready = self.is_ready, False
            channel, self._channel = self._channel, None
            await channel.close()
            # A worker that closed its socket exits by itself; one that does not is stuck.
            await stop(self._process, grace=2)
        listener.worker_lost(self)
        return was_ready

    def _take(self, message: WorkerToCore, listener: PoolListener) -> None:
        match message:
            case WorkerReady():
                self.is_ready = True
                listener.worker_ready(self, message)
            case WorkerUnavailable(reason):
                self.unavailable_reason = reason
            case _:
                listener.worker_event(self, message)

    def drain(self) -> None:
        """Let the process end; it draws what it was assigned first. One that still loads just ends."""
        self._draining = True
        if not self.is_ready:
            self.kill()
        self.send(Drain())

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
