"""What the stages of the training do one after another, and how much of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from tools.demo_model.architecture import SMALL, TINY, Architecture
from tools.demo_model.dataset import pictures, render_pictures
from tools.demo_model.export import export_model
from tools.demo_model.latents import encode_pictures, latents, load_autoencoder, scaling_factor
from tools.demo_model.tokenizer import make_tokenizer
from tools.demo_model.train_autoencoder import train_autoencoder
from tools.demo_model.train_denoiser import train_denoiser
from tools.demo_model.training import SAVE_EVERY, Budget, Options

SEED = 2022


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of everything."""

    architecture: Architecture
    counts: dict[str, int]
    autoencoder_steps: int
    denoiser_steps: int
    denoiser_batch: int
    save_every: float
    autoencoder_rate: float = 2e-3
    denoiser_rate: float = 1.5e-3


FULL = Plan(
    architecture=SMALL,
    counts={"square": 16000, "portrait": 4000, "landscape": 4000},
    autoencoder_steps=6000,
    denoiser_steps=6000,
    denoiser_batch=48,
    save_every=SAVE_EVERY,
)
QUICK = Plan(
    architecture=TINY,
    counts={"square": 64, "portrait": 16, "landscape": 16},
    autoencoder_steps=12,
    denoiser_steps=12,
    denoiser_batch=4,
    save_every=0.0,
)


class Stages:
    """The stages in a folder; each finds what is done already and does the rest."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._plan = QUICK if arguments.quick else FULL
        self._work: Path = arguments.work
        self._device = torch.device(_device(arguments.device))
        self._arguments = arguments
        self._autoencoder = self._work / "autoencoder" / "finished"
        self.by_name: dict[str, Callable[[], None]] = {
            "pictures": self._render,
            "autoencoder": self._train_autoencoder,
            "latents": self._encode,
            "denoiser": self._train_denoiser,
            "export": self._export,
        }

    def _render(self) -> None:
        render_pictures(self._work, self._plan.counts, self._arguments.threads)

    def _train_autoencoder(self) -> None:
        budget = Budget(self._plan.autoencoder_steps, self._arguments.autoencoder_minutes)
        square = pictures(self._work, "square", self._plan.counts["square"]).read()
        options = self._options(self._plan.autoencoder_rate, budget)
        train_autoencoder(square, self._autoencoder.parent, self._plan.architecture, options)

    def _encode(self) -> None:
        encode_pictures(self._work, self._autoencoder, self._plan.counts, self._device)

    def _train_denoiser(self) -> None:
        budget = Budget(self._plan.denoiser_steps, self._arguments.denoiser_minutes)
        train_denoiser(
            {size: self._latents(size) for size in self._plan.counts},
            self._scaled_autoencoder(),
            make_tokenizer(),
            self._work / "denoiser",
            self._plan.architecture,
            self._plan.denoiser_batch,
            self._options(self._plan.denoiser_rate, budget),
        )

    def _export(self) -> None:
        export_model(self._scaled_autoencoder(), self._work / "denoiser" / "finished", self._work / "model")

    def _latents(self, size: str) -> Any:
        return latents(self._work, self._autoencoder, size, self._plan.counts[size]).read()

    def _scaled_autoencoder(self) -> Any:
        model = load_autoencoder(self._autoencoder, self._device)
        model.register_to_config(scaling_factor=scaling_factor(self._latents("square")))
        return model

    def _options(self, rate: float, budget: Budget) -> Options:
        return Options(
            device=self._device,
            threads=self._arguments.threads,
            seed=SEED,
            rate=rate,
            budget=budget,
            save_every=self._plan.save_every,
        )


def run_stages(arguments: argparse.Namespace) -> None:
    """Run them, to the one that the command line says."""
    torch.set_flush_denormal(True)  # numbers too small to matter are slow
    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    for name, run in Stages(arguments).by_name.items():
        run()
        if name == arguments.until:
            return


def _device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"
