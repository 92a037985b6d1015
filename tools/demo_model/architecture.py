"""Stable Diffusion v1 in small: the same parts with the same names of weights, few channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from transformers.models.clip.configuration_clip import CLIPTextConfig
from transformers.models.clip.modeling_clip import CLIPTextModel

from tools.demo_model.dataset import SIZES

LATENT_CHANNELS = 4
LATENT_FACTOR = 8
"""Pixels along a side of what becomes one latent."""
MAX_TOKENS = 77
USUAL_SHARE = 0.3
FIRST_LOG_VARIANCE = -5.0


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How wide and deep the parts are."""

    autoencoder_channels: tuple[int, int, int, int]
    autoencoder_groups: int
    unet_channels: tuple[int, int, int]
    unet_groups: int
    unet_layers: int
    text_width: int
    text_layers: int
    heads: int


SMALL = Architecture(
    autoencoder_channels=(16, 32, 64, 128),
    autoencoder_groups=8,
    unet_channels=(64, 128, 128),
    unet_groups=16,
    unet_layers=1,
    text_width=128,
    text_layers=2,
    heads=4,
)
"""What ships."""

TINY = Architecture(
    autoencoder_channels=(8, 8, 8, 8),
    autoencoder_groups=4,
    unet_channels=(16, 16, 16),
    unet_groups=4,
    unet_layers=1,
    text_width=16,
    text_layers=1,
    heads=2,
)
"""For trying the stages out."""


def make_autoencoder(architecture: Architecture) -> Any:
    """An untrained AutoencoderKL: pictures [N, 3, H, W] in [-1, 1] ↔ latents [N, 4, H/8, W/8]."""
    # Through Any: diffusers' types say that there is one block.
    make: Any = AutoencoderKL
    return make(
        latent_channels=LATENT_CHANNELS,
        block_out_channels=architecture.autoencoder_channels,
        layers_per_block=1,
        norm_num_groups=architecture.autoencoder_groups,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=SIZES["square"][0],
    )


@torch.no_grad()
def start_as_identity(autoencoder: Any) -> None:
    """Let an untrained autoencoder begin with passing the colours on, coarsely.

    Convolutions begin as the identity with some of their usual noise, and residual blocks as nothing. From
    usual weights alone, luminance is learned first and hue very late: it has to pass some thirty layers,
    and the first weights' normalisations take it away.
    """
    for module in autoencoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            usual = module.weight.clone()
            torch.nn.init.dirac_(module.weight)
            module.weight.add_(usual, alpha=USUAL_SHARE)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
    for block in autoencoder.modules():
        if isinstance(block, ResnetBlock2D):
            torch.nn.init.kaiming_uniform_(block.conv1.weight, a=math.sqrt(5))
            torch.nn.init.zeros_(block.conv2.weight)
    # The second half of the encoder's output is the latents' log-variance: little noise at first.
    autoencoder.quant_conv.weight[LATENT_CHANNELS:].mul_(0.1)
    autoencoder.quant_conv.bias[LATENT_CHANNELS:].fill_(FIRST_LOG_VARIANCE)


def make_unet(architecture: Architecture) -> Any:
    """An untrained UNet; like SD v1's it attends to the text at all resolutions but the lowest."""
    return UNet2DConditionModel(
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        sample_size=SIZES["square"][0] // LATENT_FACTOR,
        block_out_channels=architecture.unet_channels,
        layers_per_block=architecture.unet_layers,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=architecture.text_width,
        attention_head_dim=architecture.heads,
        norm_num_groups=architecture.unet_groups,
    )


def make_text_encoder(architecture: Architecture, vocabulary: int) -> Any:
    """An untrained CLIP text model; its last two tokens are the start and the end, as in CLIP."""
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=architecture.text_width,
        intermediate_size=4 * architecture.text_width,
        num_hidden_layers=architecture.text_layers,
        num_attention_heads=architecture.heads,
        max_position_embeddings=MAX_TOKENS,
        hidden_act="quick_gelu",
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    return CLIPTextModel(config)


def make_scheduler() -> Any:
    """SD v1's noise: 1000 steps, scaled linear; the model foretells ε."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def count_parameters(*models: torch.nn.Module) -> int:
    """How many numbers these models have."""
    return sum(parameter.numel() for model in models for parameter in model.parameters())
