"""The workers: one process per device. Step 6 of a request's life."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.core.child import Child, Watchdog
from engine.protocol import (
    Assign,
    CoreToWorker,
    TerminalEvent,
    WorkerJobEvent,
    WorkerReady,
    WorkerToCore,
    WorkerUnavailable,
)

LOAD_SECONDS = 1800.0
"""A worker that has not loaded its model by then hangs. Long: a cold disk may be slow."""


class PoolListener(Protocol):
    """What the engine core hears from its workers."""

    def worker_ready(self, worker: Worker, ready: WorkerReady) -> None: ...

    def worker_event(self, worker: Worker, event: WorkerJobEvent) -> None: ...

    def worker_lost(self, worker: Worker) -> None: ...

    def worker_unavailable(self, worker: Worker) -> None: ...


class Worker(Child[WorkerToCore, CoreToWorker]):
    """One device's process, over all its restarts. Implements `engine.core.load.WorkerHandle`."""

    _listener: PoolListener

    def __init__(self, device: str, command: Sequence[str], *, step_timeout: float) -> None:
        name = f"worker {device}"
        watchdog = Watchdog(name, limit=step_timeout, load_limit=LOAD_SECONDS)
        super().__init__(name, command, WorkerToCore, watchdog)
        self.device = device

    async def run(self, listener: PoolListener) -> None:
        """Keep the process alive until it is drained or can never work."""
        self._listener = listener
        await self._keep_alive()

    def send(self, message: CoreToWorker) -> None:
        """Send to the running process, if there is one."""
        if self._channel is None:
            return
        if isinstance(message, Assign):
            self._watchdog.owes(message.job_id)
        self._channel.send(message)

    def _take(self, message: WorkerToCore) -> None:
        self._watchdog.heard(paid=message.job_id if isinstance(message, TerminalEvent) else "")
        match message:
            case WorkerReady():
                self.is_ready = True
                self._listener.worker_ready(self, message)
            case WorkerUnavailable(reason):
                self.unavailable_reason = reason
            case _:
                self._listener.worker_event(self, message)

    def _lost(self) -> None:
        self._listener.worker_lost(self)

    def _given_up(self) -> None:
        self._listener.worker_unavailable(self)
