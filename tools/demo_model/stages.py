"""What the stages of the training do one after another, and how much of it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch

from tools.demo_model.architecture import SMALL, TINY, Architecture
from tools.demo_model.dataset import pictures, render_pictures
from tools.demo_model.train_autoencoder import train_autoencoder
from tools.demo_model.training import Budget, Options

SEED = 2022


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of everything."""

    architecture: Architecture
    counts: dict[str, int]
    autoencoder_steps: int
    autoencoder_rate: float = 1.5e-3


FULL = Plan(
    architecture=SMALL,
    counts={"square": 16000, "portrait": 4000, "landscape": 4000},
    autoencoder_steps=6000,
)
QUICK = Plan(
    architecture=TINY,
    counts={"square": 64, "portrait": 16, "landscape": 16},
    autoencoder_steps=30,
)


def run_stages(arguments: argparse.Namespace) -> None:
    """Run them, to the one that the command line says."""
    plan = QUICK if arguments.quick else FULL
    work: Path = arguments.work
    device = torch.device(_device(arguments.device))
    torch.set_flush_denormal(True)
    render_pictures(work, plan.counts, arguments.threads)
    if arguments.until == "pictures":
        return
    options = Options(
        device=device,
        threads=arguments.threads,
        seed=SEED,
        rate=plan.autoencoder_rate,
        budget=Budget(plan.autoencoder_steps, arguments.autoencoder_minutes),
    )
    square = pictures(work, "square", plan.counts["square"]).read()
    train_autoencoder(square, work / "autoencoder", plan.architecture, options)


def _device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"
