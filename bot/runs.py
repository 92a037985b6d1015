"""The runs of jobs as tasks of the bot process: begun, waited for, and left for the next start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from typing import Any

log = logging.getLogger(__name__)


class Runs:
    """Runs each job in a task of its own, and knows which ones there are."""

    def __init__(self) -> None:
        self.draining = False
        self.job_ids: set[str] = set()
        """Jobs that are on their way here, or in somebody's hands."""
        self._starts: asyncio.Queue[tuple[str, Callable[[], Coroutine[Any, Any, None]], Context]]
        self._starts = asyncio.Queue()
        self._active: set[asyncio.Task[Any]] = set()
        self._starter: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to take runs."""
        self._starter = asyncio.create_task(self._start_all())

    def start(self, job_id: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a job in the caller's context but not as its child: it outlives the command that asked."""
        self.job_ids.add(job_id)
        self._starts.put_nowait((job_id, run, copy_context()))

    @contextmanager
    def holding(self, job_id: str) -> Generator[bool]:
        """Around what is done with a job outside of its run. False: it is in other hands; leave it alone."""
        if job_id in self.job_ids:
            yield False
            return
        self.job_ids.add(job_id)
        try:
            yield True
        finally:
            self.job_ids.discard(job_id)

    @contextmanager
    def taking(self) -> Generator[None]:
        """Around a command from its first check to `start`, so that `drain` waits for it as for a run."""
        task = asyncio.current_task()
        assert task is not None
        self._active.add(task)
        try:
            yield
        finally:
            self._active.discard(task)

    async def idle(self) -> None:
        """Wait until no job is running and no command on its way to become one."""
        while not self._starts.empty() or self._active:
            await asyncio.wait(self._active) if self._active else await asyncio.sleep(0)

    async def drain(self, *, grace: float) -> None:
        """Take nothing new, give running jobs `grace` seconds, and leave the rest for the next start."""
        if self.draining:
            grace = 0.0  # the time was given already
        self.draining = True
        if self._active:
            log.info("waiting for %d jobs", len(self._active))
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self.idle()
        late = [*self._active, *([self._starter] if self._starter is not None else [])]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _start_all(self) -> None:
        while True:
            job_id, run, context = await self._starts.get()
            task = asyncio.get_running_loop().create_task(self._run(job_id, run), context=context)
            self._active.add(task)
            task.add_done_callback(self._active.discard)

    async def _run(self, job_id: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await run()
        finally:
            self.job_ids.discard(job_id)
