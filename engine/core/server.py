"""The engine process: its socket to the bot, its workers, its checker, and the `Dispatcher` between them.

Step 6 of a request's life. When the bot's end of the socket closes, the engine ends.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.core.checker import Checker
from engine.core.devices import DeviceError, default_threads, find_devices
from engine.core.dispatcher import Dispatcher
from engine.core.pool import Worker
from engine.models import ModelError, read_model
from engine.protocol import (
    BotToEngine,
    Cancel,
    Checked,
    CheckerReady,
    CheckFailed,
    Drain,
    EngineReady,
    EngineToBot,
    ModelCard,
    Ping,
    Pong,
    Submit,
    WorkerJobEvent,
    WorkerReady,
)
from engine.transport import Channel, FrameError

log = logging.getLogger(__name__)

POSITION_SECONDS = 0.25
"""Queue positions are announced at most this often."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How the host wants the engine to run; 0 means to choose."""

    model: Path
    devices: str = "auto"
    dtype: str = "auto"
    threads: int = 0
    max_batch_size: int = 8
    exact: bool = False
    compile_cache: Path | None = None
    queue_limit: int = 200
    """Jobs that may wait; more are refused."""
    step_timeout: float = 120.0
    """Seconds without a word from a worker with jobs, after which it is taken to hang."""
    worker_module: str = "engine.worker"
    preview_limit: float
    """Previews that score higher are seen by nobody."""
    block_list: Path | None = None
    """Hashes of pictures that are never shown; the form is told in `engine.safety.block_list`."""
    classifiers: Sequence[Path] = ()
    """Folders of those that the host added to the image check."""
    check_timeout: float = 30.0
    """Seconds without an answer about one picture, after which the checker is taken to hang."""
    checker_module: str = "engine.safety"


