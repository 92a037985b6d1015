"""What the batching loop, the model and the worker's server know of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from engine.protocol import Assign, ModelCard

Pixels = npt.NDArray[np.uint8]
"""An RGB picture, shape (height, width, 3)."""

Shape = tuple[int, ...]
"""Height and width of the latents, and whatever else the samples of one call must have in common."""

Pending = Callable[[], Sequence[Pixels | None]]
"""Waits for pictures that the device is about to have; None for one with a not-a-number in it."""


class OutOfMemory(Exception):
    """The device cannot take so many samples at once."""


class DeviceLost(BaseException):
    """The device is broken for this process: a new one may be able to use it.

    Not an Exception: whoever takes a job's failure for that job's own must not catch this one.
    """


class Sample(Protocol):
    """What the loop knows of one picture in the making."""

    @property
    def job_id(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def done(self) -> float: ...


class Model(Protocol):
    """What the loop needs of a loaded model. All calls come from the device thread."""

    card: ModelCard
    max_batch_size: int

    def start(self, job: Assign) -> Sequence[Any]:
        """The samples of a job, before their first step."""
        ...

    def step(self, samples: Sequence[Any]) -> None:
        """One UNet call for samples of one shape; if it raises, none of them has changed."""
        ...

    def decode(self, samples: Sequence[Any]) -> Pending:
        """Begin to turn finished samples of one shape into pictures."""
        ...

    def preview(self, sample: Any) -> Pending:
        """Begin to make a rough look at a sample."""
        ...


class Listener(Protocol):
    """Whom the loop tells. Called on the device thread; returns at once."""

    def on_step(self, job_id: str, step: int, num_steps: int) -> None: ...
    def on_preview(self, job_id: str, pending: Pending) -> None: ...
    def on_decoded(self, samples: Sequence[Sample], pending: Pending) -> None: ...
    def on_failed(self, job_id: str, error: Exception) -> None: ...
    def on_cancelled(self, job_id: str) -> None: ...
