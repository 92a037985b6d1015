"""The bot's side of the engine: starts the process, keeps it alive, and turns its events into streams.

If the engine dies it is started again and every job that had not ended is submitted anew, so a caller of
`submit` sees only that it took longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from engine.heartbeat import Heartbeat
from engine.protocol import (
    Accepted,
    BotToEngine,
    Cancel,
    Drain,
    EngineReady,
    EngineToBot,
    EngineUnavailable,
    Failed,
    GenerationRequest,
    JobEvent,
    ModelCard,
    Ping,
    Pong,
    Submit,
    TerminalEvent,
)
from engine.transport import Channel, FrameError, spawn, stop

log = logging.getLogger(__name__)

MAX_BACKOFF_SECONDS = 30.0

MAX_FAILED_STARTS = 3
"""After so many lives in a row that ended before the engine had settled, the jobs are failed."""


@dataclass(frozen=True)
class EngineStarting:
    """No worker has loaded the model yet."""


EngineStatus = EngineStarting | EngineReady | EngineUnavailable


@dataclass
class _Outstanding:
    submit: Submit
    cancelled: bool = False
    events: asyncio.Queue[JobEvent | None] = field(default_factory=lambda: asyncio.Queue[JobEvent | None]())
    """None when the client was closed."""


class EngineClosed(Exception):
    """The client was closed before the job ended; another engine can do it again."""


class EngineClient:
    """One supervised engine process. Start it before use, close it after; safe for many jobs at once."""

    def __init__(
        self,
        model: Path,
        *,
        devices: str = "auto",
        dtype: str = "auto",
        threads: int = 0,
        max_batch_size: int = 8,
        exact: bool = False,
        compile_cache: Path | None = None,
        queue_limit: int = 200,
        step_timeout: float = 120.0,
        worker_module: str = "engine.worker",
        preview_limit: float = 0.0,
        block_list: Path | None = None,
        classifiers: Sequence[Path] = (),
        check_timeout: float = 30.0,
        checker_module: str = "engine.safety",
    ) -> None:
        self._command = [
            # -P: a file in the current folder that is named like a module of ours must not be run for it.
            *(sys.executable, "-P", "-m", "engine"),
            *("--model", str(model)),
            *("--devices", devices, "--dtype", dtype),
            *("--threads", str(threads), "--max-batch-size", str(max_batch_size)),
            *(["--exact"] if exact else []),
            *(["--compile-cache", str(compile_cache)] if compile_cache is not None else []),
            *("--queue-limit", str(queue_limit), "--step-timeout", str(step_timeout)),
            *("--worker-module", worker_module, "--checker-module", checker_module),
            *("--preview-limit", str(preview_limit), "--check-timeout", str(check_timeout)),
            *(["--block-list", str(block_list)] if block_list is not None else []),
            *(part for folder in classifiers for part in ("--classifier", str(folder))),
        ]
        self.status: EngineStatus = EngineStarting()
        self._card: ModelCard | None = None
        self._jobs: dict[str, _Outstanding] = {}
        self._channel: Channel[EngineToBot, BotToEngine] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._status_changed = asyncio.Condition()
        self._closing = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The engine's process id while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def card(self) -> ModelCard | None:
        """The model that was loaded last, also while the engine is being started again."""
        return self._card

    async def start(self) -> None:
        """Start the process and return; `wait_until` tells when it can draw."""
        self._supervisor = asyncio.create_task(self._supervise())

    async def close(self, *, grace: float = 5.0) -> None:
        """Ask the engine to end, and end it by force after `grace` seconds. Leaves no process behind."""
        self._closing.set()
        if self._channel is not None:
            self._channel.send(Drain())
        if self._supervisor is not None:
            try:
                await asyncio.wait_for(asyncio.shield(self._supervisor), grace)
            except TimeoutError:
                await self._end_by_force()
                await self._supervisor
        for job in self._jobs.values():
            job.events.put_nowait(None)

    async def _end_by_force(self) -> None:
        if (process := self._process) is not None and process.returncode is None:
            process.terminate()  # the engine then kills its workers, also those that hang
            await stop(process, grace=2)

    async def wait_until(self, predicate: Callable[[EngineStatus], bool]) -> EngineStatus:
        """Wait until the status is as wanted, and return it."""
        async with self._status_changed:
            await self._status_changed.wait_for(lambda: predicate(self.status))
            return self.status

    async def wait_settled(self) -> EngineStatus:
        """Wait until the engine can draw or has said that it never will."""
        return await self.wait_until(lambda status: not isinstance(status, EngineStarting))

    async def submit(
        self,
        job_id: str,
        request: GenerationRequest,
        *,
        user: str = "",
        weight: float = 1.0,
        deadline_seconds: float = 0.0,
        accepted: bool = False,
    ) -> AsyncGenerator[JobEvent]:
        """Give a job to the engine and yield its events; the last one is its one terminal event.

        The options are those of `Submit`. Leaving the iteration early cancels the job.

        Raises:
            EngineClosed: the client was closed before the job ended.
            ValueError: a job of this id is running.
        """
        if job_id in self._jobs:
            raise ValueError(f"job {job_id} is running already")
        submit = Submit(job_id, request, user, weight, deadline_seconds, accepted)
        # Text that is no Unicode cannot be sent: that is told here, to the one who asked, and not to the
        # supervisor when it submits all jobs to a new engine.
        msgspec.msgpack.encode(submit)
        job = self._jobs[job_id] = _Outstanding(submit)
        self._send(submit)
        ended = False
        try:
            while not ended:
                event = await job.events.get()
                if event is None:
                    raise EngineClosed(job_id)
                ended = isinstance(event, TerminalEvent)
                yield event
        finally:
            del self._jobs[job_id]
            if not ended:
                self._send(Cancel(job_id))

    def cancel(self, job_id: str) -> bool:
        """Ask for an end; the job's stream then ends with `Cancelled`, or with what came first.

        Returns:
            Whether there is such a job.
        """
        job = self._jobs.get(job_id)
        if job is None:
            return False
        job.cancelled = True  # remembered in case the engine dies before it answers
        self._send(Cancel(job_id))
        return True

    def _send(self, message: BotToEngine) -> None:
        # Without a channel the engine is being started: all outstanding jobs are submitted when it is.
        if self._channel is not None:
            self._channel.send(message)

    async def _supervise(self) -> None:
        backoff = 0.25
        failed_starts = 0
        while not self._closing.is_set():
            started = time.monotonic()
            failed_starts = 0 if await self._run_once() else failed_starts + 1
            if self._closing.is_set():
                break
            if failed_starts < MAX_FAILED_STARTS:
                await self._set_status(EngineStarting())
            else:
                await self._become_unavailable(failed_starts)
            backoff = 0.25 if time.monotonic() - started > 60 else min(2 * backoff, MAX_BACKOFF_SECONDS)
            log.warning("the engine ended unexpectedly; starting it again in %.1f s", backoff)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff):
                    await self._closing.wait()

    async def _become_unavailable(self, failed_starts: int) -> None:
        """Keep nobody waiting for an engine that does not start. It is tried again all the same: what is
        wrong with it, such as a machine without memory, may pass."""
        reason = f"the engine process ended {failed_starts} times while starting; the log says why"
        await self._set_status(EngineUnavailable(reason))
        for job_id, job in self._jobs.items():
            job.events.put_nowait(Failed(job_id, "model_unavailable", reason))

    async def _run_once(self) -> bool:
        """One life of the process; whether it came to say if it can draw."""
        has_settled = False
        try:
            self._process, channel = await spawn(self._command, EngineToBot)
        except OSError:
            log.exception("the engine could not be started")
            return False
        self._greet(channel)
        self._channel = channel
        heartbeat = Heartbeat(lambda: channel.send(Ping()))
        watching = asyncio.create_task(self._watch(self._process, heartbeat))
        try:
            async for message in channel:
                heartbeat.heard()
                if isinstance(message, (EngineReady, EngineUnavailable)):
                    has_settled = True
                    await self._set_status(message)
                elif not isinstance(message, Pong):
                    self._pass_on(message)
        except FrameError as error:
            log.error("the engine sent garbage (%s); replacing it", error)
            if self._process.returncode is None:
                self._process.kill()
        finally:
            watching.cancel()
            self._channel = None
            await channel.close()
            await stop(self._process, grace=2)
            self._process = None
        return has_settled

    def _greet(self, channel: Channel[EngineToBot, BotToEngine]) -> None:
        """Tell a new engine what is known already."""
        for job_id, job in self._jobs.items():
            channel.send(job.submit)
            if job.cancelled:
                channel.send(Cancel(job_id))
        if self._closing.is_set():
            channel.send(Drain())  # `close` came while the process was being started

    async def _watch(self, process: asyncio.subprocess.Process, heartbeat: Heartbeat) -> None:
        """Kill an engine that hangs. For one that is asked to end `close` has its own limit."""
        await heartbeat.lost()
        if not self._closing.is_set() and process.returncode is None:
            log.error("the engine hangs: it does not answer; replacing it")
            process.kill()

    def _pass_on(self, event: JobEvent) -> None:
        job = self._jobs.get(event.job_id)
        if job is None:
            return  # its stream was left
        if isinstance(event, Accepted):
            # It is promised now: another engine must not refuse it.
            job.submit = msgspec.structs.replace(job.submit, accepted=True)
        job.events.put_nowait(event)

    async def _set_status(self, status: EngineStatus) -> None:
        async with self._status_changed:
            self.status = status
            if isinstance(status, EngineReady):
                self._card = status.model
            self._status_changed.notify_all()
