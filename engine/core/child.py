"""A child process of the engine core over all its restarts: started, watched, given up."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from engine.protocol import Drain
from engine.transport import Channel, FrameError, spawn, stop

log = logging.getLogger(__name__)

MAX_FAILED_STARTS = 3
"""A process that dies this often in a row before it is ready is given up."""

Incoming = TypeVar("Incoming", bound=msgspec.Struct)
Outgoing = TypeVar("Outgoing", bound=msgspec.Struct)


class Watchdog:
    """Kills a process that owes something and has said nothing for too long."""

    def __init__(self, name: str, *, limit: float, load_limit: float) -> None:
        self._name = name
        self._patience = limit
        self._load_limit = load_limit
        self._owed: set[str] = set()
        self._is_loading = False
        self._limit = 0.0
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._process: asyncio.subprocess.Process | None = None

    def start(self, process: asyncio.subprocess.Process) -> None:
        """The process was started, and owes that it is ready."""
        self._process = process
        self._is_loading = True
        self._expect(self._load_limit)

    def stop(self) -> None:
        """The process has ended."""
        self._process = None
        self._is_loading = False
        self._owed.clear()
        self._expect(0)

    def owes(self, what: str) -> None:
        """The process has been asked for something."""
        self._owed.add(what)
        if self._limit == 0:
            self._expect(self._patience)

    def heard(self, paid: str = "") -> None:
        """The process lives, and may have done what it was asked for."""
        self._last = asyncio.get_running_loop().time()
        self._owed.discard(paid)
        if self._is_loading or not self._owed:
            self._is_loading = False
            self._expect(self._patience if self._owed else 0)

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
        missing = f"no word about {', '.join(sorted(self._owed))}" if self._owed else "it is not loaded"
        log.error("%s hangs: %s in %.0f s; replacing it", self._name, missing, self._limit)
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


class Child(ABC, Generic[Incoming, Outgoing]):
    """One child process. What is said to it and by it is for subclasses to know."""

    def __init__(self, name: str, command: Sequence[str], incoming: Any, watchdog: Watchdog) -> None:
        self.unavailable_reason = ""
        self.is_ready = False
        self._name = name
        self._command = command
        self._incoming = incoming
        self._watchdog = watchdog
        self._draining = False
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel[Incoming, Outgoing] | None = None

    @property
    def is_starting(self) -> bool:
        """Whether it may be ready later."""
        return not (self.is_ready or self._draining or self.unavailable_reason)

    @abstractmethod
    def _take(self, message: Incoming) -> None:
        """The process said something: note whether it is ready or cannot be, and tell the watchdog."""

    @abstractmethod
    def _lost(self) -> None:
        """The process has ended."""

    @abstractmethod
    def _given_up(self) -> None:
        """It will not be started again, for `unavailable_reason`."""

    async def _keep_alive(self) -> None:
        """Start the process again and again until it is drained or can never work."""
        failed_starts = 0
        while not self._draining and not self.unavailable_reason:
            started = time.monotonic()
            was_ready = await self._run_once()
            if self._draining or self.unavailable_reason:
                break
            failed_starts = 0 if was_ready else failed_starts + 1
            log.warning("%s died after %.1f s", self._name, time.monotonic() - started)
            if failed_starts >= MAX_FAILED_STARTS:
                kind = self._name.partition(" ")[0]
                self.unavailable_reason = f"the {kind} died {failed_starts} times while starting"
            elif failed_starts:
                await asyncio.sleep(2.0**failed_starts / 4)
        if self.unavailable_reason:
            self._given_up()

    async def _run_once(self) -> bool:
        """One life of the process; returns whether it became ready. Leaves no process and no job behind."""
        try:
            self._process, self._channel = await spawn(self._command, self._incoming)
        except OSError as error:
            log.error("%s could not be started: %s", self._name, error)
            return False
        self._watchdog.start(self._process)
        if self._draining:
            self.kill()  # `drain` came while this process was being started, and could not reach it
        try:
            async for message in self._channel:
                self._take(message)
        except FrameError as error:
            log.error("%s: %s; replacing it", self._name, error)
            self.kill()
        finally:
            self._watchdog.stop()
            was_ready, self.is_ready = self.is_ready, False
            channel, self._channel = self._channel, None
            await channel.close()
            # A process that closed its socket exits by itself; one that does not is stuck.
            await stop(self._process, grace=2)
        self._lost()
        return was_ready

    def drain(self) -> None:
        """Let the process end when it has done what it was asked for. One that still loads just ends."""
        self._draining = True
        if not self.is_ready:
            self.kill()
        elif self._channel is not None:
            drain: Any = Drain()  # every child is told to end by the same message
            self._channel.send(drain)

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
