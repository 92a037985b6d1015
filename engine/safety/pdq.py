"""PDQ: a hash of how a picture looks, that survives scaling and recompression. Runs in the checker process.

The algorithm of Meta's ThreatExchange, after its reference in C++ (facebook/ThreatExchange on GitHub, folder
pdq/cpp, BSD licence) and the description beside it, with matrices instead of loops: all of it but the median
is linear. The package pdqhash needs a compiler to be installed; the tests hold this to hashes that it made.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

BITS = 256
BLOCKS = 64
"""A picture is averaged down to so many values on each side."""
FREQUENCIES = 16
MAX_SIDE = 512
"""The reference's tool makes larger pictures smaller first; what is hashed has no finer detail anyway."""
PASSES = 2

Floats = npt.NDArray[np.float32]

LUMA: Floats = np.asarray([0.299, 0.587, 0.114], np.float32)


def _cosines() -> Floats:
    """The rows 1 to 16 of the DCT-II of 64 values: all but the mean and the fine detail."""
    row = np.arange(1, FREQUENCIES + 1)[:, None]
    column = 2 * np.arange(BLOCKS)[None, :] + 1
    return (np.sqrt(2 / BLOCKS) * np.cos(np.pi / (2 * BLOCKS) * row * column)).astype(np.float32)


COSINES = _cosines()
ALTERNATING = np.where(np.arange(FREQUENCIES) % 2, 1, -1).astype(np.float32)
"""The signs that mirroring gives to the frequencies 1, 2, 3…: the odd ones change theirs."""


def pdq_hashes(picture: Image.Image) -> list[str]:
    """The hashes of a picture in its 8 orientations, as 64 hex digits; the upright one is the first."""
    return [_hash(frequencies) for frequencies in _orientations(_frequencies(picture))]


def distance(one: str, other: str) -> int:
    """In how many bits two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def _frequencies(picture: Image.Image) -> Floats:
    if max(picture.size) > MAX_SIDE:
        picture = picture.copy()
        picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    luma = np.asarray(picture.convert("RGB"), np.float32) @ LUMA
    rows, columns = (COSINES @ _averaging(size) for size in luma.shape)
    return (rows @ luma @ columns.T).astype(np.float32)


@cache
def _averaging(size: int) -> Floats:
    """The reference's filter along one side, as a matrix: each of its blocks is a weighted mean.

    It lets a box of half a block's size run over the values, twice, and keeps the middle of each block. At
    the edges the box has fewer values.
    """
    window = -(-size // (2 * BLOCKS))
    ahead = (window + 2) // 2
    at = np.arange(size)
    first, last = np.maximum(at - (window - ahead), 0), np.minimum(at + ahead, size)
    inside = (at >= first[:, None]) & (at < last[:, None])
    box = inside / inside.sum(axis=1, keepdims=True)
    middle = ((np.arange(BLOCKS) + 0.5) * size / BLOCKS).astype(int)
    return np.linalg.matrix_power(box, PASSES)[middle].astype(np.float32)


def _orientations(upright: Floats) -> Iterator[Floats]:
    """Mirrored and turned pictures have the same frequencies, but for signs and places."""
    kept = np.ones_like(ALTERNATING)
    for frequencies in (upright, upright.T):
        for rows, columns in itertools.product((kept, ALTERNATING), repeat=2):
            yield frequencies * rows[:, None] * columns[None, :]


def _hash(frequencies: Floats) -> str:
    values = frequencies.ravel()
    # The reference's median is the lower of the two in the middle.
    median = np.partition(values, BITS // 2 - 1)[BITS // 2 - 1]
    bits = np.packbits((values > median)[::-1])  # its first value is the last bit
    return bits.tobytes().hex()
