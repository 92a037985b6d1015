"""Requests as a channel sends them: mixed settings, at random moments. The same seed, the same trace."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import get_args

from engine.protocol import GenerationRequest, Sampler

SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)

ALL_DEFAULT = 0.4
"""The share of requests with none of the three settings changed. An assumption, as are the weights below:
steps, cfg and sampler are options of `/trinart`, and most people leave options alone."""

STEPS = {15: 1, 20: 4, 25: 2, 28: 6, 30: 3, 40: 2, 50: 2}
CFG = {1.0: 1, 4.0: 1, 5.5: 2, 7.0: 8, 9.0: 2, 12.0: 2}
OFTEN: dict[Sampler, int] = {"DPM++ 2M Karras": 8, "Euler a": 4, "DDIM": 2}
SAMPLER: dict[Sampler, int] = {name: OFTEN.get(name, 1) for name in SAMPLERS}

SUBJECTS = ("a girl with blue hair", "a fox in the snow", "a castle at night", "two friends on a train")
STYLES = ("watercolor", "flat colors, thick lines", "in the rain, neon lights")
NEGATIVE = "lowres, bad hands, fewer digits"


@dataclass(frozen=True)
class Arrival:
    """A request and the second at which it comes."""

    at: float
    request: GenerationRequest


def mixed_requests(
    count: int, *, seed: int, size: tuple[int, int], max_steps: int = 60
) -> list[GenerationRequest]:
    """One picture each, all of one size; `max_steps` is for trials that are over soon."""
    dice = random.Random(seed)
    return [_mixed_request(dice, size, max_steps) for _ in range(count)]


def _mixed_request(dice: random.Random, size: tuple[int, int], max_steps: int) -> GenerationRequest:
    steps, cfg = 28, 7.0
    sampler: Sampler = "DPM++ 2M Karras"
    if dice.random() >= ALL_DEFAULT:
        [steps] = dice.choices(list(STEPS), list(STEPS.values()))
        [cfg] = dice.choices(list(CFG), list(CFG.values()))
        [sampler] = dice.choices(list(SAMPLER), list(SAMPLER.values()))
    return request(
        size, steps=min(steps, max_steps), cfg=cfg, sampler=sampler, seed=dice.randrange(2**31), dice=dice
    )


def request(
    size: tuple[int, int], *, steps: int, cfg: float, sampler: Sampler, seed: int, dice: random.Random
) -> GenerationRequest:
    """A request with a random prompt."""
    return GenerationRequest(
        prompt=f"{dice.choice(SUBJECTS)}, {dice.choice(STYLES)}",
        negative_prompt=NEGATIVE,
        width=size[0],
        height=size[1],
        num_inference_steps=steps,
        guidance_scale=cfg,
        sampler=sampler,
        seed=seed,
    )


def equal_requests(count: int, *, seed: int, size: tuple[int, int], steps: int) -> list[GenerationRequest]:
    """Requests that differ in prompt and seed alone."""
    dice = random.Random(seed)
    return [
        request(size, steps=steps, cfg=7.0, sampler="DPM++ 2M Karras", seed=dice.randrange(2**31), dice=dice)
        for _ in range(count)
    ]


def at_once(requests: Sequence[GenerationRequest]) -> list[Arrival]:
    """All of them are there at the start."""
    return [Arrival(0.0, each) for each in requests]


def poisson(requests: Sequence[GenerationRequest], *, rate: float, seed: int) -> list[Arrival]:
    """`rate` requests a second on average, at random moments."""
    dice = random.Random(seed)
    moments = accumulate(dice.expovariate(rate) for _ in requests)
    return [Arrival(at, each) for at, each in zip(moments, requests, strict=True)]
