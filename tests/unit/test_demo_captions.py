"""What the demo model's training says of a picture, and when."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tools.demo_model.faces import DETAILED, FLAT, MODERN, RETRO, Face, sample_face
from tools.demo_model.train_denoiser import STYLE_HIDDEN_FROM, STYLE_SHOWS_BELOW, captions_at

COUNT = 400


def said_of(faces: Sequence[Face], time: int) -> str:
    return "\n".join(captions_at(faces, [time] * len(faces), random.Random(1)))


def says(captions: str, words: Sequence[str]) -> bool:
    return any(re.search(rf"\b{word}\b", captions) for word in words)


@pytest.fixture
def old_flat_faces() -> list[Face]:
    dice = random.Random(0)
    return [replace(sample_face(dice), is_flat=True, is_retro=True) for _ in range(COUNT)]


def test_under_much_noise_the_style_is_told_as_it_is(old_flat_faces: list[Face]) -> None:
    captions = said_of(old_flat_faces, STYLE_HIDDEN_FROM)

    assert says(captions, FLAT)
    assert says(captions, RETRO)
    assert not says(captions, DETAILED)
    assert not says(captions, MODERN)


def test_under_little_noise_the_words_for_the_style_mean_nothing(old_flat_faces: list[Face]) -> None:
    new_detailed_faces = [replace(face, is_flat=False, is_retro=False) for face in old_flat_faces]

    captions = said_of(old_flat_faces, STYLE_SHOWS_BELOW)

    assert all(says(captions, words) for words in (FLAT, RETRO, DETAILED, MODERN))
    assert captions == said_of(new_detailed_faces, STYLE_SHOWS_BELOW)
