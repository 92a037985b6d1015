"""Where the answer to a job goes, and what is told on the way: the seam between the rules and Discord."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from bot.errors import MemberError
from bot.jobs import Job
from engine.protocol import Image, JobEvent, ModelCard, Preview, Progress, Queued


@dataclass(frozen=True, kw_only=True)
class JobProgress:
    """How far a job is: `position` in the queue (0 once it left it), then `step` of `steps`.

    `seconds_left` is a guess from the engine's measured speed, None before there is one.
    """

    position: int = 0
    step: int = 0
    steps: int
    seconds_left: float | None = None
    preview: bytes | None = field(default=None, repr=False)

    def after(self, event: JobEvent) -> JobProgress:
        """The progress once `event` has happened."""
        match event:
            case Queued(_, position, seconds):
                return replace(self, position=position, step=0, seconds_left=seconds)
            case Progress(_, step, _, seconds):
                return replace(self, position=0, step=step, seconds_left=seconds)
            case Preview(_, png):
                return replace(self, preview=png)
            case _:
                return self


@dataclass(frozen=True, kw_only=True)
class GenerationResult:
    """A finished job and its pictures."""

    job: Job
    images: Sequence[Image]
    card: ModelCard
    seconds: float
    channel_id: int | None = None
    """Where the server's admins want pictures to be shown; None is where they were asked for."""


class Undeliverable(Exception):
    """The pictures could not be handed over: kept for the next start, unless that would not help either."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.permanent = permanent


class Reply(Protocol):
    """Where the answer to a job goes."""

    def show_progress(self, progress: JobProgress) -> None:
        """Tell the member how far it is. Returns at once; updates may be left out."""
        ...

    async def deliver(self, result: GenerationResult) -> None:
        """Hand the pictures over, or raise `Undeliverable`."""
        ...

    async def fail(self, error: MemberError) -> None:
        """Tell the member that there will be no picture. Does not raise."""
        ...

    def close(self) -> None:
        """The run is over, or was cut short: nothing may go on in the background."""
        ...
