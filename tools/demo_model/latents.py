"""The pictures as the trained autoencoder sees them, made once and kept."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from tools.demo_model.architecture import LATENT_CHANNELS, LATENT_FACTOR
from tools.demo_model.dataset import CHUNK, SIZES, ChunkedArray, pictures
from tools.demo_model.progress import Progress
from tools.demo_model.train_autoencoder import as_tensor

AT_ONCE = 5
"""Pictures: few enough for the caches of a processor."""
MEASURED = 512
"""Pictures by which the scaling factor is set."""


def load_autoencoder(folder: Path, device: torch.device) -> Any:
    """A trained autoencoder from its folder."""
    model: Any = AutoencoderKL.from_pretrained(folder, local_files_only=True)
    return model.to(device).eval()


def latents(work: Path, autoencoder: Path, size: str, count: int) -> ChunkedArray:
    """The latents of a size [count, 4, height/8, width/8], whether they are made or not; not yet scaled."""
    # Those of another autoencoder are of no use.
    weights = (autoencoder / "diffusion_pytorch_model.safetensors").read_bytes()
    folder = work / f"latents-{hashlib.sha256(weights).hexdigest()[:8]}"
    width, height = SIZES[size]
    shape = (count, LATENT_CHANNELS, height // LATENT_FACTOR, width // LATENT_FACTOR)
    return ChunkedArray(folder / f"{size}.npy", shape, np.float16)


@torch.no_grad()
def encode_pictures(work: Path, autoencoder: Path, counts: dict[str, int], device: torch.device) -> None:
    """Make those that are missing."""
    model = None
    total, before = sum(counts.values()), 0
    with Progress("latents", total=total) as progress:
        for size, count in counts.items():
            values, done = latents(work, autoencoder, size, count).open()
            originals = pictures(work, size, count).read()
            for chunk in np.flatnonzero(done == 0).tolist():
                model = model or load_autoencoder(autoencoder, device)
                stop = min(count, (chunk + 1) * CHUNK)
                for first in range(chunk * CHUNK, stop, AT_ONCE):
                    places = slice(first, min(stop, first + AT_ONCE))
                    mean = model.encode(as_tensor(originals[places]).to(device)).latent_dist.mean
                    values[places] = mean.cpu().numpy()
                done[chunk] = 1
                progress.show(before + stop)
            before += count


def scaling_factor(square: np.ndarray) -> float:
    """What makes the latents [N, 4, H, W] of square pictures as large as the noise."""
    return float(1 / square[:MEASURED].astype(np.float32).std())
