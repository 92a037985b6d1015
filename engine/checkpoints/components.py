"""The three parts of a model that have weights: their keys and shapes, taken from their configurations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.checkpoints.keys import VAE_PREFIX, Shape, text_names, unet_names, vae_names

SD1_FOLDER = Path(__file__).parents[1] / "sd1"
"""Configuration, tokenizer and sampler settings of every Stable Diffusion v1 model."""

DIFFUSERS_WEIGHTS = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class Component:
    """`names` and `shapes` are by the model's own key; `names` has what a whole checkpoint calls it."""

    folder: str
    file: str
    shapes: dict[str, Shape]
    names: dict[str, str]

    @property
    def path(self) -> str:
        """Where its weights are in a model folder."""
        return f"{self.folder}/{self.file}"

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return sum(torch.Size(shape).numel() for shape in self.shapes.values())


def read_components(config_dir: Path) -> tuple[Component, Component, Component]:
    """UNet, VAE and text encoder of a model folder, from its configuration files alone."""
    # Not at the top: they take seconds, and a name that is taken or a hub that is away is told before.
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers.models.clip.configuration_clip import CLIPTextConfig
    from transformers.models.clip.modeling_clip import CLIPTextModel

    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(_config(config_dir / "unet"))
        vae: Any = AutoencoderKL.from_config(_config(config_dir / "vae"))
        text: Any = CLIPTextModel(CLIPTextConfig.from_dict(_config(config_dir / "text_encoder")))
    unet_shapes, vae_shapes, text_shapes = _shapes(unet), _shapes(vae), _shapes(text)
    vae_own = vae_names(list(vae_shapes), len(vae.config.up_block_types))
    return (
        Component(
            "unet",
            DIFFUSERS_WEIGHTS,
            unet_shapes,
            unet_names(list(unet_shapes), unet.config.layers_per_block),
        ),
        Component(
            "vae", DIFFUSERS_WEIGHTS, vae_shapes, {key: VAE_PREFIX + name for key, name in vae_own.items()}
        ),
        Component("text_encoder", "model.safetensors", text_shapes, text_names(list(text_shapes))),
    )


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def _shapes(model: torch.nn.Module) -> dict[str, Shape]:
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
