"""Makes a full-size Stable Diffusion v1 checkpoint and an autoencoder with random weights.

`python -m benchmarks.make_checkpoint FOLDER [--dtype fp16]`: `model.ckpt` (4.27 GB in fp32) and `vae.ckpt`
(0.33 GB), named and wrapped like TrinArt's. The pictures they make are noise; importing them takes what
importing a genuine model takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import torch

from engine.checkpoints.components import SD1_FOLDER, Component, read_components
from engine.checkpoints.keys import TEXT_PREFIX, VAE_PREFIX

DTYPES = {"fp16": torch.float16, "fp32": torch.float32}


def make(folder: Path, dtype: torch.dtype = torch.float32, *, config: Path = SD1_FOLDER) -> tuple[Path, Path]:
    """Write both files, of the size that `config` gives the model; their paths."""
    components = read_components(config)
    model, vae = folder / "model.ckpt", folder / "vae.ckpt"
    extras = {f"{TEXT_PREFIX}embeddings.position_ids": torch.arange(77)[None], "betas": torch.zeros(1000)}
    torch.save({"global_step": 1, "state_dict": _weights(components, dtype) | extras}, model)
    bare = {name.removeprefix(VAE_PREFIX): t for name, t in _weights([components[1]], dtype).items()}
    torch.save({"state_dict": bare | {"loss.logvar": torch.zeros(())}}, vae)
    return model, vae


def _weights(components: Iterable[Component], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights: dict[str, torch.Tensor] = {}
    for component in components:
        for key, shape in component.shapes.items():
            tensor = torch.randn(shape, generator=generator).mul_(0.02).to(dtype)
            is_convolution = component.folder == "vae" and "attentions" in key and len(shape) == 2
            weights[component.names[key]] = tensor[:, :, None, None] if is_convolution else tensor
    return weights


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.make_checkpoint", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    make(args.folder, DTYPES[args.dtype])


if __name__ == "__main__":
    main()
