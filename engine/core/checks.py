"""Pictures on their way out: each waits here until the checker has looked at it. Step 8 of a request's life.

Runs in the engine process and is plain calculation, like the `Dispatcher` that owns it. The checker has one
picture at a time: so it is known with which one it died, and no other job suffers for it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from engine.protocol import Check, Checked, CheckFailed, Failed, Finished, Preview, Verdict

log = logging.getLogger(__name__)

MAX_LOST_CHECKERS = 2
"""A job with whose pictures this many checkers died or hung is taken for the cause, and fails."""

MAX_WAITING = 64
"""Pictures that may wait for the checker. While there are more, no further job is placed."""


class CheckerHandle(Protocol):
    """The checker process, over all its restarts: what `Checks` needs of it."""

    @property
    def is_ready(self) -> bool: ...

    def send(self, message: Check) -> None:
        """Tell the process; returns at once."""
        ...


@dataclass(eq=False, kw_only=True, slots=True)
class _Drawn:
    """A job that was drawn, and the verdicts on its pictures so far."""

    event: Finished
    verdicts: list[Verdict] = field(default_factory=list[Verdict])
    lost_checkers: int = 0

    @property
    def job_id(self) -> str:
        return self.event.job_id

    @property
    def next_png(self) -> bytes:
        return self.event.images[len(self.verdicts)].png

    @property
    def with_verdicts(self) -> Finished:
        pairs = zip(self.event.images, self.verdicts, strict=True)
        images = [msgspec.structs.replace(image, verdict=verdict) for image, verdict in pairs]
        return msgspec.structs.replace(self.event, images=images)


class Checks:
    """Everything that waits for a verdict.

    `ended` gets the terminal event of a job that was drawn, and has to `forget` the job then. `passed` gets a
    preview that may be seen.
    """

    def __init__(
        self,
        checker: CheckerHandle,
        ended: Callable[[Finished | Failed], None],
        passed: Callable[[Preview], None],
        *,
        preview_limit: float,
    ) -> None:
        self._checker = checker
        self._ended = ended
        self._passed = passed
        self._preview_limit = preview_limit
        self._model = ""
        """That of the checker which became ready last."""
        self._drawn: dict[str, _Drawn] = {}
        self._looked_at: _Drawn | Preview | None = None
        self._check_id = 0

    def __contains__(self, job_id: str) -> bool:
        """Whether pictures of this job wait."""
        return job_id in self._drawn

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._drawn)

    @property
    def is_full(self) -> bool:
        """Whether so many pictures wait that no more should be drawn."""
        return sum(len(drawn.event.images) for drawn in self._drawn.values()) >= MAX_WAITING

    # --- what comes from the workers ---

    def add(self, event: Finished) -> None:
        """Hold the pictures of a job, at least one, back until each has its verdict."""
        self._drawn[event.job_id] = _Drawn(event=event)
        self._look_at_next()

    def add_preview(self, preview: Preview) -> None:
        """Let a preview be looked at if there is nothing else to do; otherwise nobody will see it."""
        if self._checker.is_ready and self._looked_at is None:
            self._look_at(preview, preview.png)

    def forget(self, job_id: str) -> None:
        """The job has its terminal event."""
        del self._drawn[job_id]

    # --- what the checker says ---

    def checker_ready(self, model: str) -> None:
        """A checker was started and has nothing to do."""
        self._model = model
        self._look_at_next()

    def answered(self, answer: Checked | CheckFailed) -> None:
        """The checker has looked at its picture."""
        looked_at = self._looked_at
        if looked_at is None or answer.check_id != self._check_id:
            log.error("the checker spoke of a picture that it does not have")
            return
        self._looked_at = None
        problem = answer.reason if isinstance(answer, CheckFailed) else self._problem_of(answer.verdict)
        if problem:
            self._failed(looked_at, problem)
        elif isinstance(answer, Checked):
            self._decided(looked_at, answer.verdict)
        self._look_at_next()

    def checker_lost(self) -> None:
        """The checker has ended. What it looked at is looked at by the next one, once."""
        looked_at, self._looked_at = self._looked_at, None
        if isinstance(looked_at, _Drawn):
            looked_at.lost_checkers += 1
            log.warning("the checker was lost with a picture of job %s", looked_at.job_id)
            if looked_at.lost_checkers >= MAX_LOST_CHECKERS:
                self._failed(looked_at, f"{looked_at.lost_checkers} checkers died or hung with its pictures")

    def give_up(self, reason: str) -> None:
        """No checker will ever run: no picture leaves."""
        for drawn in list(self._drawn.values()):
            self._failed(drawn, reason)

    # --- one picture after another ---

    def _look_at_next(self) -> None:
        if not self._checker.is_ready or self._looked_at is not None:
            return
        if drawn := next(iter(self._drawn.values()), None):
            self._look_at(drawn, drawn.next_png)

    def _look_at(self, what: _Drawn | Preview, png: bytes) -> None:
        self._looked_at = what
        self._check_id += 1
        self._checker.send(Check(self._check_id, png))

    def _decided(self, looked_at: _Drawn | Preview, verdict: Verdict) -> None:
        if isinstance(looked_at, _Drawn):
            looked_at.verdicts.append(verdict)
            if len(looked_at.verdicts) == len(looked_at.event.images):
                self._ended(looked_at.with_verdicts)
        elif not verdict.blocked and verdict.scores["sexual"] <= self._preview_limit:
            self._passed(msgspec.structs.replace(looked_at, verdict=verdict))

    def _failed(self, looked_at: _Drawn | Preview, problem: str) -> None:
        if isinstance(looked_at, Preview):
            log.warning("a preview of job %s could not be checked: %s", looked_at.job_id, problem)
        else:
            self._ended(Failed(looked_at.job_id, "check_failed", problem))

    def _problem_of(self, verdict: Verdict) -> str:
        """Why a verdict cannot be one, or nothing. The checker may be broken in ways it does not notice."""
        if verdict.model != self._model:
            return f"the verdict is of the model {verdict.model}, not {self._model}"
        if "sexual" not in verdict.scores:
            return "the verdict has no score"
        wrong = [
            name for name, score in verdict.scores.items() if not (math.isfinite(score) and 0 <= score <= 1)
        ]
        return f"the scores {', '.join(wrong)} are not between 0 and 1" if wrong else ""