class EngineCore:
    """One engine process. Implements `PoolListener` and `CheckerListener` of its two kinds of children."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._workers: list[Worker] = []
        self._running: list[asyncio.Task[None]] = []
        self._checker = Checker(self._checker_command(), check_timeout=options.check_timeout)
        self._checking: asyncio.Task[None] | None = None
        self._has_passed_self_test = False
        self._nothing_to_check = asyncio.Event()
        self._position_timer: asyncio.TimerHandle | None = None
        self._card: ModelCard | None = None
        self._told: EngineReady | None = None
        self._channel: Channel[BotToEngine, EngineToBot]
        self._dispatcher: Dispatcher
        self._starting: asyncio.Task[None]

    async def serve(self, sock: socket.socket) -> None:
        """Work until the bot drains the engine or closes the connection."""
        self._channel = await Channel.open(sock, BotToEngine)
        clock = asyncio.get_running_loop().time
        self._dispatcher = Dispatcher(
            self._channel.send,
            clock,
            self._checker,
            queue_limit=self._options.queue_limit,
            preview_limit=self._options.preview_limit,
        )
        serving = asyncio.current_task()
        assert serving is not None
        # From a bot that will not wait for a worker that hangs.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
        try:
            async with asyncio.TaskGroup() as tasks:
                # Asking for the devices may take long, and the bot must not wait for its answers meanwhile.
                self._starting = tasks.create_task(self._start_workers())
                await self._receive()
                self._starting.cancel()
        finally:
            for worker in self._workers:
                worker.drain()  # or it would be started again
                worker.kill()
            self._checker.drain()
            self._checker.kill()
            if ending := [*self._running, *([self._checking] if self._checking else [])]:
                await asyncio.wait(ending, timeout=2)
            await self._channel.close()

    async def _start_workers(self) -> None:
        try:
            read_model(self._options.model)
            self._checking = asyncio.create_task(self._checker.run(self))
            devices = await find_devices(self._options.devices)
        except (ModelError, DeviceError) as error:
            self._dispatcher.become_unavailable(str(error))
            return
        threads = self._options.threads or default_threads(devices)
        for device in devices:
            command = self._worker_command(device, threads)
            worker = Worker(device, command, step_timeout=self._options.step_timeout)
            self._workers.append(worker)
            self._running.append(asyncio.create_task(worker.run(self)))

    def _worker_command(self, device: str, threads: int) -> list[str]:
        return [
            *(sys.executable, "-P", "-m", self._options.worker_module),
            *("--model", str(self._options.model)),
            *("--device", device),
            *("--dtype", self._options.dtype),
            *("--threads", str(threads)),
            *("--max-batch-size", str(self._options.max_batch_size)),
            *(["--exact"] if self._options.exact else []),
            *(["--compile-cache", str(cache)] if (cache := self._options.compile_cache) else []),
        ]

    def _checker_command(self) -> list[str]:
        return [
            *(sys.executable, "-P", "-m", self._options.checker_module),
            *(["--block-list", str(path)] if (path := self._options.block_list) else []),
            *(part for folder in self._options.classifiers for part in ("--classifier", str(folder))),
        ]

    async def _receive(self) -> None:
        try:
            async for message in self._channel:
                match message:
                    case Submit():
                        self._dispatcher.submit(message)
                    case Cancel(job_id):
                        self._dispatcher.cancel(job_id)
                    case Ping():
                        self._channel.send(Pong())
                    case Drain():
                        await self._drain()
                        return
                self._announce_soon()
        except FrameError as error:
            log.error("the bot sent garbage: %s", error)
            raise SystemExit(1) from error
        log.warning("the bot is gone; the engine ends")

    async def _drain(self) -> None:
        self._dispatcher.drain()
        self._starting.cancel()
        for worker in self._workers:
            worker.drain()
        if self._running:
            await asyncio.wait(self._running)
        if len(self._dispatcher.checks):
            self._nothing_to_check.clear()
            await self._nothing_to_check.wait()
        self._checker.drain()
        if self._checking is not None:
            await self._checking
        await self._channel.flush()

    def _announce_soon(self) -> None:
        """Positions change with most messages; they are told together, a little later."""
        if self._dispatcher.has_waiting and self._position_timer is None:
            loop = asyncio.get_running_loop()
            self._position_timer = loop.call_later(POSITION_SECONDS, self._announce)

    def _announce(self) -> None:
        self._position_timer = None
        self._dispatcher.announce()

    def _tell_devices(self) -> None:
        """Tell the bot who can draw, where that has changed."""
        devices = [worker.device for worker in self._workers if worker.is_ready]
        starting = [worker.device for worker in self._workers if worker.is_starting]
        given_up = {each.device: each.unavailable_reason for each in self._workers if each.unavailable_reason}
        if self._card is None or not (devices or starting) or not self._has_passed_self_test:
            return  # nobody could draw yet, or nobody ever will, which is for `become_unavailable` to tell
        ready = EngineReady(self._card, devices, starting, given_up)
        if ready != self._told:
            self._told = ready
            self._channel.send(ready)

    # --- what the workers say (PoolListener) ---

    def worker_ready(self, worker: Worker, ready: WorkerReady) -> None:
        """A worker loaded the model."""
        log.info("worker %s is ready", worker.device)
        self._card = ready.model
        self._tell_devices()
        self._dispatcher.worker_ready(worker, ready)

    def worker_event(self, worker: Worker, event: WorkerJobEvent) -> None:
        """Progress or an ending of one of the worker's jobs."""
        self._dispatcher.worker_event(worker, event)
        self._announce_soon()

    def worker_lost(self, worker: Worker) -> None:
        """The process of a worker has ended."""
        self._tell_devices()
        self._dispatcher.worker_lost(worker)
        self._announce_soon()

    def worker_unavailable(self, worker: Worker) -> None:
        """A worker gave up for good; the engine goes on with the others."""
        log.error("worker %s cannot run: %s", worker.device, worker.unavailable_reason)
        others = [each.device for each in self._workers if not each.unavailable_reason]
        if others:
            log.warning("the engine goes on without %s, with %s", worker.device, ", ".join(others))
            self._tell_devices()
        else:
            self._dispatcher.become_unavailable(worker.unavailable_reason)

    # --- what the checker says (CheckerListener) ---

    def checker_ready(self, ready: CheckerReady) -> None:
        """The image check works: what is drawn can leave."""
        log.info("the image check is ready: %s", ready.model)
        self._has_passed_self_test = True
        self._tell_devices()
        self._dispatcher.checks.checker_ready(ready.model)

    def checker_answered(self, answer: Checked | CheckFailed) -> None:
        """A picture has been looked at."""
        self._dispatcher.checks.answered(answer)
        self._after_checks()

    def checker_lost(self) -> None:
        """The checker process has ended."""
        self._dispatcher.checks.checker_lost()
        self._after_checks()

    def checker_unavailable(self, reason: str) -> None:
        """No picture will ever be checked, so none is drawn."""
        self._dispatcher.checks.give_up(reason)
        self._dispatcher.become_unavailable(reason)
        for worker in self._workers:
            worker.drain()
        self._after_checks()

    def _after_checks(self) -> None:
        self._announce_soon()
        if not len(self._dispatcher.checks):
            self._nothing_to_check.set()
