"""A Stable Diffusion v1 model on one device: what the batching loop asks of it, with diffusers' parts."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from PIL import Image as PillowImage
from transformers.utils import logging as transformers_logging

from engine.models import ModelError, read_model
from engine.protocol import Assign, GenerationRequest, ModelCard
from engine.worker.batch import RunningBatch, Sample
from engine.worker.loop import OutOfMemory, Pending, Pixels, Shape
from engine.worker.prompts import PromptEncoder
from engine.worker.samplers import SamplerTables

log = logging.getLogger(__name__)


class DiffusionModel:
    """One loaded model. Not thread-safe: the worker's device thread is its only user."""

    def __init__(self, pipe: StableDiffusionPipeline, card: ModelCard, *, rows: int = 0) -> None:
        self.card = card
        self._rows = rows
        self._unet: Any = pipe.unet
        self._vae: Any = pipe.vae
        self._encoder = PromptEncoder(pipe.tokenizer, pipe.text_encoder)
        self._tables = SamplerTables(pipe.scheduler.config)
        self._batches: dict[Shape, RunningBatch] = {}
        self._latent_to_rgb = self._fit_latent_to_rgb()

    @classmethod
    def load(cls, folder: Path, device: str, *, threads: int, rows: int = 0) -> DiffusionModel:
        """Load a folder in diffusers layout, offline; float16 on CUDA, float32 elsewhere.

        `rows` is as for `RunningBatch`.

        Raises:
            ModelError: a file of the folder is missing or unreadable.
        """
        if device.startswith("cuda") and int(device.partition(":")[2]) >= torch.cuda.device_count():
            raise ModelError(
                f"TRINART_DEVICES names {device}, but PyTorch finds {torch.cuda.device_count()} CUDA devices:"
                " check the driver and that PyTorch was installed with CUDA, or set it to auto or cpu."
            )
        card = read_model(folder)
        torch.set_num_threads(threads)
        diffusers_logging.set_verbosity_error()
        diffusers_logging.disable_progress_bar()
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        pipe = StableDiffusionPipeline.from_pretrained(
            folder,
            dtype=torch.float16 if device.startswith("cuda") else torch.float32,
            local_files_only=True,
            use_safetensors=True,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipe.to(device)
        return cls(pipe, msgspec.structs.replace(card, hash=_weights_hash(folder)), rows=rows)

    @torch.inference_mode()
    def start(self, job: Assign) -> list[Sample]:
        """The samples of a job, with their prompts encoded and their first noise drawn."""
        request = job.request
        guided = request.guidance_scale > 1  # else the negative prompt is not used at all
        prompt, negative = self._encoder.encode(request.prompt, request.negative_prompt if guided else None)
        strength = request.strength if request.init_image else None
        table = self._tables.get(request.sampler, request.num_inference_steps, strength)
        samples: list[Sample] = []
        for index in range(request.num_images_per_prompt):
            # On the CPU: the picture does not depend on the device or on who shares the batch.
            generator = torch.Generator().manual_seed(request.seed_of(index))
            latent = self._first_latent(request, generator, table.noise_scale, table.image_scale)
            state = torch.zeros(table.state, *latent.shape)
            state[0] = latent
            samples.append(
                Sample(
                    job_id=job.job_id,
                    index=index,
                    table=table,
                    prompt=prompt,
                    negative_prompt=negative,
                    guidance_scale=request.guidance_scale,
                    generator=generator,
                    state=state.to(self._unet.device),
                )
            )
        return samples

    @torch.inference_mode()
    def step(self, samples: Sequence[Sample]) -> None:
        """One UNet call for samples of one shape; their batch is kept while they stay together."""
        shape = samples[0].shape
        batch = self._batches.get(shape)
        try:
            if batch is None or batch.samples != samples:
                batch = RunningBatch(samples, self._predict_noise, rows=self._rows)
            batch.step()
        except torch.OutOfMemoryError as error:
            self._batches.clear()
            torch.cuda.empty_cache()
            raise OutOfMemory(str(error)) from error
        self._batches = {shape: batch} if len(self._batches) > 8 else {**self._batches, shape: batch}

    @torch.inference_mode()
    def decode(self, samples: Sequence[Sample]) -> Pending:
        """The autoencoder's pictures, rounded on the device as StableDiffusionPipeline does."""
        latents = torch.stack([sample.latent for sample in samples]).to(self._vae.dtype)
        decoded = self._vae.decode(latents / self._vae.config.scaling_factor).sample.float()
        finite = decoded.isfinite().flatten(1).all(1)
        pixels = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        return _Copying(pixels, finite)

    @torch.inference_mode()
    def preview(self, sample: Sample) -> Pixels:
        """A rough look by the fitted linear map, of the latent's size; no autoencoder involved."""
        latent = sample.latent.float().cpu()
        flat = torch.cat([latent.flatten(1), torch.ones(1, latent[0].numel())])
        rgb = (self._latent_to_rgb @ flat).view(3, *latent.shape[1:]).clamp(-1, 1)
        return ((rgb + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()

    def _predict_noise(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor,
        embeddings: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        return self._unet(
            latents.to(self._unet.dtype),
            timesteps,
            embeddings,
            encoder_attention_mask=mask,
            return_dict=False,
        )[0].float()

    def _first_latent(
        self, request: GenerationRequest, generator: torch.Generator, noise_scale: float, image_scale: float
    ) -> torch.Tensor:
        """Noise, on top of the start image where there is one; shape (4, h, w), float32, on the CPU."""
        config = self._vae.config
        factor = 2 ** (len(config.block_out_channels) - 1)
        shape = (config.latent_channels, request.height // factor, request.width // factor)
        encoded = torch.zeros(shape)
        if request.init_image:
            encoded = self._encode_image(request, generator) * image_scale
        return encoded + torch.randn(shape, generator=generator) * noise_scale

    def _encode_image(self, request: GenerationRequest, generator: torch.Generator) -> torch.Tensor:
        with PillowImage.open(io.BytesIO(request.init_image), formats=("PNG",)) as picture:
            if picture.size != (request.width, request.height):
                raise ValueError(f"the start image is {picture.size}, not {(request.width, request.height)}")
            pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
        image = torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None]
        distribution = self._vae.encode(image.to(self._vae.device, self._vae.dtype)).latent_dist
        # The posterior's own `sample` would draw in the device's dtype.
        noise = torch.randn(distribution.mean.shape, generator=generator)
        latent = distribution.mean.float().cpu() + distribution.std.float().cpu() * noise
        return latent[0] * self._vae.config.scaling_factor

    @torch.inference_mode()
    def _fit_latent_to_rgb(self) -> torch.Tensor:
        """Least-squares map from a latent's 4 channels and a constant to RGB in [-1, 1]; shape (3, 5).

        Fitted on what the autoencoder makes of smooth random latents, once per load.
        """
        vae, generator = self._vae, torch.Generator().manual_seed(0)
        coarse = torch.randn(8, vae.config.latent_channels, 4, 4, generator=generator)
        latents = torch.nn.functional.interpolate(coarse, size=(16, 16), mode="bicubic")
        decoded = vae.decode(latents.to(vae.device, vae.dtype) / vae.config.scaling_factor).sample
        rgb = torch.nn.functional.adaptive_avg_pool2d(decoded.float().cpu(), (16, 16))
        inputs = latents.permute(0, 2, 3, 1).flatten(0, 2)
        inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
        targets = rgb.permute(0, 2, 3, 1).flatten(0, 2)
        return torch.linalg.lstsq(inputs, targets).solution.T


class _Copying:
    """Pictures on their way from the device: the device thread goes on, whoever wants them waits."""

    def __init__(self, pixels: torch.Tensor, finite: torch.Tensor) -> None:
        self._copied = None
        if pixels.is_cuda:
            self._pixels, self._finite = (
                pixels.to("cpu", non_blocking=True),
                finite.to("cpu", non_blocking=True),
            )
            self._copied = torch.cuda.Event()
            self._copied.record()
        else:
            self._pixels, self._finite = pixels, finite

    def __call__(self) -> list[Pixels | None]:
        if self._copied is not None:
            self._copied.synchronize()
        pictures = np.ascontiguousarray(self._pixels.numpy())
        return [
            picture if finite else None
            for picture, finite in zip(pictures, self._finite.tolist(), strict=True)
        ]


def _weights_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted((folder / "unet").glob("*.safetensors")):
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()[:10]
