"""A model folder's weights under the names that CompVis gave them: what diffusers' conversion undoes."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from engine.checkpoints.components import read_components
from engine.checkpoints.keys import VAE_PREFIX

Weights = dict[str, torch.Tensor]


def compvis_weights(folder: Path) -> Weights:
    """A whole checkpoint's weights, in float32, of a folder in diffusers layout."""
    weights: Weights = {}
    for component in read_components(folder):
        own = load_file(folder / component.path)
        for key, name in component.names.items():
            tensor = own[key].float()
            if component.folder == "vae" and "attentions" in key and tensor.ndim == 2:
                tensor = tensor[:, :, None, None]  # there the attention is made of 1x1 convolutions
            weights[name] = tensor
    return weights


def autoencoder_weights(whole: Weights) -> Weights:
    """An autoencoder of its own, of a whole checkpoint."""
    return {
        name.removeprefix(VAE_PREFIX): tensor for name, tensor in whole.items() if name.startswith(VAE_PREFIX)
    }


def write_compvis(model: Path, folder: Path) -> None:
    """Write a checkpoint as pickle and as safetensors, and the autoencoder as a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = compvis_weights(model)
    torch.save({"state_dict": whole}, folder / "demo.ckpt")
    save_file({name: tensor.contiguous() for name, tensor in whole.items()}, folder / "demo.safetensors")
    torch.save({"state_dict": autoencoder_weights(whole)}, folder / "demo-autoencoder.ckpt")
