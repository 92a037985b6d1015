"""A Stable Diffusion v1 model on one device: what the batching loop asks of it, with diffusers' parts."""

from __future__ import annotations

import hashlib
import io
import logging
import math
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from engine.worker.loop import DeviceLost, OutOfMemory, Pending, Pixels, Shape
from engine.worker.prompts import PromptEncoder
from engine.worker.samplers import SamplerTables
from engine.worker.unet import ROW_BUCKETS, UNetCaller, prepare_for_cuda, probe_max_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How to run a model. In exact mode a picture is the same to the last bit whoever shares its calls."""

    device: str = "cpu"
    threads: int = 1
    max_batch_size: int = 8
    is_exact: bool = False
    is_compiled: bool = False


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
        self._latent_to_rgb = self._fit_latent_to_rgb()

    @classmethod
    def load(cls, folder: Path, options: ModelOptions) -> DiffusionModel:
        """Load a folder in diffusers layout, offline; float16 on CUDA, float32 elsewhere.

        Raises:
            ModelError: a file of the folder is missing or unreadable.
        """
        is_cuda = options.device.startswith("cuda")
        if is_cuda:
            _check_cuda(options.device)
        card = read_model(folder)
        card = msgspec.structs.replace(card, hash=_weights_hash(folder))
        torch.set_num_threads(options.threads)
        pipe = _load_pipeline(folder, torch.float16 if is_cuda else torch.float32)
        pipe.to(options.device)
        # In exact mode each call has all the rows there can be; else CUDA graphs want few numbers of rows.
        exact_rows = (2 * options.max_batch_size,)
        unet = UNetCaller(
            pipe.unet, buckets=exact_rows if options.is_exact else ROW_BUCKETS if is_cuda else ()
        )
        if is_cuda:
            prepare_for_cuda(pipe, unet, is_compiled=options.is_compiled)
        model = cls(pipe, card, unet, max_batch_size=options.max_batch_size, is_exact=options.is_exact)
        if is_cuda:
            model._warm_up()
            model.max_batch_size = min(options.max_batch_size, model._probe_batch_size())
        return model

    @_device_errors()
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
                    state=state.to(self._device),
                    is_exact=self._is_exact,
                )
            )
        return samples

    @_device_errors()
    @torch.inference_mode()
    def step(self, samples: Sequence[Sample]) -> None:
        """One UNet call for samples of one shape; their batch is kept while they stay together."""
        shape = samples[0].shape
        batch = self._batches.pop(shape, None)
        out_of_memory = ""
        try:
            if batch is None or batch.samples != samples:
                batch = RunningBatch(samples, self._unet, is_exact=self._is_exact)
            batch.step()
            if any(sample.done < 1 for sample in samples):
                self._batches[shape] = batch
        except torch.OutOfMemoryError as error:
            out_of_memory = str(error)
        if out_of_memory:
            # Outside of the handler: an exception's traceback would keep the failed call's memory in use.
            del batch
            self._free_memory()
            raise OutOfMemory(out_of_memory)
        self._pace()

    def _free_memory(self) -> None:
        self._batches.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _pace(self) -> None:
        """Keep one step ahead of the device and no more: newcomers join early, and progress is true."""
        if self._device.type != "cuda":
            return
        self._steps_on_device.append(_recorded_event())
        if len(self._steps_on_device) > 1:
            self._steps_on_device.popleft().synchronize()

    @_device_errors()
    @torch.inference_mode()
    def decode(self, samples: Sequence[Sample]) -> Pending:
        """The autoencoder's pictures; in exact mode one by one, so that company does not change rounding."""
        latents = torch.stack([sample.latent for sample in samples]).to(self._dtype)
        parts = latents.split(1) if self._is_exact else [latents]
        decoded = [self._vae.decode(part / self._vae.config.scaling_factor).sample.float() for part in parts]
        return _copy_pictures(torch.cat(decoded))

    @torch.inference_mode()
    def preview(self, sample: Sample) -> Pending:
        """A rough look by the fitted linear map, of the latent's size; no autoencoder involved."""
        latent = sample.latent
        flat = torch.cat([latent.flatten(1), latent.new_ones(1, latent[0].numel())])
        rgb = (self._latent_to_rgb @ flat).view(1, 3, *latent.shape[1:])
        return _copy_pictures(rgb)

    @torch.inference_mode()
    def _warm_up(self) -> None:
        """Call the UNet once for each size: what is compiled for it is compiled now, while nobody waits."""
        prompt, _ = self._encoder.encode("", None)
        for shape in self._latent_shapes():
            zeros = torch.zeros(2, *shape, device=self._device)
            self._unet(zeros, zeros[:, 0, 0, 0], prompt.expand(2, *prompt.shape), None)

    @torch.inference_mode()
    def _probe_batch_size(self) -> int:
        """How many samples with guidance fit into one UNet call at the largest size on offer."""
        prompt, _ = self._encoder.encode("", None)
        largest = max(self._latent_shapes(), key=math.prod)
        return max(1, probe_max_rows(self._unet, largest, prompt.shape) // 2)

    def _latent_shapes(self) -> list[tuple[int, int, int]]:
        channels = self._vae.config.latent_channels
        return [
            (channels, height // self._factor, width // self._factor)
            for width, height in self.card.sizes.values()
        ]

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
        return torch.linalg.lstsq(inputs, targets).solution.T.contiguous().to(vae.device)


def _copy_pictures(values: torch.Tensor) -> Pending:
    """Begin to bring pictures from the device: its thread goes on, and whoever wants them waits.

    Args:
        values: RGB in [-1, 1], shape (pictures, 3, height, width); rounded as StableDiffusionPipeline does.
    """
    finite = values.isfinite().flatten(1).all(1)
    pixels = ((values / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    copied = None
    if pixels.is_cuda:
        pixels, finite = pixels.to("cpu", non_blocking=True), finite.to("cpu", non_blocking=True)
        copied = _recorded_event()

    def pictures() -> list[Pixels | None]:
        if copied is not None:
            copied.synchronize()
        flags = finite.tolist()
        return [
            picture if is_finite else None for picture, is_finite in zip(pixels.numpy(), flags, strict=True)
        ]

    return pictures


def _recorded_event() -> torch.cuda.Event:
    event = torch.cuda.Event()
    event.record()
    return event


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
