"""From what the model has on its device to pictures in memory, without a stall."""

from __future__ import annotations

from typing import Any

import torch

from engine.worker.interfaces import Pending, Pixels


@torch.inference_mode()
def fit_latent_to_rgb(vae: Any) -> torch.Tensor:
    """Least-squares map from a latent's 4 channels and a constant to RGB in [-1, 1]; shape (3, 5).

    Fitted on what the autoencoder makes of smooth random latents, once per load.
    """
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(8, vae.config.latent_channels, 4, 4, generator=generator)
    latents = torch.nn.functional.interpolate(coarse, size=(16, 16), mode="bicubic")
    decoded = vae.decode(latents.to(vae.device, vae.dtype) / vae.config.scaling_factor).sample
    rgb = torch.nn.functional.adaptive_avg_pool2d(decoded.float().cpu(), (16, 16))
    inputs = latents.permute(0, 2, 3, 1).flatten(0, 2)
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
    targets = rgb.permute(0, 2, 3, 1).flatten(0, 2)
    return torch.linalg.lstsq(inputs, targets).solution.T.contiguous().to(vae.device)


def copy_pictures(values: torch.Tensor) -> Pending:
    """Begin to bring pictures from the device: its thread goes on, and whoever wants them waits.

    Args:
        values: RGB in [-1, 1], shape (pictures, 3, height, width); rounded as StableDiffusionPipeline does.
    """
    finite = values.isfinite().flatten(1).all(1)
    pixels = ((values / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    copied = None
    if pixels.is_cuda:
        pixels, finite = pixels.to("cpu", non_blocking=True), finite.to("cpu", non_blocking=True)
        copied = recorded_event()

    def pictures() -> list[Pixels | None]:
        if copied is not None:
            copied.synchronize()
        flags = finite.tolist()
        return [
            picture if is_finite else None for picture, is_finite in zip(pixels.numpy(), flags, strict=True)
        ]

    return pictures


def recorded_event() -> torch.cuda.Event:
    """An event that comes when the device has done all it was given so far."""
    event = torch.cuda.Event()
    event.record()
    return event
