"""Trains the judge on rendered pictures, made as soft and slightly wrong as an autoencoder makes them."""

from __future__ import annotations

import hashlib
import math
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tools.demo_model.dataset import SIZES, face_at, pictures, render_pictures
from tools.demo_model.faces import Face, sample_face
from tools.demo_model.judge import HEADS, Judge, JudgeNet, as_input, judge_batch, split_heads, values_of
from tools.demo_model.progress import Progress
from tools.demo_model.renderer import render
from tools.demo_model.training import Budget, Options, Step, Training, autocast

SEED = 1980
UNSEEN = -100
"""The label of what cannot be seen."""

SHIFT = 3
"""Pixels, in both directions."""
BLUR = (0.4, 1.2)
"""Standard deviation in pixels, of the softest share of a picture's mixture of sharp and blurred."""
TINT, GAIN, CLOUDS, GRAIN = 0.05, 0.05, 0.05, 0.05
"""At most, of values in [-1, 1]: of each channel, of the contrast, in wide spots, in each pixel."""


@dataclass(frozen=True, kw_only=True)
class JudgePlan:
    """How many rendered pictures of each size to train on and to hold out, and how long to train."""

    counts: dict[str, int]
    held_out: dict[str, int]
    steps: int
    batch: int = 32
    rate: float = 2e-3


FULL = JudgePlan(
    counts={"square": 8000, "portrait": 3000, "landscape": 3000},
    held_out={"square": 1000, "portrait": 500, "landscape": 500},
    steps=2500,
)


def get_judge(work: Path, plan: JudgePlan, threads: int) -> Judge:
    """The judge of a work folder: as it was trained, or trained now. It is resumed if it was stopped."""
    folder = work / "judge"
    finished, mark = folder / "judge.pt", folder / "made-for"
    print_ = _fingerprint(plan)
    if mark.exists() and mark.read_text(encoding="utf-8") != print_:
        # Of another renderer, or trained otherwise: it would judge by what is no longer drawn.
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(print_, encoding="utf-8")
    if not finished.exists():
        _train(work, folder, plan, threads)
    content: dict[str, Any] = torch.load(finished, weights_only=True)
    net = JudgeNet()
    net.load_state_dict(content["weights"])
    return Judge(net.eval(), content["accuracy"], content["soft_accuracy"])


def _fingerprint(plan: JudgePlan) -> str:
    digest = hashlib.sha256(repr((plan, HEADS, SEED)).encode())
    for size, (width, height) in SIZES.items():
        for index in range(4):
            digest.update(render(held_out_face("fingerprint", size, index), width, height).tobytes())
    return digest.hexdigest()


def held_out_face(purpose: str, size: str, index: int) -> Face:
    """A face that no training uses: those of the training are numbered under another name."""
    return sample_face(random.Random(f"{purpose}/{size}/{index}"))


def _train(work: Path, folder: Path, plan: JudgePlan, threads: int) -> None:
    torch.manual_seed(SEED)
    rendered = _training_pictures(work, folder, plan, threads)
    labels = {
        size: labels_of([face_at(size, index) for index in range(count)])
        for size, count in plan.counts.items()
    }
    net = JudgeNet().train()
    budget = Budget(plan.steps)
    options = Options(device=torch.device("cpu"), threads=threads, seed=SEED, rate=plan.rate, budget=budget)

    def batch_loss(step: Step) -> tuple[torch.Tensor, int]:
        [size] = step.dice.choices(list(plan.counts), list(plan.counts.values()))
        chosen = sorted(step.dice.sample(range(plan.counts[size]), min(plan.batch, plan.counts[size])))
        seen = soften(_shifted(as_input(rendered[size][chosen]), step.dice), step.noise)
        return _loss(net, seen, labels[size][chosen]), len(chosen)

    Training(net, folder, options).run("judge", batch_loss)
    accuracy, soft_accuracy = measure(net, plan)
    unfinished = folder / "judge.new"
    content = {"weights": net.state_dict(), "accuracy": accuracy, "soft_accuracy": soft_accuracy}
    torch.save(content, unfinished)
    unfinished.replace(folder / "judge.pt")
    (folder / "checkpoint.pt").unlink()


def _training_pictures(
    work: Path, folder: Path, plan: JudgePlan, processes: int
) -> dict[str, NDArray[np.uint8]]:
    """Pictures by size [N, H, W, 3]; those of the model's training if they are there: they are the same."""
    found: dict[str, NDArray[np.uint8]] = {}
    for size, count in plan.counts.items():
        path = pictures(work, size, count).path
        done = path.with_suffix(".done.npy")
        if path.exists() and done.exists() and np.load(done).all():
            found[size] = np.load(path, mmap_mode="r")[:count]
    if all(len(found.get(size, ())) == count for size, count in plan.counts.items()):
        return found
    render_pictures(folder, plan.counts, processes)
    return {size: pictures(folder, size, count).read() for size, count in plan.counts.items()}


