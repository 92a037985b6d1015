"""A model so small that a CPU shows what batching is worth: a UNet of 0.8 million random weights, latents of
8 x 8, and no autoencoder to speak of. Prompts are read by the demo model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

from engine.models import DEMO_FOLDER
from engine.protocol import ModelCard

SIZE = (8, 8)
CARD = ModelCard(name="tiny", sizes={"square": SIZE})


class NoAutoencoder:
    """The first three channels of a latent are the picture."""

    config = SimpleNamespace(latent_channels=4, block_out_channels=(1,), scaling_factor=1.0)
    dtype = torch.float32
    device = torch.device("cpu")

    def decode(self, latents: torch.Tensor) -> Any:
        return SimpleNamespace(sample=latents[:, :3])


def tiny_unet() -> UNet2DConditionModel:
    """Stable Diffusion v1's kind of UNet, small. The same weights each time."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=SIZE[0],
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=128,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    return unet.eval().requires_grad_(False)


def tiny_parts() -> Any:
    """What DiffusionModel takes of a pipeline."""
    demo: Any = StableDiffusionPipeline.from_pretrained(
        DEMO_FOLDER,
        local_files_only=True,
        dtype=torch.float32,
        unet=None,
        vae=None,
        safety_checker=None,
        feature_extractor=None,
    )
    return SimpleNamespace(
        unet=tiny_unet(),
        vae=NoAutoencoder(),
        tokenizer=demo.tokenizer,
        text_encoder=demo.text_encoder,
        scheduler=demo.scheduler,
    )
