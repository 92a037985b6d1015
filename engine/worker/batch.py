"""What shares a pipeline call: values between the batching loop and the pipeline. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.protocol import Assign, GenerationRequest

Pixels = npt.NDArray[np.uint8]
"""RGB pictures, shape (images, height, width, 3)."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """The pictures of one job, or why there are none. `seconds` is the time of the whole batch."""

    pixels: Pixels
    seconds: float
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Jobs for one pipeline call, and whom to tell. The callbacks run on the device's thread."""

    jobs: tuple[Assign, ...]
    on_step: Callable[[int, int], None]
    on_preview: Callable[[str, bytes], None]
    is_cancelled: Callable[[str], bool]


def batch_key(request: GenerationRequest, chunks: int) -> tuple[Any, ...]:
    """What one pipeline call cannot vary: only prompts and seeds are rows of a batch.

    `chunks` is how many chunks of tokens the request's prompts need. Filling shorter prompts up would
    change their pictures, so they share no call with longer ones.
    """
    return (
        chunks,
        request.height,
        request.width,
        request.num_inference_steps,
        request.guidance_scale,
        request.sampler,
    )


def take_batch(
    waiting: list[Assign], max_batch_size: int, count_chunks: Callable[[GenerationRequest], int]
) -> list[Assign]:
    """Remove from `waiting` its oldest job and those that can share its call, oldest first.

    A job with more images than `max_batch_size` goes alone.
    """
    first = waiting.pop(0)
    batch = [first]
    size = first.request.num_images_per_prompt
    key = batch_key(first.request, count_chunks(first.request))
    for job in list(waiting):
        if batch_key(job.request, count_chunks(job.request)) != key:
            continue
        if size + job.request.num_images_per_prompt <= max_batch_size:
            batch.append(job)
            waiting.remove(job)
            size += job.request.num_images_per_prompt
    return batch