def labels_of(faces: Sequence[Face]) -> torch.Tensor:
    """The number of each head's value [N, heads], UNSEEN for what cannot be seen."""
    rows: list[list[int]] = []
    for face in faces:
        values = values_of(face)
        rows.append(
            [
                UNSEEN if (value := values[head]) is None else known.index(value)
                for head, known in HEADS.items()
            ]
        )
    return torch.tensor(rows)


def _loss(net: JudgeNet, seen: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The sum of all heads' cross entropies; pictures [N, 3, H, W], labels [N, heads]."""
    with autocast(seen.device):
        _, logits = net(seen.contiguous(memory_format=torch.channels_last))
    heads = split_heads(logits.float())
    losses = [
        functional.cross_entropy(heads[head], labels[:, number], ignore_index=UNSEEN)
        for number, head in enumerate(HEADS)
    ]
    # A small batch may have closed eyes only: the mean of nothing is no number.
    return torch.stack(losses).nan_to_num(0.0).sum()


def _shifted(seen: torch.Tensor, dice: random.Random) -> torch.Tensor:
    """Pictures [N, 3, H, W] moved by some pixels, all alike."""
    height, width = seen.shape[2:]
    left, top = dice.randint(0, 2 * SHIFT), dice.randint(0, 2 * SHIFT)
    padded = functional.pad(seen, (SHIFT,) * 4, mode="replicate")
    return padded[:, :, top : top + height, left : left + width]


def soften(seen: torch.Tensor, noise: torch.Generator, *, at_most: bool = False) -> torch.Tensor:
    """Pictures [N, 3, H, W] as an autoencoder may give them back, each worse or less so.

    Args:
        at_most: all of them as bad as can be.
    """
    count, _, height, width = seen.shape
    amount = torch.ones(5) if at_most else torch.rand(5, count, 1, 1, 1, generator=noise)
    blur, tint, gain, clouds, grain = amount
    low, high = BLUR
    deviation = high if at_most else low + (high - low) * float(torch.rand((), generator=noise))
    made = seen + blur * (blurred(seen, deviation) - seen)
    made = made * (1 + GAIN * gain * _spread((count, 1, 1, 1), noise))
    made = made + TINT * tint * _spread((count, 3, 1, 1), noise)
    spots = _spread((count, 3, 8, 8), noise)
    made = made + CLOUDS * clouds * functional.interpolate(spots, (height, width), mode="bilinear")
    return (made + GRAIN * grain * torch.randn(seen.shape, generator=noise)).clamp(-1, 1)


def _spread(shape: tuple[int, ...], noise: torch.Generator) -> torch.Tensor:
    """Even in [-1, 1]."""
    return 2 * torch.rand(shape, generator=noise) - 1


def blurred(seen: torch.Tensor, deviation: float) -> torch.Tensor:
    """Pictures [N, C, H, W] under a Gaussian of this standard deviation in pixels."""
    reach = 3
    weights = [math.exp(-0.5 * (place / deviation) ** 2) for place in range(-reach, reach + 1)]
    padded = functional.pad(seen, (reach,) * 4, mode="replicate")
    height, width = seen.shape[2:]
    across = torch.zeros_like(padded[:, :, :, :width])
    made = torch.zeros_like(seen)
    # Sums of shifted pictures: PyTorch's convolution of single channels takes five times as long.
    for at, weight in enumerate(weights):
        across.add_(padded[:, :, :, at : at + width], alpha=weight)
    for at, weight in enumerate(weights):
        made.add_(across[:, :, at : at + height], alpha=weight)
    return made / sum(weights) ** 2


def measure(net: JudgeNet, plan: JudgePlan) -> tuple[dict[str, float], dict[str, float]]:
    """How often the judge is right about held-out renderings, by head: clean ones, and the softest."""
    right = {head: [0, 0] for head in HEADS}
    seen_of = dict.fromkeys(HEADS, 0)
    noise = torch.Generator().manual_seed(SEED)
    done, total = 0, sum(plan.held_out.values())
    with Progress("judge, held out", total=total) as progress:
        for size, count in plan.held_out.items():
            for first in range(0, count, plan.batch):
                faces = [
                    held_out_face("judge", size, index)
                    for index in range(first, min(count, first + plan.batch))
                ]
                drawn = as_input(np.stack([np.asarray(render(face, *SIZES[size])) for face in faces]))
                for place, batch in enumerate((drawn, soften(drawn, noise, at_most=True))):
                    values, _ = judge_batch(net, batch)
                    for face, value in zip(faces, values, strict=True):
                        for head, truth in values_of(face).items():
                            right[head][place] += truth is not None and truth == value[head]
                            seen_of[head] += truth is not None and place == 0
                done += len(faces)
                progress.show(done)
    clean, soft = ({head: right[head][place] / max(1, seen_of[head]) for head in HEADS} for place in (0, 1))
    return clean, soft
