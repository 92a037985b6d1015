"""A StableDiffusionPipeline-class model on one device, and the call that draws a batch."""

from __future__ import annotations

import hashlib
import io
import logging
import time
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from PIL import Image as PillowImage
from transformers.utils import logging as transformers_logging

from engine.models import ModelError, read_model
from engine.protocol import Assign, GenerationRequest, ModelCard
from engine.worker.batch import Batch, Drawing, Pixels
from engine.worker.prompts import PromptEncoder
from engine.worker.samplers import make_sampler

log = logging.getLogger(__name__)

PREVIEW_SECONDS = 1.0


class ModelPipeline:
    """One loaded model. Not thread-safe: the worker's device thread is its only user."""

    def __init__(self, pipe: StableDiffusionPipeline, card: ModelCard) -> None:
        self._pipe: Any = pipe
        self._sampler_config = pipe.scheduler.config
        self._encoder = PromptEncoder(pipe.tokenizer, pipe.text_encoder)
        self.card = card
        self._latent_to_rgb = self._fit_latent_to_rgb()

    @classmethod
    def load(cls, folder: Path, device: str, *, threads: int) -> ModelPipeline:
        """Load a folder in diffusers layout, offline; float16 on CUDA, float32 elsewhere.

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
        pipe.set_progress_bar_config(disable=True)
        pipe.to(device)
        return cls(pipe, msgspec.structs.replace(card, hash=_weights_hash(folder)))

    def count_chunks(self, request: GenerationRequest) -> int:
        """How many chunks of tokens the prompt and the negative prompt both get."""
        texts = [request.prompt]
        if request.guidance_scale > 1:  # else the negative prompt is not used at all
            texts.append(request.negative_prompt)
        return max(self._encoder.count_chunks(text) for text in texts)

    @torch.inference_mode()
    def draw(self, batch: Batch) -> list[Drawing]:
        """One pipeline call for all images of all jobs; the drawings in the order of the jobs."""
        started = time.monotonic()
        first = batch.jobs[0].request
        rows = [(job.request, i) for job in batch.jobs for i in range(job.request.num_images_per_prompt)]
        chunks = self.count_chunks(first)
        prompts = self._encoder.encode([request.prompt for request, _ in rows], chunks)
        negative_prompts = None
        if first.guidance_scale > 1:
            negative_prompts = self._encoder.encode([request.negative_prompt for request, _ in rows], chunks)
        self._pipe.scheduler = make_sampler(first.sampler, self._sampler_config)
        pictures = self._pipe(
            prompt_embeds=prompts,
            negative_prompt_embeds=negative_prompts,
            # One generator per image, on the CPU: the picture does not depend on the device or on
            # who shares the batch.
            generator=[torch.Generator().manual_seed(request.seed_of(i)) for request, i in rows],
            height=first.height,
            width=first.width,
            num_inference_steps=first.num_inference_steps,
            guidance_scale=first.guidance_scale,
            output_type="np",
            callback_on_step_end=_StepReporter(batch, self._preview),
        ).images
        return _split(batch.jobs, pictures, time.monotonic() - started)

    def _preview(self, latent: torch.Tensor) -> bytes:
        """A small PNG of a latent of shape (4, h, w) by the fitted linear map; no autoencoder involved."""
        flat = torch.cat([latent.float().cpu().flatten(1), torch.ones(1, latent[0].numel())])
        rgb = (self._latent_to_rgb @ flat).view(3, *latent.shape[1:]).clamp(-1, 1)
        pixels = ((rgb + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
        scale = 8
        image = PillowImage.fromarray(pixels)
        image = image.resize((image.width * scale, image.height * scale), PillowImage.Resampling.BICUBIC)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    @torch.inference_mode()
    def _fit_latent_to_rgb(self) -> torch.Tensor:
        """Least-squares map from a latent's 4 channels and a constant to RGB in [-1, 1]; shape (3, 5).

        Fitted on what the autoencoder makes of smooth random latents, once per load.
        """
        vae, generator = self._pipe.vae, torch.Generator().manual_seed(0)
        coarse = torch.randn(8, vae.config.latent_channels, 4, 4, generator=generator)
        latents = torch.nn.functional.interpolate(coarse, size=(16, 16), mode="bicubic")
        decoded = vae.decode(latents.to(vae.device, vae.dtype) / vae.config.scaling_factor).sample
        rgb = torch.nn.functional.adaptive_avg_pool2d(decoded.float().cpu(), (16, 16))
        inputs = latents.permute(0, 2, 3, 1).flatten(0, 2)
        inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
        targets = rgb.permute(0, 2, 3, 1).flatten(0, 2)
        return torch.linalg.lstsq(inputs, targets).solution.T


class _StepReporter:
    """Called by diffusers after every step: reports progress, stops when nobody wants the batch any more."""

    def __init__(self, batch: Batch, preview: Any) -> None:
        self._batch = batch
        self._preview = preview
        self._last_preview = time.monotonic()

    def __call__(self, pipe: Any, index: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        # Some samplers call the UNet more often than they were asked for steps: progress is a share.
        steps = self._batch.jobs[0].request.num_inference_steps
        self._batch.on_step(max(1, (index + 1) * steps // pipe.num_timesteps), steps)
        if all(self._batch.is_cancelled(job.job_id) for job in self._batch.jobs):
            pipe._interrupt = True
        elif time.monotonic() - self._last_preview >= PREVIEW_SECONDS:
            self._last_preview = time.monotonic()
            self._send_previews(tensors["latents"])
        return tensors

    def _send_previews(self, latents: torch.Tensor) -> None:
        row = 0
        for job in self._batch.jobs:
            self._batch.on_preview(job.job_id, self._preview(latents[row]))
            row += job.request.num_images_per_prompt


def _split(jobs: tuple[Assign, ...], pictures: Any, seconds: float) -> list[Drawing]:
    """Each job's pictures as uint8; a job with a not-a-number in them fails alone."""
    drawings: list[Drawing] = []
    start = 0
    for job in jobs:
        part = pictures[start : start + job.request.num_images_per_prompt]
        start += job.request.num_images_per_prompt
        finite = bool(np.isfinite(part).all())
        pixels = cast(Pixels, (np.nan_to_num(part) * 255).round().astype(np.uint8))
        drawings.append(
            Drawing(pixels=pixels, seconds=seconds, error="" if finite else "the picture has NaN values")
        )
    return drawings


def _weights_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted((folder / "unet").glob("*.safetensors")):
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()[:10]
