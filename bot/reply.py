"""Where the answer to a job goes, and what is told on the way: the seam between the rules and Discord."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from bot.errors import MemberError
from bot.jobs import Job
from bot.safety.places import Place
from bot.safety.release import Release, ReleasedImage
from engine.protocol import JobEvent, Progress, Queued


@dataclass(frozen=True, kw_only=True)
class JobProgress:
    """How far a job is: `position` in the queue (0 once it left it), then `step` of `steps`.

    `seconds_left` is a guess from the engine's measured speed, None before there is one.
    """

    position: int = 0
    step: int = 0
    steps: int
    seconds_left: float | None = None
    preview: ReleasedImage | None = field(default=None, repr=False)

    def after(self, event: JobEvent) -> JobProgress:
        """The progress once `event` has happened."""
        match event:
            case Queued(_, position, seconds):
                return replace(self, position=position, step=0, seconds_left=seconds)
            case Progress(_, step, _, seconds):
                return replace(self, position=0, step=step, seconds_left=seconds)
            case _:
                return self

    def showing(self, preview: ReleasedImage | None) -> JobProgress:
        """The progress with another preview; with None, which may not be shown, the one of before is gone."""
        return replace(self, preview=preview)


class Delivery(Protocol):
    """Pictures on their way to the member. Which of them may be shown depends on where."""

    @property
    def job(self) -> Job:
        """The job that they belong to."""
        ...

    @property
    def channel_id(self) -> int | None:
        """Where the server's admins want pictures to be shown; None is where they were asked for."""
        ...

    async def release(self, place: Place) -> Release:
        """Those that may be shown in a place as it is now; asked for anew before each attempt to send.

        Raises:
            PicturesWithheld: none may; the job has ended.
            Undeliverable: nothing may be sent now.
        """
        ...


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

    async def deliver(self, delivery: Delivery) -> None:
        """Hand the pictures over, or raise `Undeliverable` or `PicturesWithheld`."""
        ...

    async def fail(self, error: MemberError) -> None:
        """Tell the member that there will be no picture. Does not raise."""
        ...

    def close(self) -> None:
        """The run is over, or was cut short: nothing may go on in the background."""
        ...
