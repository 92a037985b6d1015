"""Says what a picture of the demo model's world shows: `python -m tools.demo_model.judge --work FOLDER`.

A small convolutional network, trained on pictures of the renderer alone and never on generated ones: the
model that it judges has no part in it. It is trained once per work folder, from fixed seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from tools.demo_model.faces import (
    ACCESSORY,
    BACKGROUND,
    CLOTHES,
    CLOTHES_COLOR,
    EXPRESSION,
    EYE_COLOR,
    HAIR_COLOR,
    HAIR_STYLE,
    WHO,
    Face,
)
from tools.demo_model.renderer import UNITS

HEADS: dict[str, tuple[str, ...]] = {
    "who": WHO,
    "hair colour": HAIR_COLOR,
    "hair style": HAIR_STYLE,
    "eye colour": EYE_COLOR,
    "expression": EXPRESSION,
    **dict.fromkeys(ACCESSORY, ("no", "yes")),
    "clothes": CLOTHES,
    "clothes colour": CLOTHES_COLOR,
    "background": BACKGROUND,
    "shading": ("detailed", "flat"),
    "era": ("modern", "retro"),
}
"""What is judged, and the values that each can have."""
FEATURES = 128
"""Numbers that a picture is to the judge before it decides."""

_CHANNELS = (16, 32, 64, 96)
_CELL = 2 ** len(_CHANNELS)
_CELLS = UNITS // _CELL
_PLACED = 32
"""Channels that are looked at place by place."""
_BATCH = 32


def values_of(face: Face) -> dict[str, str | None]:
    """What the judge should say of a face's picture; None for what cannot be seen."""
    return {
        "who": face.who,
        "hair colour": face.hair_color,
        "hair style": face.hair_style,
        "eye colour": face.eye_color if face.has_visible_eyes else None,
        "expression": face.expression,
        **{each: "yes" if each in face.accessories else "no" for each in ACCESSORY},
        "clothes": face.clothes,
        "clothes colour": face.clothes_color,
        "background": face.background,
        "shading": "flat" if face.is_flat else "detailed",
        "era": "retro" if face.is_retro else "modern",
    }


class JudgeNet(nn.Module):
    """Pictures [N, 3, H, W] in [-1, 1], the shorter side 128 → features [N, FEATURES] and all heads' logits.

    The face is in the same place in all sizes, but for a few pixels: at the top, in the middle. So one part
    of the features knows where in that square something is, and the other is a mean over the whole picture.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for number, channels in enumerate(_CHANNELS):
            layers += _convolution(before, channels, stride=2)
            if number:
                layers += _convolution(channels, channels, stride=1)
            before = channels
        self.trunk = nn.Sequential(*layers)
        self.placed = nn.Sequential(*_convolution(before, _PLACED, stride=1))
        self.mix = nn.Sequential(
            nn.Linear(_PLACED * _CELLS**2 + before, FEATURES), nn.BatchNorm1d(FEATURES), nn.ReLU()
        )
        self.heads = nn.Linear(FEATURES, sum(len(values) for values in HEADS.values()))

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [N, FEATURES], and logits [N, all values of all heads]."""
        seen = self.trunk(pictures)
        left = (seen.shape[3] - _CELLS) // 2
        square = self.placed(seen[:, :, :_CELLS, left : left + _CELLS])
        features = self.mix(torch.cat([square.flatten(1), seen.mean(dim=(2, 3))], dim=1))
        return features, self.heads(functional.dropout(features, 0.1, self.training))


def _convolution(before: int, channels: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(before, channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    ]


def split_heads(logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """Logits [N, all values of all heads] → for each head [N, its values]."""
    parts = logits.split([len(values) for values in HEADS.values()], dim=1)
    return dict(zip(HEADS, parts, strict=True))


def as_input(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """Bytes [N, H, W, 3] → floats [N, 3, H', W'] in [-1, 1], the shorter side 128."""
    # A copy: torch wants arrays that can be written to, and those on disk are not.
    made = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    height, width = made.shape[2:]
    if min(height, width) == UNITS:
        return made
    scale = UNITS / min(height, width)
    # A whole number of cells, so that the window of the face is there to the last.
    size = [max(_CELLS, round(side * scale / _CELL)) * _CELL for side in (height, width)]
    return functional.interpolate(made, size, mode="bicubic", antialias=True).clamp(-1, 1)


@dataclass(frozen=True)
class Judgement:
    """What each picture shows, by head; and its features [N, FEATURES]."""

    values: list[dict[str, str]]
    features: NDArray[np.float64]


@dataclass(frozen=True)
class Judge:
    """A trained network, and how often it was right about pictures that it was not trained on."""

    net: JudgeNet
    accuracy: Mapping[str, float]
    """Of clean renderings, by head."""
    soft_accuracy: Mapping[str, float]
    """Of the same renderings, softened more than any autoencoder should."""

    def look(self, pictures: Sequence[NDArray[np.uint8]]) -> Judgement:
        """Judge pictures [H, W, 3] of any sizes."""
        values: list[dict[str, str]] = [{} for _ in pictures]
        features = np.zeros((len(pictures), FEATURES))
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for number, picture in enumerate(pictures):
            by_shape.setdefault(picture.shape, []).append(number)
        for numbers in by_shape.values():
            for first in range(0, len(numbers), _BATCH):
                chosen = numbers[first : first + _BATCH]
                named, seen = judge_batch(self.net, as_input(np.stack([pictures[each] for each in chosen])))
                features[chosen] = seen
                for number, value in zip(chosen, named, strict=True):
                    values[number] = value
        return Judgement(values, features)


@torch.inference_mode()
def judge_batch(net: JudgeNet, pictures: torch.Tensor) -> tuple[list[dict[str, str]], NDArray[np.float64]]:
    """What pictures [N, 3, H, W] show, and their features [N, FEATURES]."""
    net.eval()
    features, logits = net(pictures)
    best = {head: each.argmax(dim=1).tolist() for head, each in split_heads(logits).items()}
    values = [{head: HEADS[head][best[head][number]] for head in HEADS} for number in range(len(pictures))]
    return values, features.double().numpy()


def main() -> None:
    """Train the judge, if it is not there yet, and say how often it is right."""
    # Not at the top: the processes that render import this file too.
    from rich.console import Console
    from rich.table import Table

    from tools.demo_model.judge_training import FULL, get_judge

    parser = argparse.ArgumentParser(prog="python -m tools.demo_model.judge", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("data/demo-model"), help="as of the training")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    judge = get_judge(arguments.work, FULL, arguments.threads)
    table = Table("", "clean", "softest", title="The judge on held-out renderings, % right")
    for head in HEADS:
        table.add_row(head, f"{100 * judge.accuracy[head]:.1f}", f"{100 * judge.soft_accuracy[head]:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
