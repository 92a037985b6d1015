"""Draws with models that are being trained, and makes sheets of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from numpy.typing import NDArray
from PIL import Image

from tools.demo_model.architecture import LATENT_CHANNELS, LATENT_FACTOR, MAX_TOKENS, make_scheduler
from tools.demo_model.train_autoencoder import as_pictures

STEPS = 20
CFG = 3.0
SHEET_PROMPTS = (
    "1girl, silver hair, long hair, blue eyes, smile, pink shirt, night sky, detailed shading",
    "1girl, red hair, twintails, green eyes, open mouth, white shirt, blue background, flat color",
    "1boy, black hair, brown eyes, angry, red shirt, yellow background, retro style",
    "1girl, pink hair, bob cut, purple eyes, wink, cat ears, black hoodie, clouds, flat color",
    "1girl, blonde hair, ponytail, red eyes, glasses, surprised, blue kimono, green background, detailed",
    "1girl, purple hair, braid, yellow eyes, sad, hair ribbon, green shirt, sunset, modern style",
    "1girl, green hair, short hair, closed eyes, hair flower, white kimono, orange background",
    "girl with glasses reading in the library",
)


def encode_prompts(tokenizer: Any, text_encoder: Any, prompts: Sequence[str]) -> torch.Tensor:
    """What the UNet attends to [N, 77, width]."""
    ids = tokenizer(
        list(prompts), padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt"
    ).input_ids
    return text_encoder(ids.to(text_encoder.device))[0]


@torch.no_grad()
def sample_latents(
    unet: Any, texts: torch.Tensor, without: torch.Tensor, dimensions: tuple[int, int], seed: int
) -> torch.Tensor:
    """Scaled latents [N, 4, H/8, W/8] of pictures with these texts [N, 77, width], away from `without`."""
    scheduler: Any = DPMSolverMultistepScheduler.from_config(make_scheduler().config)
    scheduler.set_timesteps(STEPS)
    width, height = dimensions
    shape = (len(texts), LATENT_CHANNELS, height // LATENT_FACTOR, width // LATENT_FACTOR)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(texts.device)
    both = torch.cat([without, texts])
    for time in scheduler.timesteps:
        base, asked = unet(torch.cat([latents, latents]), time, both).sample.chunk(2)
        latents = scheduler.step(base + CFG * (asked - base), time, latents).prev_sample
    return latents


@torch.no_grad()
def write_samples(
    unet: Any, text_encoder: Any, tokenizer: Any, autoencoder: Any, path: Path, dimensions: tuple[int, int]
) -> None:
    """Draw the sheet's prompts with two seeds, a row each."""
    texts = encode_prompts(tokenizer, text_encoder, SHEET_PROMPTS)
    without = encode_prompts(tokenizer, text_encoder, [""] * len(SHEET_PROMPTS))
    rows: list[NDArray[np.uint8]] = []
    for seed in (1, 2):
        latents = sample_latents(unet, texts, without, dimensions, seed)
        drawn = autoencoder.decode(latents / autoencoder.config.scaling_factor).sample
        rows.append(np.concatenate(list(as_pictures(drawn)), axis=1))
    Image.fromarray(np.concatenate(rows, axis=0)).save(path)
