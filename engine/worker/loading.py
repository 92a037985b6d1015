"""From a folder of weights to a model that is ready to draw, fast on the device it is for."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from engine.models import ModelError, read_model
from engine.protocol import ModelCard
from engine.worker.model import DiffusionModel
from engine.worker.unet import ROW_BUCKETS, UNetCaller, prepare_for_cuda, probe_max_rows


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How to run a model. In exact mode a picture is the same to the last bit whoever shares its calls."""

    device: str = "cpu"
    dtype: str = "auto"
    """A name of a torch dtype; auto is float16 on CUDA and float32 elsewhere."""
    threads: int = 1
    max_batch_size: int = 8
    is_exact: bool = False
    is_compiled: bool = False

    @property
    def is_cuda(self) -> bool:
        """Whether the device is one of NVIDIA's."""
        return self.device.startswith("cuda")

    @property
    def torch_dtype(self) -> torch.dtype:
        """What the weights are converted to."""
        if self.dtype == "auto":
            return torch.float16 if self.is_cuda else torch.float32
        return getattr(torch, self.dtype)


def load_model(folder: Path, options: ModelOptions) -> DiffusionModel:
    """Load a folder in diffusers layout, offline.

    Raises:
        ModelError: a file of the folder is missing or unreadable.
    """
    if options.is_cuda:
        _check_cuda(options.device)
    card = read_model(folder)
    card = msgspec.structs.replace(card, hash=_weights_hash(folder))
    torch.set_num_threads(options.threads)
    pipe = _load_pipeline(folder, options.torch_dtype)
    pipe.to(options.device)
    unet = UNetCaller(pipe.unet)
    max_batch_size = options.max_batch_size
    if options.is_cuda:
        prepare_for_cuda(pipe, unet, is_compiled=options.is_compiled)
        shapes = _latent_shapes(card, pipe.vae)
        unet.warm_up(shapes)
        max_rows = probe_max_rows(unet, max(shapes, key=math.prod))
        max_batch_size = min(max_batch_size, max(1, max_rows // 2))
        unet.buckets = ROW_BUCKETS
    if options.is_exact:
        unet.buckets = (2 * max_batch_size,)  # each call has all the rows there can be
    return DiffusionModel(pipe, card, unet, max_batch_size=max_batch_size, is_exact=options.is_exact)


def _latent_shapes(card: ModelCard, vae: Any) -> list[tuple[int, int, int]]:
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    channels = vae.config.latent_channels
    return [(channels, height // factor, width // factor) for width, height in card.sizes.values()]


def _check_cuda(device: str) -> None:
    if int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"TRINART_DEVICES names {device}, but PyTorch finds {torch.cuda.device_count()} CUDA devices: "
            "check the driver and that PyTorch was installed with CUDA, or set it to auto or cpu."
        )
    torch.cuda.set_device(device)


def _load_pipeline(folder: Path, dtype: torch.dtype) -> StableDiffusionPipeline:
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    return StableDiffusionPipeline.from_pretrained(
        folder,
        dtype=dtype,
        local_files_only=True,
        use_safetensors=True,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _weights_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted((folder / "unet").glob("*.safetensors")):
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()[:10]
