"""A job as the engine core knows it, and what it costs. Runs in the engine process."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from engine.protocol import GenerationRequest, Submit

CALLS_PER_STEP = {"Heun": 2}
"""Model calls that a sampler makes for each of its steps, where it is not one."""


MAX_STEPS = 1000
"""As many as there are timesteps in SD v1's noise schedule."""

SIZE_UNIT = 8
"""Pixels that the autoencoder makes one of."""


def step_work(request: GenerationRequest) -> float:
    """The cost of a request: images × model calls × rows of each call × pixels."""
    share = request.strength if request.init_image else 1.0
    calls = max(1.0, request.num_inference_steps * share) * CALLS_PER_STEP.get(request.sampler, 1)
    rows = 2 if request.guidance_scale > 1 else 1
    return max(1, request.num_images_per_prompt) * calls * rows * request.height * request.width


def problem_of(request: GenerationRequest) -> str:
    """Why no model can draw a request, or nothing. A worker that tried might not come to an end."""
    if request.num_images_per_prompt < 1:
        return f"{request.num_images_per_prompt} images"
    if not 1 <= request.num_inference_steps <= MAX_STEPS:
        return f"{request.num_inference_steps} steps"
    if request.width < SIZE_UNIT or request.height < SIZE_UNIT:
        return f"a size of {request.width}x{request.height}"
    if request.width % SIZE_UNIT or request.height % SIZE_UNIT:
        return f"a size of {request.width}x{request.height}, which are not both multiples of {SIZE_UNIT}"
    if not math.isfinite(request.guidance_scale):
        return f"a guidance scale of {request.guidance_scale}"
    if request.init_image and not 0 < request.strength <= 1:
        return f"a strength of {request.strength}"
    return ""


ETA_CHANGE = 0.2
"""A waiting job is told anew how long it takes when that has changed by this share."""


def eta_differs(eta: float | None, told: float | None) -> bool:
    """Whether a job should be told how long it takes, after what it was told last."""
    if eta is None or told is None:
        return eta is not told
    return abs(eta - told) > max(1.0, ETA_CHANGE * told)


@dataclass(eq=False, kw_only=True, slots=True)
class Job:
    """A request the engine has accepted. Times are those of the core's clock."""

    job_id: str
    request: GenerationRequest
    user: str
    weight: float
    cost: float
    since: float
    """When it was accepted."""

    done: float = 0.0
    """The share of its steps that its worker has done."""
    first_step: tuple[float, float] | None = None
    """When its worker told of a step for the first time, and `done` then."""
    died_on: list[str] = field(default_factory=list[str])
    """The devices of the workers that were lost with it."""
    cancelled: bool = False
    announced: tuple[int, float | None] = (0, None)
    """The position and the time left that the bot was told last."""

    @classmethod
    def of(cls, submit: Submit, now: float) -> Job:
        """A job that has just come."""
        return cls(
            job_id=submit.job_id,
            request=submit.request,
            user=submit.user,
            weight=submit.weight if submit.weight > 0 else 1.0,
            cost=step_work(submit.request),
            since=now,
        )

    @property
    def images(self) -> int:
        """How many samples it puts into a batch."""
        return self.request.num_images_per_prompt

    @property
    def in_steps(self) -> bool:
        """Whether it has steps to go; after them it is only decoded and encoded."""
        return self.done < 1

    @property
    def is_suspect(self) -> bool:
        """Whether a worker died with it: it may be the cause."""
        return bool(self.died_on)

    def step_done(self, done: float, now: float) -> float:
        """Note that `done` of its steps are done; the step-work that is less to do since the last time."""
        gain = max(0.0, min(1.0, done) - self.done)
        self.done += gain
        if self.first_step is None:
            self.first_step = (now, self.done)
        return gain * self.cost

    def seconds_left(self, now: float) -> float | None:
        """How long its other steps will take, at the pace since its first one."""
        if self.first_step is None or self.done <= self.first_step[1]:
            return None
        started, begun = self.first_step
        return (now - started) / (self.done - begun) * (1 - self.done)

    def worker_died(self, device: str) -> None:
        """Go back to where it was before it had a worker, but for the suspicion."""
        self.died_on.append(device)
        self.done, self.first_step, self.announced = 0.0, None, (0, None)
