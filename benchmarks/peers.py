"""The other ways to serve the same requests: one by one, equal ones together, and run to the longest."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks.clock import Clock, Outcome
from benchmarks.trace import Arrival
from engine.protocol import Assign, GenerationRequest
from engine.worker.interfaces import Model
from engine.worker.loop import DECODE_BATCH
from engine.worker.prompts import PromptEncoder
from engine.worker.samplers import make_sampler

Take = Callable[[Sequence[GenerationRequest]], Sequence[int]]
"""From the waiting requests, oldest first, to the places of those that are drawn now."""

Draw = Callable[[Sequence[GenerationRequest]], Sequence[torch.Tensor]]
"""From requests to their last latents; returns when their pictures are in the memory of the host."""


class PlainDiffusers:
    """The loop of StableDiffusionPipeline, for one request or several with equal settings."""

    def __init__(self, parts: Any, unet: Any = None) -> None:
        self._unet: Any = unet or parts.unet
        self._vae: Any = parts.vae
        self._dtype: torch.dtype = parts.unet.dtype
        self._device: torch.device = parts.unet.device
        self._encoder = PromptEncoder(parts.tokenizer, parts.text_encoder)
        self._config = parts.scheduler.config

    @torch.inference_mode()
    def draw(self, requests: Sequence[GenerationRequest]) -> Sequence[torch.Tensor]:
        """Draw them in the same calls, and decode them in another."""
        first = requests[0]
        scheduler = make_sampler(first.sampler, self._config)
        scheduler.set_timesteps(first.num_inference_steps, device=self._device)
        generators = [torch.Generator().manual_seed(each.seed) for each in requests]
        takes_generator = "generator" in inspect.signature(scheduler.step).parameters
        options = {"generator": generators} if takes_generator else {}
        embeddings = self._embeddings(requests)
        latents = self._noise(first, generators) * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            scaled = scheduler.scale_model_input(latents, timestep)
            output = self._guided(scaled, timestep, embeddings, first.guidance_scale)
            latents = scheduler.step(output, timestep, latents, **options).prev_sample
        self._decode(latents)
        return latents.unbind()

    def _embeddings(self, requests: Sequence[GenerationRequest]) -> torch.Tensor:
        guided = requests[0].guidance_scale > 1
        pairs = [
            self._encoder.encode(each.prompt, each.negative_prompt if guided else None) for each in requests
        ]
        negative = [each for _, each in pairs if each is not None]
        return torch.stack(negative + [prompt for prompt, _ in pairs])

    def _noise(self, request: GenerationRequest, generators: Sequence[torch.Generator]) -> torch.Tensor:
        factor = 2 ** (len(self._vae.config.block_out_channels) - 1)
        shape = (self._vae.config.latent_channels, request.height // factor, request.width // factor)
        return torch.stack([torch.randn(shape, generator=each) for each in generators]).to(self._device)

    def _guided(
        self, latents: torch.Tensor, timestep: torch.Tensor, embeddings: torch.Tensor, scale: float
    ) -> torch.Tensor:
        rows = torch.cat([latents, latents]) if len(embeddings) > len(latents) else latents
        output = self._unet(rows.to(self._dtype), timestep, embeddings, return_dict=False)[0].float()
        if len(embeddings) == len(latents):
            return output
        negative, positive = output.chunk(2)
        return negative + scale * (positive - negative)

    def _decode(self, latents: torch.Tensor) -> None:
        for few in latents.split(DECODE_BATCH):
            decoded = self._vae.decode(few.to(self._dtype) / self._vae.config.scaling_factor).sample.float()
            ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).cpu()


class RunToLongest:
    """A mixed batch by the worker's own model, so that nothing but the policy differs: nobody joins before
    all have left. Rows that are done leave the calls, but their pictures wait for the others."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def draw(self, requests: Sequence[GenerationRequest]) -> Sequence[torch.Tensor]:
        """Draw them in the same calls, and decode them after the last of these."""
        jobs = [Assign(str(number), each) for number, each in enumerate(requests)]
        samples = [sample for job in jobs for sample in self._model.start(job)]
        while going_on := [sample for sample in samples if sample.done < 1]:
            self._model.step(going_on)
        for begin in range(0, len(samples), DECODE_BATCH):
            self._model.decode(samples[begin : begin + DECODE_BATCH])()
        return [sample.latent for sample in samples]


def first_only(waiting: Sequence[GenerationRequest]) -> Sequence[int]:
    """One by one."""
    return [0] if waiting else []


def equal_ones(max_batch_size: int) -> Take:
    """The oldest, and those waiting whose settings are the same."""

    def take(waiting: Sequence[GenerationRequest]) -> Sequence[int]:
        wanted = settings(waiting[0])
        return [place for place, each in enumerate(waiting) if settings(each) == wanted][:max_batch_size]

    return take


def oldest(max_batch_size: int) -> Take:
    """Whatever waits."""
    return lambda waiting: range(min(len(waiting), max_batch_size))


def settings(request: GenerationRequest) -> tuple[Any, ...]:
    """What requests must have in common to share a call of StableDiffusionPipeline."""
    return (
        *(request.width, request.height),
        *(request.num_inference_steps, request.guidance_scale, request.sampler),
    )


def run_in_batches(arrivals: Sequence[Arrival], clock: Clock, take: Take, draw: Draw) -> Outcome:
    """Take a batch of what waits, draw it to its end, take the next."""
    outcome = Outcome(arrivals, clock)
    waiting: list[int] = []
    come = 0
    while len(outcome.seconds) < len(arrivals):
        if not waiting:
            clock.wait_until(arrivals[come].at)
        while come < len(arrivals) and arrivals[come].at <= clock.now():
            waiting.append(come)
            come += 1
        places = take([arrivals[number].request for number in waiting])
        batch = [waiting[place] for place in places]
        latents = draw([arrivals[number].request for number in batch])
        for number, latent in zip(batch, latents, strict=True):
            outcome.finish(number)
            outcome.latents[number] = latent
            waiting.remove(number)
    return outcome
