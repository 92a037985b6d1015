"""The samplers by the names that members know, as diffusers' scheduler classes."""

from __future__ import annotations

from typing import Any

import diffusers

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


def make_sampler(sampler: Sampler, config: Any) -> Any:
    """A fresh diffusers scheduler with the noise schedule of the model's own `config`."""
    class_name, options = SAMPLERS[sampler]
    return getattr(diffusers, class_name).from_config(config, **options)
