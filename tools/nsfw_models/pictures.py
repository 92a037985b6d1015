"""Abstract pictures that the same numbers always make: what the scores are recorded on.

Colours, ramps, waves and noise, of integers alone so that no version of anything draws them differently.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

SIDE = 224
COUNT = 48

Pixels = npt.NDArray[np.uint8]


def picture(number: int) -> Pixels:
    """Picture `number`, of shape (224, 224, 3)."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.int64)
    knobs = [int(each) for each in hashlib.sha256(f"picture {number}".encode()).digest()]
    pixels = np.zeros((SIDE, SIDE, 3), np.int64)
    pixels += np.asarray(knobs[:3])
    for ellipse in range(number % 7):
        y, x, height, width, *colour = knobs[3 + 4 * ellipse : 10 + 4 * ellipse]
        inside = ((rows - y) * (20 + width)) ** 2 + ((columns - x) * (20 + height)) ** 2
        pixels[inside < ((20 + width) * (20 + height) // 2) ** 2] = colour
    match number % 4:
        case 1:
            pixels = pixels + (rows * knobs[30] // SIDE)[..., None]
        case 2:
            pixels = pixels + np.where((rows // (2 + knobs[30] % 30) + columns // 16) % 2, 40, 0)[..., None]
        case 3:
            pixels = (
                pixels + ((rows * rows * 31 + columns * columns * 17 + rows * columns * 7) % 61)[..., None]
            )
        case _:
            pass
    return np.clip(pixels, 0, 255).astype(np.uint8)


def digest(pixels: Pixels) -> str:
    """What tells whether two pictures are the same."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()
