"""Abstract pictures that the same numbers always make: what the scores are recorded on.

Ellipses, ramps and patterns, of integers alone so that no version of anything draws them differently. The
last ones are in skin tones, like the canary: some of them score high.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

SIDE = 224
SKIN_TONES = ((255, 224, 196), (241, 194, 160), (224, 172, 132), (198, 134, 94), (141, 85, 54))
PATTERNS = 36
SKIN_SEEDS = (409, 14, 148, 334, 477, 495, 218, 331, 473, 410, 11, 324)
"""Found by trying: their scores lie between those of the others and 1."""
COUNT = PATTERNS + len(SKIN_SEEDS)

Pixels = npt.NDArray[np.uint8]
ROWS, COLUMNS = np.mgrid[0:SIDE, 0:SIDE].astype(np.int64)


def picture(number: int) -> Pixels:
    """Picture `number`, of shape (224, 224, 3)."""
    return _pattern(number) if number < PATTERNS else _skin(SKIN_SEEDS[number - PATTERNS])


def _pattern(number: int) -> Pixels:
    knobs = _knobs(f"picture {number}")
    pixels = np.zeros((SIDE, SIDE, 3), np.int64) + knobs[:3]
    for ellipse in range(number % 7):
        y, x, height, width, *colour = knobs[3 + 4 * ellipse : 10 + 4 * ellipse]
        pixels[_ellipse(y, x, height, width)] = colour
    match number % 4:
        case 1:
            pixels += (ROWS * knobs[30] // SIDE)[..., None]
        case 2:
            pixels += np.where((ROWS // (2 + knobs[30] % 30) + COLUMNS // 16) % 2, 40, 0)[..., None]
        case 3:
            pixels += ((ROWS * ROWS * 31 + COLUMNS * COLUMNS * 17 + ROWS * COLUMNS * 7) % 61)[..., None]
        case _:
            pass
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _skin(seed: int) -> Pixels:
    knobs = _knobs(f"skin {seed}")
    pixels = np.zeros((SIDE, SIDE, 3), np.int64) + knobs[:3]
    for start in range(3, 28, 5):
        y, x, height, width, tone = knobs[start : start + 5]
        pixels[_ellipse(y, x, height, width)] = SKIN_TONES[tone % len(SKIN_TONES)]
    for axis in (0, 1) * 2:  # blurred, by a box of 16 pixels
        padded = np.concatenate([pixels.take([0] * 16, axis), pixels], axis)
        pixels = (
            sum(np.roll(padded, shift, axis) for shift in range(16)).take(range(16, SIDE + 16), axis) // 16
        )
    return pixels.astype(np.uint8)


def _knobs(name: str) -> list[int]:
    return [int(each) for each in hashlib.sha256(name.encode()).digest()]


def _ellipse(y: int, x: int, height: int, width: int) -> npt.NDArray[np.bool_]:
    inside = ((ROWS - y) * (20 + width)) ** 2 + ((COLUMNS - x) * (20 + height)) ** 2
    return inside < ((20 + width) * (20 + height) // 2) ** 2


def digest(pixels: Pixels) -> str:
    """What tells whether two pictures are the same."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()
