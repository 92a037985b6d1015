"""Draws with the engine's own model, from what a member types to pixels, many requests at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from bot.presets import GenerationOptions, PresetBook
from engine.protocol import Assign, GenerationRequest, ModelCard
from engine.worker.batch import DiffusionSample
from engine.worker.interfaces import Pixels
from engine.worker.model import DiffusionModel


def member_request(
    card: ModelCard, prompt: str, *, preset: str, seed: int, size: str | None = None, steps: int | None = None
) -> GenerationRequest:
    """What the bot makes of a prompt with nothing else chosen: the model's defaults, the anatomy words."""
    options = GenerationOptions(prompt=prompt, preset=preset, seed=str(seed), size=size, steps=steps)
    # The dice would draw a seed, and there is one.
    return PresetBook.load().resolve(options, card, random.Random(0))


def draw(
    model: DiffusionModel,
    requests: Sequence[GenerationRequest],
    on_drawn: Callable[[int], None] = lambda _count: None,
) -> list[Pixels]:
    """The pictures [H, W, 3] of requests for one picture each.

    Args:
        on_drawn: called with the number of pictures done.
    """
    by_size: dict[tuple[int, int], list[int]] = {}
    for number, request in enumerate(requests):
        by_size.setdefault((request.width, request.height), []).append(number)
    pictures: dict[int, Pixels] = {}
    for numbers in by_size.values():
        for first in range(0, len(numbers), model.max_batch_size):
            chosen = numbers[first : first + model.max_batch_size]
            drawn = _draw_together(model, [requests[number] for number in chosen])
            pictures.update(zip(chosen, drawn, strict=True))
            on_drawn(len(pictures))
    return [pictures[number] for number in range(len(requests))]


def _draw_together(model: DiffusionModel, requests: Iterable[GenerationRequest]) -> list[Pixels]:
    """Requests of one size; whichever is done leaves the batch."""
    samples: list[DiffusionSample] = []
    for number, request in enumerate(requests):
        [sample] = model.start(Assign(str(number), request))
        samples.append(sample)
    going_on = samples
    while going_on:
        model.step(going_on)
        going_on = [sample for sample in going_on if sample.done < 1]
    pictures: list[Pixels] = []
    for picture in model.decode(samples)():
        if picture is None:
            raise ValueError("The model gave a picture that is not a number.")
        pictures.append(picture)
    return pictures
