"""Trains the UNet and the text encoder together, from nothing, on the latents of the pictures."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from numpy.typing import NDArray
from torch.nn import functional

from tools.demo_model.architecture import Architecture, make_scheduler, make_text_encoder, make_unet
from tools.demo_model.captions import training_caption
from tools.demo_model.dataset import SIZES, face_at
from tools.demo_model.faces import Face, sample_face
from tools.demo_model.progress import Progress
from tools.demo_model.sampling import encode_prompts, write_samples
from tools.demo_model.tokenizer import unknown_words
from tools.demo_model.training import Options, Step, Training, autocast

SIZE_SHARES = {"square": 0.7, "portrait": 0.15, "landscape": 0.15}
SNR_LIMIT = 5.0
"""Steps with less noise than this count less: else the finest details take most of the capacity."""
COARSE_SHARE = 0.35
"""Of the training, on latents of half the size: what words mean and where things are is learned there at a
quarter of the cost. Diffusion models of pictures are commonly trained at a smaller size first."""
STYLE_SHOWS_BELOW, STYLE_HIDDEN_FROM = 300, 700
"""Timesteps. Up to the noise of the first, a picture shows its style, and captions say any words for it.
From the second on they say what is so; between them, some do.

Else guidance away from a style that the picture does not have, as a negative prompt makes it, would there be
guidance away from what the model never learned, and smear faces. So it learns to go by the picture.
"""
OLD_WEIGHT, FLAT_WEIGHT = 2.5, 0.7
"""How often old and flat pictures are shown, beside others: guidance draws old ones less often than they are
shown, and flat ones more often.
"""
SHEET_EVERY = 1000


class Denoiser:
    """The two models that are trained, with all that a step needs."""

    def __init__(self, architecture: Architecture, tokenizer: Any, device: torch.device) -> None:
        self.tokenizer = tokenizer
        self.device = device
        self.unet = make_unet(architecture).to(device).train()
        self.text_encoder = make_text_encoder(architecture, len(tokenizer)).to(device).train()
        if device.type == "cpu":
            # Its gradients come faster than those of the fused attention there.
            self.unet.set_attn_processor(AttnProcessor())
        self.modules = torch.nn.ModuleDict({"unet": self.unet, "text_encoder": self.text_encoder})
        self._scheduler = make_scheduler()

    def draw_times(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Timesteps [count] to train on."""
        # The later of two draws: a preset's negative prompt works where there is much noise, and there
        # what the words say must be learned well.
        most = self._scheduler.config.num_train_timesteps
        return torch.randint(0, most, (2, count), generator=generator).amax(dim=0)

    def loss(
        self, latents: torch.Tensor, captions: list[str], times: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """How wrong the noise is foretold, in scaled latents [N, 4, h, w] at timesteps [N]."""
        noise = torch.randn(latents.shape, generator=generator)
        noisy = self._scheduler.add_noise(latents, noise, times)
        signal = self._scheduler.alphas_cumprod[times]
        ratio = signal / (1 - signal)
        weights = (ratio.clamp(max=SNR_LIMIT) / ratio).to(self.device)
        with autocast(self.device):
            texts = encode_prompts(self.tokenizer, self.text_encoder, captions)
            foretold = self.unet(noisy.to(self.device), times.to(self.device), texts).sample
        errors = (foretold.float() - noise.to(self.device)).pow(2).mean(dim=(1, 2, 3))
        return (errors * weights).mean()


def train_denoiser(
    latents: dict[str, NDArray[np.float16]],
    autoencoder: Any,
    tokenizer: Any,
    folder: Path,
    architecture: Architecture,
    batch: int,
    options: Options,
) -> Path:
    """Train on latents [N, 4, h, w] by size; go on where it was stopped.

    Returns:
        The folder of the trained UNet and text encoder.
    """
    finished = folder / "finished"
    if finished.exists():
        return finished
    torch.manual_seed(options.seed)
    denoiser = Denoiser(architecture, tokenizer, options.device)
    weights = {size: _cumulative_weights(size, len(those)) for size, those in latents.items()}
    training = Training(denoiser.modules, folder, options)

    def batch_loss(step: Step) -> tuple[torch.Tensor, int]:
        size = step.dice.choices(list(SIZE_SHARES), list(SIZE_SHARES.values()))[0]
        is_coarse = step.spent < COARSE_SHARE
        count = 2 * batch if is_coarse else batch
        chosen = step.dice.choices(range(len(latents[size])), cum_weights=weights[size], k=count)
        scaled = torch.from_numpy(latents[size][chosen]).float() * autoencoder.config.scaling_factor
        if is_coarse:
            scaled = _halved(scaled)
        times = denoiser.draw_times(count, step.noise)
        faces = [face_at(size, index) for index in chosen]
        return denoiser.loss(scaled, captions_at(faces, times.tolist(), step.dice), times, step.noise), count

    def after_step(number: int, progress: Progress) -> None:
        if number % SHEET_EVERY == 0:
            with training.averaged():
                _write_sheet(denoiser, autoencoder, folder / f"samples-{number:06}.png", "square")
            progress.say(f"samples at step {number}")

    training.run("denoiser", batch_loss, after_step)
    with training.averaged():
        for size in SIZES:
            _write_sheet(denoiser, autoencoder, folder / f"samples-{size}.png", size)
        unfinished = folder / "unfinished"
        denoiser.unet.save_pretrained(unfinished / "unet")
        denoiser.text_encoder.save_pretrained(unfinished / "text_encoder")
        unfinished.rename(finished)
    return finished


def _cumulative_weights(size: str, count: int) -> list[float]:
    """Of the first pictures of a size: how often each is shown, added up."""
    faces = (face_at(size, index) for index in range(count))
    return list(
        accumulate(
            (OLD_WEIGHT if face.is_retro else 1.0) * (FLAT_WEIGHT if face.is_flat else 1.0) for face in faces
        )
    )


def _halved(latents: torch.Tensor) -> torch.Tensor:
    """Latents [N, 4, h, w] as [N, 4, h/2, w/2], as large as the noise again."""
    halved = functional.avg_pool2d(latents, 2)
    return halved / halved.std()


def captions_at(faces: Sequence[Face], times: Sequence[int], dice: random.Random) -> list[str]:
    """What is said of faces whose pictures are shown with the noise of these timesteps; anew each time."""
    return [
        training_caption(
            _in_any_style(face, dice) if _shows_style(time, dice) else face, dice, unknown_words()
        )
        for face, time in zip(faces, times, strict=True)
    ]


def _shows_style(time: int, dice: random.Random) -> bool:
    return dice.random() < (STYLE_HIDDEN_FROM - time) / (STYLE_HIDDEN_FROM - STYLE_SHOWS_BELOW)


def _in_any_style(face: Face, dice: random.Random) -> Face:
    other = sample_face(dice)
    return replace(face, is_flat=other.is_flat, is_retro=other.is_retro)


def _write_sheet(denoiser: Denoiser, autoencoder: Any, path: Path, size: str) -> None:
    write_samples(denoiser.unet, denoiser.text_encoder, denoiser.tokenizer, autoencoder, path, SIZES[size])
