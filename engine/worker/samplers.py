"""The samplers as tables of coefficients, so that one fused update advances a batch of mixed samplers.

Every sampler on offer is linear: a call of diffusers' `scheduler.step` makes the next latent, and what it
remembers for later calls, as sums of multiples of the latent, of what it remembered, of the model's output
and of fresh noise. The multiples depend on the step alone. They are read off diffusers' own scheduler object
by letting it step unit vectors, so its arithmetic is not written a second time here.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import diffusers
import torch

from engine.protocol import Sampler

SAMPLERS: dict[Sampler, tuple[str, dict[str, Any]]] = {
    "Euler a": ("EulerAncestralDiscreteScheduler", {}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "DDIM": ("DDIMScheduler", {}),
    "DPM++ 2M": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "DPM++ 2M Karras": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True},
    ),
    "DPM++ SDE": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "UniPC": ("UniPCMultistepScheduler", {}),
    "LMS": ("LMSDiscreteScheduler", {}),
    "PNDM": ("PNDMScheduler", {"skip_prk_steps": True}),
    "Heun": ("HeunDiscreteScheduler", {}),
}

UNIT = 2.0**20
"""Length of a unit vector. A power of two scales floats exactly, and one this large keeps the noise, which
cannot be switched off, from rounding the other coefficients away."""

Slot = tuple[str, int | None]
"""A place where a scheduler remembers a tensor: an attribute, or an item of a list."""


def make_sampler(sampler: Sampler, config: Any) -> Any:
    """A fresh diffusers scheduler with the noise schedule of the model's own `config`."""
    class_name, options = SAMPLERS[sampler]
    return getattr(diffusers, class_name).from_config(config, **options)


@dataclass(frozen=True, kw_only=True)
class SamplerTable:
    """What a sampler does at each of its model calls; all tensors float32.

    `timesteps`, shape (calls,): what the UNet is told. `input_scale`, shape (calls,): the UNet sees the
    latent times this. `update`, shape (calls, state, state + 2): the next state from the state, the model's
    output and noise; row 0 of the state is the latent, the others are the sampler's memory, zero at first.
    `noise_scale` and `image_scale`: the first latent is noise times one plus the encoded start image times
    the other. `draws_noise`: whether the noise column is used.
    """

    timesteps: torch.Tensor
    input_scale: torch.Tensor
    update: torch.Tensor
    noise_scale: float
    image_scale: float
    draws_noise: bool

    @property
    def calls(self) -> int:
        """Model calls until the picture is done; some samplers make more of them than they have steps."""
        return len(self.timesteps)

    @property
    def state(self) -> int:
        """Tensors of a latent's size that are carried from call to call."""
        return self.update.shape[1]


class SamplerTables:
    """The tables of one model's noise schedule, made when first asked for. Safe for several threads."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self.get = lru_cache(maxsize=1024)(self._make)

    def _make(self, sampler: Sampler, steps: int, strength: float | None = None) -> SamplerTable:
        """The table of `steps` steps; with `strength`, of img2img's last share of them.

        The share is counted as StableDiffusionImg2ImgPipeline.get_timesteps does.
        """
        scheduler = make_sampler(sampler, self._config)
        scheduler.set_timesteps(steps)
        first = 0
        if strength is not None:
            first = min((steps - int(steps * strength)) * scheduler.order, len(scheduler.timesteps) - 1)
            if hasattr(scheduler, "set_begin_index"):
                scheduler.set_begin_index(first)
        return read_table(scheduler, first, starts_from_image=strength is not None)


def read_table(scheduler: Any, first: int, *, starts_from_image: bool) -> SamplerTable:
    """Let a scheduler go through its timesteps from number `first` on, and note what it does."""
    timesteps = scheduler.timesteps[first:]
    noise_scale, image_scale = float(scheduler.init_noise_sigma), 0.0
    if starts_from_image:
        one, zero = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
        noise_scale = float(scheduler.add_noise(zero, one, timesteps[:1]))
        image_scale = float(scheduler.add_noise(one, zero, timesteps[:1]))
    probe = _Probe(scheduler)
    calls = [probe.step(timestep) for timestep in timesteps]
    return SamplerTable(
        timesteps=timesteps.float(),
        input_scale=torch.tensor([scale for scale, _ in calls]),
        update=torch.stack([probe.trim(update) for _, update in calls]),
        noise_scale=noise_scale,
        image_scale=image_scale,
        draws_noise=probe.draws_noise,
    )


class _Probe:
    """Steps a scheduler with unit vectors: what comes out are the coefficients.

    Component 0 stands for the latent, the next ones for the slots, and at the end for the model's output
    and for nothing. What is found in the last one can only be noise.
    """

    MAX_SLOTS = 8
    SHAPE = torch.Size((1, MAX_SLOTS + 3, 1, 1))

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._generator = torch.Generator().manual_seed(0)
        takes_generator = "generator" in inspect.signature(scheduler.step).parameters
        self._options = {"generator": self._generator} if takes_generator else {}
        self._slots: list[Slot] = []
        self.draws_noise = False

    def step(self, timestep: torch.Tensor) -> tuple[float, torch.Tensor]:
        """One call: the input scale, and the update of all slots there could be."""
        scale = self._scheduler.scale_model_input(torch.ones(self.SHAPE), timestep).flatten()[0]
        for slot in self._remembered():
            self._remember(slot, self._unit(1 + self._slots.index(slot)))
        noise = torch.randn(self.SHAPE, generator=self._generator.clone_state()).flatten()
        before = self._generator.get_state()
        latent = self._scheduler.step(
            self._unit(1 + self.MAX_SLOTS), timestep, self._unit(0), **self._options
        ).prev_sample
        has_drawn = not torch.equal(before, self._generator.get_state())
        self.draws_noise |= has_drawn
        update = torch.zeros(1 + self.MAX_SLOTS, self.MAX_SLOTS + 3)
        update[0] = self._coefficients(latent, noise, has_drawn=has_drawn)
        for slot, value in self._remembered().items():
            if slot not in self._slots:
                self._slots.append(slot)
            update[1 + self._slots.index(slot)] = self._coefficients(value, noise, has_drawn=has_drawn)
        return float(scale), update

    def trim(self, update: torch.Tensor) -> torch.Tensor:
        """Without the slots that this scheduler does not have."""
        used = 1 + len(self._slots)
        return torch.cat([update[:used, :used], update[:used, -2:]], dim=1)

    def _unit(self, component: int) -> torch.Tensor:
        vector = torch.zeros(self.SHAPE)
        vector[0, component] = UNIT
        return vector

    @staticmethod
    def _coefficients(value: torch.Tensor, noise: torch.Tensor, *, has_drawn: bool) -> torch.Tensor:
        value = value.flatten()
        noise_scale = value[-1] / noise[-1] if has_drawn else torch.zeros(())
        return torch.cat([(value - noise_scale * noise)[:-1] / UNIT, noise_scale[None]])

    def _remembered(self) -> dict[Slot, torch.Tensor]:
        found: dict[Slot, torch.Tensor] = {}
        for name, value in vars(self._scheduler).items():
            items = enumerate(value) if isinstance(value, list) else [(None, value)]
            for index, item in items:
                if isinstance(item, torch.Tensor) and item.shape == self.SHAPE:
                    found[name, index] = item
        return found

    def _remember(self, slot: Slot, value: torch.Tensor) -> None:
        name, index = slot
        if index is None:
            setattr(self._scheduler, name, value)
        else:
            getattr(self._scheduler, name)[index] = value
