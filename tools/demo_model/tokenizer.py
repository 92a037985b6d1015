"""CLIP's tokenizer with a small vocabulary, made of the files of the full one.

It keeps CLIP's most frequent merges, so that an English word that the model never saw takes few tokens, and
every merge that the known words need, so that they are split as CLIP splits them.
"""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import pairwise
from typing import Any

from transformers.models.clip.tokenization_clip import CLIPTokenizer

from engine.models import DEMO_FOLDER
from tools.demo_model.architecture import MAX_TOKENS
from tools.demo_model.faces import (
    ACCESSORY,
    BACKGROUND,
    CLOTHES,
    CLOTHES_COLOR,
    DETAILED,
    EXPRESSION,
    EYE_COLOR,
    FLAT,
    HAIR_COLOR,
    HAIR_STYLE,
    MODERN,
    RETRO,
    WHO,
)

FULL_FOLDER = DEMO_FOLDER.parent / "sd1" / "tokenizer"
COMMON_MERGES = 6000
"""Of CLIP's merges, the first by rank."""
WORD_END = "</w>"
SPECIAL = ("<|startoftext|>", "<|endoftext|>")
PLAIN_WORDS = ("a", "girl", "boy", "with", "and", "hair", "eyes")
"""Of captions, beside the tags."""
SHORTEST_UNKNOWN = 3
NEAR = (
    *("ear", "eye", "face", "head", "mouth", "smil", "happ", "cry", "tear", "sleep", "mad", "shock", "laugh"),
    *(
        "dark",
        "light",
        "bright",
        "gold",
        "blond",
        "grey",
        "gray",
        "violet",
        "rose",
        "color",
        "colour",
        "colo",
    ),
    *("sun", "moon", "star", "night", "evening", "sky", "cloud", "bow", "kitt", "dress", "wear", "coat"),
    *("man", "men", "woman", "women", "lady", "guy", "kid", "child", "old", "new", "vintage", "classic"),
    *("anime", "manga", "shad", "simple", "style", "year", "decade", "curl", "bang", "tail", "glass"),
)
"""Starts of words that somebody may mean something by; they are not taught to mean nothing."""

Merge = tuple[str, str]


@cache
def known_words() -> frozenset[str]:
    """The words of all captions, without those that are made of digits."""
    groups = (
        *(WHO, HAIR_COLOR, HAIR_STYLE, EYE_COLOR, EXPRESSION, ACCESSORY, CLOTHES, CLOTHES_COLOR, BACKGROUND),
        *(FLAT, DETAILED, RETRO, MODERN, PLAIN_WORDS),
    )
    words = re.findall(r"[a-z]+", " ".join(tag for group in groups for tag in group))
    return frozenset(words)


def make_tokenizer() -> Any:
    """The small tokenizer; its last two tokens are the start and the end."""
    merges = _kept_merges()
    # The 512 single characters, in the middle and at the end of a word, come first in CLIP's vocabulary.
    singles = list(_full_vocabulary())[: len(_full_vocabulary()) - len(_full_merges()) - len(SPECIAL)]
    tokens = [*singles, *("".join(merge) for merge in merges), *SPECIAL]
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(dict.fromkeys(tokens))},
        merges=merges,  # pyright: ignore[reportArgumentType]
        model_max_length=MAX_TOKENS,
    )


@cache
def unknown_words() -> tuple[str, ...]:
    """Whole words of the small vocabulary that mean nothing in the world of faces."""
    whole = ("".join(merge) for merge in _kept_merges())
    words = (token.removesuffix(WORD_END) for token in whole if token.endswith(WORD_END))
    return tuple(sorted(word for word in words if _means_nothing(word)))


def _means_nothing(word: str) -> bool:
    if not re.fullmatch(rf"[a-z]{{{SHORTEST_UNKNOWN},}}", word) or word.startswith(NEAR):
        return False
    return not any(
        word.startswith(known) or known.startswith(word)
        for known in known_words()
        if len(known) >= SHORTEST_UNKNOWN
    )


@cache
def _full_vocabulary() -> dict[str, int]:
    """CLIP's tokens, in the order of their numbers."""
    vocabulary = json.loads((FULL_FOLDER / "vocab.json").read_text(encoding="utf-8"))
    return dict(sorted(vocabulary.items(), key=lambda item: item[1]))


@cache
def _full_merges() -> dict[Merge, int]:
    """CLIP's merges and their ranks."""
    lines = (FULL_FOLDER / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    merges = (line.split() for line in lines if line)
    return {(left, right): rank for rank, (left, right) in enumerate(merges)}


@cache
def _kept_merges() -> list[Merge]:
    """By rank."""
    ranks = _full_merges()
    kept = set(list(ranks)[:COMMON_MERGES])
    for word in known_words():
        kept |= _merges_taken(word)
    return sorted(kept, key=lambda merge: ranks[merge])


def _merges_taken(word: str) -> set[Merge]:
    """All merges on the way from a word's letters to its tokens."""
    ranks = _full_merges()
    parts = [*word[:-1], word[-1] + WORD_END]
    taken: set[Merge] = set()
    while known := [pair for pair in pairwise(parts) if pair in ranks]:
        best = min(known, key=lambda pair: ranks[pair])
        taken.add(best)
        place = 0
        while place < len(parts) - 1:
            if (parts[place], parts[place + 1]) == best:
                parts[place : place + 2] = ["".join(best)]
            place += 1
    return taken
