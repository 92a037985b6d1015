"""What the image check says of pictures with nothing to find in them: the demo model's, or a folder's."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bot.presets import PresetBook
from engine.models import DEMO_FOLDER
from engine.safety.errors import PictureRefused
from engine.safety.inspector import Inspector
from engine.safety.loading import load_untrusted
from engine.worker.loading import ModelOptions, load_model
from engine.worker.pictures import encode_picture
from tools.demo_model.drawing import draw, member_request
from tools.demo_model.faces import caption, sample_face

LIMITS = (0.3, 0.5, 0.7)
"""Scores from which on the policy that ships covers or withholds a picture, at one level or another."""
AT_ONCE = 16
NOISE = 4.0
"""Of 255, one standard deviation."""


def demo_pictures(count: int) -> Iterator[bytes]:
    """Pictures of the demo model as the engine checks them: faces of every kind, each preset in turn."""
    model = load_model(DEMO_FOLDER, ModelOptions(max_batch_size=AT_ONCE))
    presets = [preset.name for preset in PresetBook.load().presets]
    for first in range(0, count, AT_ONCE):
        requests = [
            member_request(
                model.card,
                caption(sample_face(random.Random(f"safety/{number}"))),
                preset=presets[number % len(presets)],
                seed=number,
            )
            for number in range(first, min(count, first + AT_ONCE))
        ]
        for request, pixels in zip(requests, draw(model, requests), strict=True):
            yield encode_picture(pixels, request, 0, model.card).png


def enlarged(pictures: Iterable[bytes], side: int) -> Iterator[bytes]:
    """The same pictures, larger, with the faint noise that makes PNG files of large models big."""
    noise = np.random.default_rng(side).normal(0, NOISE, (side, side, 3))
    for content in pictures:
        with Image.open(io.BytesIO(content)) as picture:
            smooth = np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS))
        buffer = io.BytesIO()
        Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
        yield buffer.getvalue()


def folder_pictures(folder: Path) -> Iterator[bytes]:
    """The pictures of a folder, at any depth, that a member could send: no animations, nothing huge."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
            yield path.read_bytes()


def measure_pictures(pictures: Iterable[bytes]) -> dict[str, Any]:
    """How many of them score above the limits of the policy, and what a check costs."""
    inspector = Inspector()
    scores: list[float] = []
    times: list[float] = []
    refused = 0
    for content in pictures:
        started = time.process_time()
        try:
            verdict = inspector.inspect(load_untrusted(content))
        except PictureRefused:
            refused += 1
            continue
        times.append((time.process_time() - started) * 1000)
        scores.append(verdict.scores["sexual"])
    return {
        "pictures": len(scores),
        "not_taken": refused,
        "highest_score": max(scores, default=None),
        **{f"above_{limit}": sum(score > limit for score in scores) for limit in LIMITS},
        "cpu_ms": sorted(times)[len(times) // 2] if times else None,
    }
