"""Stable Diffusion v1 at its full size with random weights, which are as fast as trained ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from engine.models import DEMO_FOLDER

UNET: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "sample_size": 512,
}
TEXT: dict[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}


def random_pipeline(device: str) -> StableDiffusionPipeline:
    """In float16 on CUDA. The tokenizer is the demo model's: its ids are among the 49,408."""
    torch.manual_seed(0)
    with torch.device(device):
        unet, vae = UNet2DConditionModel(**UNET), AutoencoderKL(**VAE)
        text_encoder = CLIPTextModel(CLIPTextConfig(**TEXT))
    scheduler: Any = DDIMScheduler.from_pretrained(DEMO_FOLDER / "scheduler")
    pipe = StableDiffusionPipeline(
        unet=unet,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=CLIPTokenizer.from_pretrained(DEMO_FOLDER / "tokenizer"),
        scheduler=scheduler,
        safety_checker=None,  # pyright: ignore[reportArgumentType]
        feature_extractor=None,  # pyright: ignore[reportArgumentType]
        requires_safety_checker=False,
    )
    return pipe.to(dtype=torch.float16 if device.startswith("cuda") else torch.float32)


def write_folder(folder: Path, device: str, *, tiny: bool) -> None:
    """A model folder that the worker can load; it must not exist yet. `tiny`: the demo model."""
    if tiny:
        shutil.copytree(DEMO_FOLDER, folder)
    else:
        random_pipeline(device).save_pretrained(folder)


def load_pipeline(folder: Path, device: str) -> Any:
    """As every way to serve it has it: float16 on CUDA, channels last."""
    pipe: Any = StableDiffusionPipeline.from_pretrained(
        folder,
        dtype=torch.float16 if device.startswith("cuda") else torch.float32,
        local_files_only=True,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.to(device)
    for part in (pipe.unet, pipe.vae):
        part.requires_grad_(False).to(memory_format=torch.channels_last)
    return pipe
