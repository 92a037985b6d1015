"""Trains the autoencoder: mostly on crops, since it is convolutional, and more on the face than elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from tools.demo_model.architecture import Architecture, make_autoencoder, start_as_identity
from tools.demo_model.progress import Progress
from tools.demo_model.training import Options, Step, Training, autocast

CROP = 64
CROP_BATCH = 8
WHOLE_BATCH = 2
WHOLE_FROM = 0.85
"""Of the training; from there on it sees whole pictures, as the attention in its middle will."""
FACE_SHARE = 0.4
"""Of the crops that are about the eyes."""
EDGE_WEIGHT = 0.3
COARSE = 4
COARSE_WEIGHT = 1.0
"""Of the error of patches of 4 x 4 pixels, where what counts is the colour."""
KL_WEIGHT = 2e-4
"""Keeps the latents near a unit normal and the decoder patient with small errors of the denoiser."""

FACE = (34, 38, 94, 94)
"""Left, top, right and bottom of where eyes and mouth are in a square picture."""
EYES = (36, 44, 92, 78)
FACE_WEIGHT = 2.0
EYES_WEIGHT = 4.0

SHEET_EVERY = 500
SHEET_COUNT = 8
SHEET_SCALE = 3


def train_autoencoder(
    pictures: NDArray[np.uint8], folder: Path, architecture: Architecture, options: Options
) -> Path:
    """Train on square pictures [N, H, W, 3]; go on where it was stopped.

    Returns:
        The folder of the trained autoencoder in diffusers layout; its scaling factor is not known yet.
    """
    finished = folder / "finished"
    if finished.exists():
        return finished
    torch.manual_seed(options.seed)
    model = make_autoencoder(architecture).to(options.device).train()
    start_as_identity(model)
    training = Training(model, folder, options)
    weights = _loss_weights(pictures.shape[1], pictures.shape[2])

    def batch_loss(step: Step) -> tuple[torch.Tensor, int]:
        originals, weight = _batch(pictures, weights, step)
        originals, weight = originals.to(options.device), weight.to(options.device)
        return _loss(model, originals, weight, step.noise), len(originals)

    def after_step(number: int, progress: Progress) -> None:
        if number % SHEET_EVERY == 0:
            with training.averaged():
                error = write_sheet(model, pictures[:SHEET_COUNT], folder / "reconstructions.png")
            progress.say(f"reconstructions at step {number}: mean error {error:.4f}")

    training.run("autoencoder", batch_loss, after_step)
    with training.averaged():
        write_sheet(model, pictures[:SHEET_COUNT], folder / "reconstructions.png")
        unfinished = folder / "unfinished"
        model.save_pretrained(unfinished)
        unfinished.rename(finished)
    return finished


def as_tensor(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """Bytes [N, H, W, 3] as floats [N, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def as_pictures(tensor: torch.Tensor) -> NDArray[np.uint8]:
    """Floats [N, 3, H, W] as bytes [N, H, W, 3]."""
    scaled = ((tensor.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).cpu().numpy()


def _loss_weights(height: int, width: int) -> torch.Tensor:
    """How much each pixel of a square picture counts [1, H, W]; 1 on average."""
    weights = torch.ones(1, height, width)
    for (left, top, right, bottom), weight in ((FACE, FACE_WEIGHT), (EYES, EYES_WEIGHT)):
        weights[:, top:bottom, left:right] = weight
    return weights / weights.mean()


def _batch(
    pictures: NDArray[np.uint8], weights: torch.Tensor, step: Step
) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops or whole pictures [N, 3, H, W], and their pixels' weights [N, 1, H, W]."""
    count, height, width, _ = pictures.shape
    if step.spent >= WHOLE_FROM:
        chosen = sorted(step.dice.sample(range(count), min(count, WHOLE_BATCH)))
        return as_tensor(pictures[chosen]), weights.expand(len(chosen), -1, -1, -1)
    crops: list[NDArray[np.uint8]] = []
    crop_weights: list[torch.Tensor] = []
    for _ in range(CROP_BATCH):
        index = step.dice.randrange(count)
        left, top = step.dice.randint(0, width - CROP), step.dice.randint(0, height - CROP)
        if step.dice.random() < FACE_SHARE:
            # All of both eyes, wherever they are in the crop.
            left = step.dice.randint(EYES[2] - CROP, EYES[0])
            top = step.dice.randint(EYES[3] - CROP, EYES[1])
        crops.append(pictures[index, top : top + CROP, left : left + CROP])
        crop_weights.append(weights[:, top : top + CROP, left : left + CROP])
    return as_tensor(np.stack(crops)), torch.stack(crop_weights)


def _loss(
    model: Any, originals: torch.Tensor, weight: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """How wrong the reconstructions of [N, 3, H, W] are, most of all at edges, and a little of KL."""
    with autocast(originals.device):
        latents = model.encode(originals).latent_dist
        noise = torch.randn(latents.mean.shape, generator=generator).to(latents.mean)
        decoded = model.decode(latents.mean + latents.std * noise).sample.float()
    difference = decoded - originals
    pixels = ((difference.abs() + 0.5 * difference.pow(2)) * weight).mean()
    edges = (_edges(difference).abs() * weight).mean()
    coarse = functional.avg_pool2d(difference, COARSE).abs().mean()
    kl = 0.5 * (latents.mean.float().pow(2) + latents.var.float() - 1 - latents.logvar.float()).mean()
    return pixels + EDGE_WEIGHT * edges + COARSE_WEIGHT * coarse + KL_WEIGHT * kl


def _edges(pictures: torch.Tensor) -> torch.Tensor:
    """Sobel's two filters over each channel, [N, C, H, W] → [N, 2C, H, W]."""
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=pictures.device) / 4
    kernels = torch.stack([across, across.T])[:, None].repeat(pictures.shape[1], 1, 1, 1)
    padded = functional.pad(pictures, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, kernels, groups=pictures.shape[1])


@torch.no_grad()
def write_sheet(model: Any, pictures: NDArray[np.uint8], path: Path) -> float:
    """Write the pictures above their reconstructions; return the mean error of a pixel, of 2."""
    originals = as_tensor(pictures).to(next(model.parameters()).device)
    decoded = model.decode(model.encode(originals).latent_dist.mean).sample
    rows = [np.concatenate(list(row), axis=1) for row in (pictures, as_pictures(decoded))]
    sheet = Image.fromarray(np.concatenate(rows, axis=0))
    sheet.resize((sheet.width * SHEET_SCALE // 2, sheet.height * SHEET_SCALE // 2)).save(path)
    return float((decoded - originals).abs().mean())
