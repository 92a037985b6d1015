"""The names of a Stable Diffusion v1 model's weights, in diffusers and in CompVis checkpoints.

It goes from the model's own names to the checkpoint's, so that a name that is missing can be told as the
checkpoint has it. diffusers converts the other way; a test holds this module to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Shape = tuple[int, ...]

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
TEXT_PREFIX = "cond_stage_model.transformer.text_model."

RESNET_IN_UNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS_OF_UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
MIDDLE_OF_UNET = {"resnets.0": 0, "attentions.0": 1, "resnets.1": 2}
ATTENTION_IN_VAE = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_names(keys: list[str], layers_per_block: int) -> dict[str, str]:
    """Each key of a UNet and its name in a checkpoint."""
    attended = {int(match[1]) for key in keys if (match := re.match(r"up_blocks\.(\d+)\.attentions\.", key))}
    return {key: UNET_PREFIX + _unet_name(key, layers_per_block, attended) for key in keys}


def _unet_name(key: str, layers: int, attended: set[int]) -> str:
    for ours, theirs in ENDS_OF_UNET.items():
        if key.startswith(f"{ours}."):
            return theirs + key.removeprefix(ours)
    if match := re.fullmatch(r"mid_block\.((?:resnets|attentions)\.\d+)\.(.+)", key):
        return f"middle_block.{MIDDLE_OF_UNET[match[1]]}.{_inside(match[1], match[2])}"
    match = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|\w+samplers)\.(\d+)\.(.+)", key)
    if match is None:
        raise KeyError(key)
    side, block, part, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    per_block = layers + 1
    if part == "downsamplers":
        return f"input_blocks.{1 + block * per_block + layers}.0.op.{rest.removeprefix('conv.')}"
    if part == "upsamplers":
        place = 2 if block in attended else 1
        return f"output_blocks.{block * per_block + layers}.{place}.{rest}"
    name = f"input_blocks.{1 + block * per_block + layer}" if side == "down" else ""
    name = name or f"output_blocks.{block * per_block + layer}"
    return f"{name}.{0 if part == 'resnets' else 1}.{_inside(part, rest)}"


def _inside(part: str, rest: str) -> str:
    if not part.startswith("resnets"):
        return rest  # the inside of a transformer has the same names in both
    module, _, kind = rest.rpartition(".")
    return f"{RESNET_IN_UNET[module]}.{kind}"


def vae_names(keys: list[str], blocks: int) -> dict[str, str]:
    """Each key of an autoencoder and its name in a checkpoint, without the prefix."""
    return {key: _vae_name(key, blocks) for key in keys}


def _vae_name(key: str, blocks: int) -> str:
    def block(match: re.Match[str]) -> str:
        number = int(match[2])
        return f"{match[1]}.{blocks - 1 - number if match[1] == 'up' else number}."

    name = re.sub(r"\b(up|down)_blocks\.(\d+)\.", block, key)
    name = re.sub(r"\b(up|down)samplers\.0\.conv\.", r"\1sample.conv.", name)
    name = re.sub(r"mid_block\.resnets\.(\d+)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
    name = name.replace("resnets.", "block.").replace("conv_shortcut", "nin_shortcut")
    name = name.replace("conv_norm_out", "norm_out")
    for ours, theirs in ATTENTION_IN_VAE.items():
        name = name.replace(f"mid_block.attentions.0.{ours}.", f"mid.attn_1.{theirs}.")
    return name


def text_names(keys: list[str]) -> dict[str, str]:
    """Each key of the text encoder and its name in a checkpoint."""
    return {key: TEXT_PREFIX + key.removeprefix("text_model.") for key in keys}


SCHEDULE = re.compile(
    r"(?:betas|(?:sqrt_|log_|sqrt_recip_|sqrt_recipm1_)?(?:one_minus_)?alphas_cumprod(?:_prev)?"
    r"|posterior_\w+|lvlb_weights|logvar|scale_factor)"
)

Ignorable = tuple[str, Callable[[str], bool]]

IGNORABLE: tuple[Ignorable, ...] = (
    ("EMA copies", lambda name: re.match(r"model_ema\.|first_stage_model\.model_ema\.", name) is not None),
    ("training loss", lambda name: re.match(r"(?:first_stage_model\.)?loss\.", name) is not None),
    ("position_ids", lambda name: name == f"{TEXT_PREFIX}embeddings.position_ids"),
    ("noise schedule", lambda name: SCHEDULE.fullmatch(name) is not None),
)
"""Keys that genuine checkpoints have and no diffusers model wants: what they are, and how they are known."""


def why_ignored(name: str) -> str:
    """What an ignorable key is; empty for any other key."""
    return next((reason for reason, test in IGNORABLE if test(name)), "")


OTHER_KINDS: tuple[tuple[str, str], ...] = (
    (r"conditioner\.embedders\.", "is a Stable Diffusion XL model; only Stable Diffusion v1 can be imported"),
    (
        r"cond_stage_model\.model\.",
        "is a Stable Diffusion 2.x model; only Stable Diffusion v1 can be imported",
    ),
    (r"(?:lora_unet_|lora_te_|unet\..*lora)", "is a LoRA file, not a model; this version cannot use it"),
    (r"(?:string_to_param|emb_params)", "is a textual inversion, not a model; this version cannot use it"),
    (
        r"(?:down_blocks|text_model|mid_block)\.",
        "is one part of a diffusers folder, not a CompVis checkpoint",
    ),
)


def other_kind(names: list[str]) -> str:
    """What these keys are instead of a Stable Diffusion v1 model, as the end of a sentence; or nothing."""
    return next((kind for start, kind in OTHER_KINDS if any(re.match(start, name) for name in names)), "")
