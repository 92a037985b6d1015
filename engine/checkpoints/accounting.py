"""Every key is accounted for: each weight of the model is in the checkpoint, and nothing else is.

diffusers' own loader leaves a missing key of the text encoder out and draws on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from engine.checkpoints.components import Component
from engine.checkpoints.disk import reading
from engine.checkpoints.errors import CheckpointError, shown
from engine.checkpoints.keys import VAE_PREFIX, Shape, other_kind, why_ignored
from engine.checkpoints.reading import Checkpoint


@dataclass(frozen=True)
class Part:
    """A component and where its weights are; `names` has what that very file calls each key."""

    component: Component
    source: Checkpoint
    names: dict[str, str]

    def load(self, key: str) -> torch.Tensor:
        """A weight by the model's own key, in the model's shape and the source's data type."""
        with reading(self.source.path):
            return self.source.load(self.names[key]).reshape(self.component.shapes[key])


@dataclass(frozen=True)
class Account:
    """The parts to convert, and how many keys were ignored, by what they are."""

    parts: list[Part]
    ignored: dict[str, int]


def account_for(
    components: tuple[Component, Component, Component], model: Checkpoint, vae: Checkpoint | None
) -> Account:
    """Find each weight of the model; `vae`, if given, takes the place of the checkpoint's own autoencoder.

    Raises:
        CheckpointError: a key is missing, unexpected or has another shape; names it.
    """
    unet, own_vae, text = components
    _refuse_other_kinds(components, model, vae)
    ignored: Counter[str] = Counter()
    parts = [Part(unet, model, unet.names), Part(text, model, text.names)]
    replaced: set[str] = set()
    if vae is None:
        parts.append(Part(own_vae, model, own_vae.names))
    else:
        replaced = set(own_vae.names.values()) & model.shapes.keys()
        ignored["replaced by the VAE file"] = len(replaced)
        bare = {key: name.removeprefix(VAE_PREFIX) for key, name in own_vae.names.items()}
        parts.append(Part(own_vae, vae, bare))
        _check_file(vae, parts[2:], set(), ignored)
    _check_file(model, [part for part in parts if part.source is model], replaced, ignored)
    return Account(parts, {reason: count for reason, count in ignored.items() if count})


def _refuse_other_kinds(components: tuple[Component, ...], model: Checkpoint, vae: Checkpoint | None) -> None:
    if kind := other_kind(list(model.shapes)):
        raise CheckpointError(f"{model.name} {kind}.")
    bare = {name.removeprefix(VAE_PREFIX) for name in components[1].names.values()}
    if len(bare & model.shapes.keys()) > len(bare) / 2:
        raise CheckpointError(f"{model.name} is an autoencoder: give it with --vae, and the model before it.")
    if vae is None:
        return
    if any(name in vae.shapes for name in components[0].names.values()):
        raise CheckpointError(
            f"{vae.name} is a whole model, not an autoencoder: leave --vae out to use its own."
        )
    if kind := other_kind(list(vae.shapes)):
        raise CheckpointError(f"{vae.name} {kind}.")


def _check_file(source: Checkpoint, parts: list[Part], known: set[str], ignored: Counter[str]) -> None:
    wanted = {part.names[key]: (part, key) for part in parts for key in part.component.shapes}
    missing = [name for name in wanted if name not in source.shapes]
    if missing:
        raise CheckpointError(
            f"{source.name} has no key {missing[0]}{_more(missing)}: it is damaged, or no Stable "
            "Diffusion v1 model."
        )
    for name, (part, key) in wanted.items():
        shape, should_be = source.shapes[name], part.component.shapes[key]
        if shape != should_be and not _is_attention_of_vae(part, shape, should_be):
            raise CheckpointError(
                f"{source.name} has another shape at {name}: {_told(shape)} where Stable Diffusion v1 has "
                f"{_told(should_be)}."
            )
        if not source.floats[name]:
            raise CheckpointError(f"{source.name} has numbers of a wrong type at {name}: use a float file.")
    accounted = known | wanted.keys()
    ignored.update(_ignore(source, (name for name in source.shapes if name not in accounted)))
    if source.leftovers:
        ignored["training state"] += len(source.leftovers)


def _ignore(source: Checkpoint, names: Iterable[str]) -> Counter[str]:
    reasons = {name: why_ignored(name) for name in names}
    unexpected = [name for name, reason in reasons.items() if not reason]
    if unexpected:
        raise CheckpointError(
            f"{source.name} has a key that is unexpected in a Stable Diffusion v1 model: "
            f"{shown(unexpected[0])}{_more(unexpected)}."
        )
    return Counter(reasons.values())


def _is_attention_of_vae(part: Part, shape: Shape, should_be: Shape) -> bool:
    """CompVis wrote these matrices as convolutions of 1x1."""
    return part.component.folder == "vae" and len(should_be) == 2 and shape == (*should_be, 1, 1)


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _told(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a single number"


def check_numbers(tensor: torch.Tensor, converted: torch.Tensor, name: Callable[[], str], file: str) -> None:
    """Refuse a weight that is no number, or that is none any more in the smaller type.

    Raises:
        CheckpointError: names the key.
    """
    if bool(torch.isfinite(converted).all()):
        return
    if bool(torch.isfinite(tensor).all()):
        raise CheckpointError(
            f"{file} has a number at {name()} that is too large for fp16: use --dtype fp32."
        )
    raise CheckpointError(f"{file} has an infinite number or a NaN at {name()}: it is damaged.")
