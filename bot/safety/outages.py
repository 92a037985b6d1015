"""Times in which no picture can be checked, or none be drawn: what the host is told of them, and how often.

Runs in the bot process. Nothing unchecked is shown meanwhile; but nobody repairs what nobody has heard of.
"""

from __future__ import annotations

import asyncio
import logging
import operator
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from bot.jobs import utc_now
from engine.client import EngineClient, EngineStatus
from engine.protocol import EngineReady, EngineUnavailable

log = logging.getLogger(__name__)

LEAST_BETWEEN = timedelta(hours=1)
"""From one message about an outage to the next: what fails and works in turns must not flood anybody."""

Part = Literal["engine", "check"]
"""`engine`: nothing is drawn any more. `check`: what was drawn could not be checked."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What the host is to hear: what does not work and why, or with None that all works again."""

    part: Part | None
    reason: str = ""


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the host heard last, for the next start of the bot."""

    at: datetime
    is_outage: bool


class Outages:
    """What fails now, and what the host knows of it."""

    def __init__(self, file: Path, clock: Callable[[], datetime] = utc_now) -> None:
        self._tell: Callable[[Notice], Awaitable[None]] | None = None
        """How the host is told; None until there is a way."""
        self._changed = asyncio.Event()
        self._file = file
        self._clock = clock
        self._problems: dict[Part, str] = {}
        self._has_worked = False
        self._told = _read(file)

    @asynccontextmanager
    async def running(self, engine: EngineClient) -> AsyncGenerator[None]:
        """Watch the engine, and tell the host, while the block runs."""
        tasks = [asyncio.create_task(self._follow(engine)), asyncio.create_task(self._tell_what_is_due())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, engine: EngineClient) -> None:
        seen: EngineStatus | None = None
        while True:
            seen = await engine.wait_until(partial(operator.is_not, seen))
            if isinstance(seen, EngineUnavailable):
                self.failed("engine", seen.reason)
            elif isinstance(seen, EngineReady):
                self.works("engine")

    async def _tell_what_is_due(self) -> None:
        while True:
            notice = self.due()
            if notice is not None and self._tell is not None:
                try:
                    await self._tell(notice)
                except Exception:  # whatever it was, the next outage is to be told
                    log.exception("the host could not be told")
                await self.told(notice)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.seconds_left() or None):
                    await self._changed.wait()
            self._changed.clear()

    def tell_by(self, tell: Callable[[Notice], Awaitable[None]]) -> None:
        """From now on there is a way to tell the host."""
        self._tell = tell
        self._changed.set()

    def failed(self, part: Part, reason: str) -> None:
        """It does not work; `reason` is for the host."""
        self._problems[part] = reason
        self._changed.set()

    def works(self, part: Part) -> None:
        """It works."""
        self._has_worked = True
        self._problems.pop(part, None)
        self._changed.set()

    def checked(self, problem: str) -> None:
        """A job was drawn; why its pictures could not be checked, or an empty text."""
        if problem:
            self.failed("check", problem)
        else:
            self.works("check")

    def due(self) -> Notice | None:
        """What is to be told now."""
        knows = self._told is not None and self._told.is_outage
        if self._problems and not knows and self.seconds_left() == 0:
            part, reason = next(iter(self._problems.items()))
            return Notice(part=part, reason=reason)
        if not self._problems and knows and self._has_worked:
            return Notice(part=None)
        return None

    def seconds_left(self) -> float | None:
        """How long until an outage may be told; None if there is none that the host does not know of."""
        if not self._problems or (self._told is not None and self._told.is_outage):
            return None
        if self._told is None:
            return 0
        return max((self._told.at + LEAST_BETWEEN - self._clock()).total_seconds(), 0)

    async def told(self, notice: Notice) -> None:
        """The host has heard it. The next start of the bot knows that too."""
        is_outage = notice.part is not None
        # The end of an outage does not put off the news of the next one.
        at = self._clock() if is_outage or self._told is None else self._told.at
        self._told = _Told(at=at, is_outage=is_outage)
        try:
            await asyncio.to_thread(_write, self._file, self._told)
        except OSError:
            log.exception("what the host was told could not be kept: the next start may say it again")


def _read(file: Path) -> _Told | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Told)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError):
        log.exception("what the host was told before cannot be read")
        return None


def _write(file: Path, told: _Told) -> None:
    partial = file.with_suffix(".part")
    partial.write_bytes(msgspec.json.encode(told))
    partial.replace(file)
