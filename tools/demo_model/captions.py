"""Captions as people write prompts: some things left out, in any order, with words that mean nothing here."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tools.demo_model.faces import DETAILED, FLAT, MODERN, RETRO, Face, tags_of

EMPTY_SHARE = 0.06
"""Captions without a word: what the model draws without guidance, and instead of an empty negative prompt."""
STYLE_ONLY_SHARE = 0.3
"""Captions that say nothing of the face, as negative prompts do: of style words, unknown ones, or both."""
NOISE_SHARE = 0.3
"""Captions with words that the model does not know, so that it learns not to mind them."""
NOISE_IN_STYLE_SHARE = 0.6
"""The same, of captions that say nothing of the face: the bot's negative prompts all have such words."""
KEEP_SHARE = 0.85
"""Of each tag."""
STYLE_SHARE = 0.6
"""Of captions that tell the shading; likewise of those that tell the era."""
MANY_SHARE, MANY_IN_STYLE_SHARE = 0.2, 0.5
"""Of captions with more than two words for a style, and the same of those that say nothing of the face: the
negative prompt of `2022 Artstyle` is a list of nineteen."""


def training_caption(face: Face, dice: random.Random, unknown_words: Sequence[str]) -> str:
    """One of the many ways to ask for a face.

    Args:
        unknown_words: words that mean nothing in this world.
    """
    kind = dice.random()
    if kind < EMPTY_SHARE:
        return ""
    is_style_only = kind < EMPTY_SHARE + STYLE_ONLY_SHARE
    style = _style_words(face, MANY_IN_STYLE_SHARE if is_style_only else MANY_SHARE, dice)
    if is_style_only:
        return ", ".join(_with_noise(style, NOISE_IN_STYLE_SHARE, dice, unknown_words))
    tags = [tag for tag in tags_of(face) if dice.random() < KEEP_SHARE]
    if dice.random() < 0.5:
        dice.shuffle(tags)
    tags = [*style, *tags] if dice.random() < 0.5 else [*tags, *style]
    tags = _with_noise(tags, NOISE_SHARE, dice, unknown_words)
    return _sentence(tags) if dice.random() < 0.15 else ", ".join(tags)


def _style_words(face: Face, many_share: float, dice: random.Random) -> list[str]:
    """Some of the words for the shading and the era, in any order."""
    words: list[str] = []
    for group in (FLAT if face.is_flat else DETAILED, RETRO if face.is_retro else MODERN):
        if dice.random() < STYLE_SHARE:
            # Most often the one that people say; at times many, as presets do.
            most = len(group) if dice.random() < many_share else min(2, len(group))
            words += dice.sample(group, dice.randint(1, most))
    dice.shuffle(words)
    return words


def _with_noise(
    tags: list[str], share: float, dice: random.Random, unknown_words: Sequence[str]
) -> list[str]:
    """In that share of captions, terms that mean nothing at any place."""
    if dice.random() < share:
        for _ in range(dice.randint(1, 8)):
            tags.insert(dice.randint(0, len(tags)), _unknown_term(dice, unknown_words))
    return tags


def _unknown_term(dice: random.Random, unknown_words: Sequence[str]) -> str:
    return " ".join(dice.choices(unknown_words, k=dice.randint(1, 3)))


def _sentence(tags: Sequence[str]) -> str:
    """As in prose."""
    who = {"1girl": "a girl", "1boy": "a boy"}
    words = [who.get(tag, tag) for tag in tags]
    first, rest = words[:1], words[1:]
    return " ".join([*first, "with" if rest else "", " and ".join(rest[:3]), ", ".join(rest[3:])]).strip()
