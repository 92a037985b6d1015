"""Step 2 of a request's life: what the member typed becomes a GenerationRequest, or an error that helps."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass
from importlib import resources
from typing import get_args

import msgspec

from bot.errors import (
    BlankPrompt,
    ControlCharacters,
    InvalidSeed,
    OutOfRange,
    SizeNotOffered,
    TextTooLong,
    UnknownPreset,
    UnknownSampler,
)
from bot.terms import give_way, join_terms
from engine.protocol import GenerationRequest, ModelCard, Sampler

MAX_TEXT = 2000
"""Characters in a prompt, and in a member's own negative prompt."""

MAX_NAMES_TOLD = 25
"""Presets that the answer to an unknown name lists; a server can have many."""

MAX_SEED = 2**63 - 1
BIDI_CONTROLS = frozenset({"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"})
"""Classes of the characters that reorder what is shown (Unicode Annex 9), as in "Trojan Source"."""

SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named style: what it adds to a prompt and what it keeps out of the picture."""

    name: str
    description: dict[str, str]
    prompt: str = ""
    negative: str = ""
    label: str = ""
    """What pictures call it, where that is more than the name: which version of a server's preset it was."""


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """The command's options, under the names members know; None where nothing was given."""

    prompt: str
    preset: str | None = None
    negative: str | None = None
    size: str | None = None
    steps: int | None = None
    cfg: float | None = None
    seed: str | None = None
    sampler: str | None = None
    images: int = 1
    anatomy: bool = True


class PresetBook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All presets, and the way from options to a request."""

    default: str
    anatomy: str
    presets: list[Preset]

    @classmethod
    def load(cls) -> PresetBook:
        """The presets that ship with the bot."""
        return msgspec.toml.decode((resources.files("bot") / "presets.toml").read_bytes(), type=cls)

    def get(self, name: str | None) -> Preset:
        """A preset by name, whatever the case; the default for None.

        Raises:
            UnknownPreset: there is none of that name.
        """
        wanted = ((name or "").strip() or self.default).casefold()
        for preset in self.presets:
            if preset.name.casefold() == wanted:
                return preset
        known = ", ".join(preset.name for preset in self.presets[:MAX_NAMES_TOLD])
        raise UnknownPreset(preset=_quoted(wanted), known=known)

    def has(self, name: str) -> bool:
        """Whether a name, whatever the case, means one of them."""
        return name.strip().casefold() in [preset.name.casefold() for preset in self.presets]

    def search(self, text: str) -> list[Preset]:
        """The presets whose name contains what was typed so far."""
        typed = text.strip().casefold()
        return [preset for preset in self.presets if typed in preset.name.casefold()]

    def resolve(self, options: GenerationOptions, card: ModelCard, rng: random.Random) -> GenerationRequest:
        """Check every option and put the request together; draws a seed from `rng` where none was given.

        Raises:
            MemberError: the first thing that the member has to change.
        """
        preset = self.get(options.preset)
        prompt = check_text("prompt", options.prompt)
        if not prompt:
            raise BlankPrompt
        negative = check_text("negative", options.negative or "")
        width, height = _find_size(options.size, card)
        baseline = self.anatomy if options.anatomy else ""
        return GenerationRequest(
            prompt=join_terms(prompt, give_way(preset.prompt, prompt)) if preset.prompt else prompt,
            negative_prompt=join_terms(
                give_way(preset.negative, negative), give_way(baseline, negative), negative
            ),
            width=width,
            height=height,
            num_inference_steps=int(_check_range("steps", options.steps, 1, 60, card.default_steps)),
            guidance_scale=float(_check_range("cfg", options.cfg, 1, 20, card.default_cfg)),
            sampler=_find_sampler(options.sampler, card),
            seed=_parse_seed(options.seed, rng),
            num_images_per_prompt=int(_check_range("images", options.images, 1, 4, 1)),
            labels={"Preset": preset.label or preset.name},
        )


def find_sizes(text: str, card: ModelCard) -> dict[str, tuple[int, int]]:
    """The model's sizes whose name or WxH contains what was typed so far."""
    typed = _normal_size(text)
    return {
        name: size
        for name, size in card.sizes.items()
        if typed in _normal_size(name) or typed in f"{size[0]}x{size[1]}"
    }


def check_text(option: str, text: str) -> str:
    """Tidy up the spaces of what somebody typed; empty where nothing can be seen.

    Raises:
        TextTooLong | ControlCharacters: it cannot be used; the option's name is in the answer.
    """
    if len(text) > MAX_TEXT:
        raise TextTooLong(option=option, length=len(text), limit=MAX_TEXT)
    if any(_is_forbidden(char) for char in text):
        raise ControlCharacters(option=option)
    text = " ".join(text.split())
    # Zero-width and other format characters alone are no prompt.
    return text if any(unicodedata.category(char)[0] not in "CZ" for char in text) else ""


def _is_forbidden(char: str) -> bool:
    # Cc are control characters, Cs halves of a broken surrogate pair, Co and Cn have no meaning; the bidi
    # embeddings, overrides and isolates make a text read differently from what it says.
    if unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn"):
        return char not in "\n\r\t"
    return unicodedata.bidirectional(char) in BIDI_CONTROLS


def _check_range(option: str, value: float | None, low: int, high: int, default: float) -> float:
    if value is None:
        return default
    if not low <= value <= high:  # also false for not-a-number
        raise OutOfRange(option=option, value=f"{value:g}", low=low, high=high)
    return value


def _find_size(name: str | None, card: ModelCard) -> tuple[int, int]:
    if name is None or not name.strip():
        return next(iter(card.sizes.values()))
    wanted = _normal_size(name)
    for offered, (width, height) in card.sizes.items():
        if wanted in (_normal_size(offered), f"{width}x{height}"):
            return width, height
    offered = ", ".join(f"{label} ({width}x{height})" for label, (width, height) in card.sizes.items())
    raise SizeNotOffered(size=_quoted(name), offered=offered)


def _find_sampler(name: str | None, card: ModelCard) -> Sampler:
    if name is None or not name.strip():
        return card.default_sampler
    for sampler in SAMPLERS:
        if sampler.casefold() == name.strip().casefold():
            return sampler
    raise UnknownSampler(sampler=_quoted(name), known=", ".join(SAMPLERS))


def _normal_size(text: str) -> str:
    return text.strip().casefold().replace("×", "x").replace("*", "x").replace(" ", "")


def _parse_seed(text: str | None, rng: random.Random) -> int:
    cleaned = (text or "").strip().casefold()
    if cleaned in ("", "random"):
        # Up to 2**32, as other tools do: short to read and to type again.
        return rng.randrange(2**32)
    if len(cleaned) <= 19 and cleaned.isascii() and cleaned.isdigit() and int(cleaned) <= MAX_SEED:
        return int(cleaned)
    raise InvalidSeed(value=_quoted(cleaned), high=MAX_SEED)


def _quoted(text: str) -> str:
    """What somebody typed, short enough to be shown back."""
    return text if len(text) <= 60 else text[:60] + "…"
