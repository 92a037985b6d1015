"""A Stable Diffusion v1 model on one device: what the batching loop asks of it, with diffusers' parts."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from PIL import Image as PillowImage

from engine.protocol import Assign, GenerationRequest, ModelCard
from engine.worker.batch import DiffusionSample, RunningBatch
from engine.worker.decoding import copy_pictures, fit_latent_to_rgb, recorded_event
from engine.worker.interfaces import DeviceLost, OutOfMemory, Pending, Shape
from engine.worker.prompts import PromptEncoder
from engine.worker.samplers import SamplerTables
from engine.worker.unet import UNetCaller

T = TypeVar("T")


@contextmanager
def _device_errors() -> Generator[None]:
    """A broken device fails every later call of this process, so its jobs are for another one."""
    try:
        yield
    except torch.AcceleratorError as error:
        raise DeviceLost(str(error)) from error


class DiffusionModel:
    """One loaded model. Not thread-safe: the worker's device thread is its only user."""

    def __init__(
        self,
        pipe: StableDiffusionPipeline,
        card: ModelCard,
        unet: UNetCaller | None = None,
        *,
        max_batch_size: int = 8,
        is_exact: bool = False,
    ) -> None:
        self.card = card
        self.max_batch_size = max_batch_size
        self._is_exact = is_exact
        self._unet = unet if unet is not None else UNetCaller(pipe.unet)
        self._vae: Any = pipe.vae
        self._device, self._dtype = self._vae.device, self._vae.dtype
        self._factor = 2 ** (len(self._vae.config.block_out_channels) - 1)
        self._encoder = PromptEncoder(pipe.tokenizer, pipe.text_encoder)
        self._tables = SamplerTables(pipe.scheduler.config)
        self._batches: dict[Shape, RunningBatch] = {}
        self._steps_on_device: deque[torch.cuda.Event] = deque()
        self._latent_to_rgb = fit_latent_to_rgb(self._vae)

    @_device_errors()
    @torch.inference_mode()
    def start(self, job: Assign) -> list[DiffusionSample]:
        """The samples of a job, with their prompts encoded and their first noise drawn."""
        request = job.request
        guided = request.guidance_scale > 1  # else the negative prompt is not used at all
        prompt, negative = self._encoder.encode(request.prompt, request.negative_prompt if guided else None)
        strength = request.strength if request.init_image else None
        table = self._tables.get(request.sampler, request.num_inference_steps, strength)
        samples: list[DiffusionSample] = []
        for index in range(request.num_images_per_prompt):
            # On the CPU: the picture does not depend on the device or on who shares the batch.
            generator = torch.Generator().manual_seed(request.seed_of(index))
            latent = self._first_latent(request, generator, table.noise_scale, table.image_scale)
            state = torch.zeros(table.state, *latent.shape)
            state[0] = latent
            samples.append(
                DiffusionSample(
                    job_id=job.job_id,
                    index=index,
                    table=table,
                    prompt=prompt,
                    negative_prompt=negative,
                    guidance_scale=request.guidance_scale,
                    generator=generator,
                    state=state.to(self._device),
                    is_exact=self._is_exact,
                )
            )
        return samples

    @_device_errors()
    @torch.inference_mode()
    def step(self, samples: Sequence[DiffusionSample]) -> None:
        """One UNet call for samples of one shape; their batch is kept while they stay together."""
        self._unless_out_of_memory(lambda: self._step(samples))
        self._pace()

    def _step(self, samples: Sequence[DiffusionSample]) -> None:
        shape = samples[0].shape
        batch = self._batches.pop(shape, None)
        if batch is None or batch.samples != samples:
            batch = RunningBatch(samples, self._unet, is_exact=self._is_exact)
        batch.step()
        if any(sample.done < 1 for sample in samples):
            self._batches[shape] = batch

    def _unless_out_of_memory(self, call: Callable[[], T]) -> T:
        """Free what the device's memory has room for before anybody tries again with less."""
        try:
            return call()
        except torch.OutOfMemoryError as error:
            message = str(error)
        # Outside of the handler: the exception's traceback would keep the failed call's memory in use.
        self._free_memory()
        raise OutOfMemory(message)

    def _free_memory(self) -> None:
        self._batches.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _pace(self) -> None:
        """Keep one step ahead of the device and no more: newcomers join early, and progress is true."""
        if self._device.type != "cuda":
            return
        self._steps_on_device.append(recorded_event())
        if len(self._steps_on_device) > 1:
            self._steps_on_device.popleft().synchronize()

    @_device_errors()
    @torch.inference_mode()
    def decode(self, samples: Sequence[DiffusionSample]) -> Pending:
        """The autoencoder's pictures; in exact mode one by one, so that company does not change rounding."""
        return self._unless_out_of_memory(lambda: self._decode(samples))

    def _decode(self, samples: Sequence[DiffusionSample]) -> Pending:
        latents = torch.stack([sample.latent for sample in samples]).to(self._dtype)
        parts = latents.split(1) if self._is_exact else [latents]
        decoded = [self._vae.decode(part / self._vae.config.scaling_factor).sample.float() for part in parts]
        return copy_pictures(torch.cat(decoded))

    @_device_errors()
    @_device_errors()
    @torch.inference_mode()
    def preview(self, sample: DiffusionSample) -> Pending:
        """A rough look by the fitted linear map, of the latent's size; no autoencoder involved."""
        latent = sample.scaled_latent
        flat = torch.cat([latent.flatten(1), latent.new_ones(1, latent[0].numel())])
        rgb = (self._latent_to_rgb @ flat).view(1, 3, *latent.shape[1:])
        return copy_pictures(rgb)

    def _first_latent(
        self, request: GenerationRequest, generator: torch.Generator, noise_scale: float, image_scale: float
    ) -> torch.Tensor:
        """Noise, on top of the start image where there is one; shape (4, h, w), float32, on the CPU."""
        factor = self._factor
        shape = (self._vae.config.latent_channels, request.height // factor, request.width // factor)
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
        distribution = self._vae.encode(image.to(self._device, self._dtype)).latent_dist
        # The posterior's own `sample` would draw in the device's dtype.
        noise = torch.randn(distribution.mean.shape, generator=generator)
        latent = distribution.mean.float().cpu() + distribution.std.float().cpu() * noise
        return latent[0] * self._vae.config.scaling_factor
