"""Counts what the judge says of pictures against what was asked for, and how far apart two sets are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.demo_model.faces import ACCESSORY, Face
from tools.demo_model.judge import HEADS, values_of

UNASKED = "no other accessory"
"""Of the pictures, those without an accessory that was not asked for."""
COUNTED = (*HEADS, UNASKED)


@dataclass(frozen=True)
class Score:
    """How many were right, of those where it was asked for and can be seen."""

    right: int
    asked: int

    @property
    def share(self) -> float | None:
        """None where it was never asked for."""
        return self.right / self.asked if self.asked else None


def asked_of(face: Face) -> dict[str, str]:
    """What a prompt with all of a face's words asks for, as far as it can be seen."""
    asked = {head: value for head, value in values_of(face).items() if value is not None}
    # Nobody asks for no glasses.
    return {head: value for head, value in asked.items() if head not in ACCESSORY or value == "yes"}


def score(faces: Sequence[Face], seen: Sequence[Mapping[str, str]]) -> dict[str, Score]:
    """Count for each attribute; `seen` is what the judge says of the picture of each face."""
    right, asked = dict.fromkeys(COUNTED, 0), dict.fromkeys(COUNTED, 0)
    for face, values in zip(faces, seen, strict=True):
        for head, value in asked_of(face).items():
            asked[head] += 1
            right[head] += values[head] == value
        asked[UNASKED] += 1
        right[UNASKED] += all(values[each] == "no" for each in ACCESSORY if each not in face.accessories)
    return {each: Score(right[each], asked[each]) for each in COUNTED}


def mean_share(scores: Mapping[str, Score]) -> float | None:
    """The mean of the attributes' accuracies, all alike; what nobody asked for is none of them."""
    shares = [each.share for name, each in scores.items() if name != UNASKED]
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known else None


def share_of(seen: Sequence[Mapping[str, str]], head: str, value: str) -> float:
    """Of the pictures, those that the judge sees this in."""
    return sum(values[head] == value for values in seen) / len(seen)


def frechet_distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Between Gaussians of two sets of features, [N, D] and [M, D]: 0 for the same set."""
    shift = float(((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum())
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = _root(first)
    # tr √(AB) = tr √(√A B √A), and that one is symmetric: all its roots are real.
    middle = float(np.trace(_root(root @ second @ root)))
    return max(0.0, shift + float(np.trace(first) + np.trace(second)) - 2 * middle)


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The square root of a symmetric matrix [D, D] without negative eigenvalues, but for rounding."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
