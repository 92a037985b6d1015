"""Step 3 of a request's life: a term of the rules as `matching` looks for it, in every spelling it can have.

Runs in the bot process, once for the rules that ship and once for each list of a host or a server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from bot.safety.folding import MASK, skeleton, undoubled

Category = Literal[
    "sexual", "suggestive", "minor", "youthful", "person", "human", "adult", "clothing", "garment", "safe",
    "excuse", "benign", "named", "disclaimer", "blocked", "allowed",
]  # fmt: skip

EXACT: frozenset[Category] = frozenset({"benign", "named", "disclaimer", "excuse", "allowed"})
"""What speaks for a text, and is believed only if it is spelled out."""

HIDDEN: frozenset[Category] = frozenset({"sexual", "minor"})
"""What people write backwards or with a letter left out."""

MASKED = HIDDEN | {"blocked"}
"""What people write with a letter left out. A host's or a server's `dog` is no `god`."""

MIN_HIDDEN, MAX_MASKED = 3, 12
SHORT_KANA = 3
"""Kana words up to this length occur within other words: they count at the beginning of a word only.

Those of a group that says `follows` count behind a particle or an ending as well.
"""


class Term(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A word or a phrase of the rules."""

    category: Category
    spelling: str
    """Folded, without gaps."""
    group: int = 0
    """Which of the rules' groups it is from."""
    is_root: bool = False
    """Whether longer words that have it in them count too."""
    is_conditional: bool = False
    """Whether it counts only beside an excuse of its group."""
    follows: bool = False
    """Whether, short and in kana, it also counts behind a particle or an ending."""


class Pattern(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One of a term's skeletons."""

    term: Term
    breaks: frozenset[int]
    """Where the words of a phrase meet."""
    is_whole: bool
    """Whether it counts only where pieces begin and end; Japanese and Chinese have no gaps between words."""
    is_start: bool = False
    """Whether it counts only where a word in kana begins."""
    is_backward: bool = False
    is_joined: bool = False
    """Whether it is a phrase as one word."""
    words: frozenset[str] = frozenset()


Patterns = dict[str, list[Pattern]]
"""By skeleton."""


def patterns_of(terms: Iterable[Term]) -> tuple[Patterns, Patterns]:
    """What terms look like; apart from it, what they look like with letters hidden behind masks."""
    plain: defaultdict[str, list[Pattern]] = defaultdict(list)
    masked: defaultdict[str, list[Pattern]] = defaultdict(list)
    for term in terms:
        words = term.spelling.split(" ")
        spellings = _spellings(words)
        for letters, pattern in _plain(term, words, spellings):
            plain[letters].append(pattern)
        for letters, pattern in _masked(term, words, spellings):
            masked[letters].append(pattern)
    return plain, masked


def _plain(
    term: Term, words: list[str], spellings: dict[str, frozenset[int]]
) -> Iterator[tuple[str, Pattern]]:
    joined = "".join(words)
    known = msgspec.structs.replace(term, spelling=joined)
    for letters, breaks in spellings.items():
        yield (
            letters,
            Pattern(
                term=known,
                breaks=breaks,
                is_whole=_is_whole(joined),
                is_start=len(joined) <= SHORT_KANA and all("ぁ" <= char <= "ヿ" for char in joined),
                is_joined=len(words) > 1 and not breaks,
                words=frozenset(words),
            ),
        )
    letters = next(iter(spellings))
    backward = letters[::-1]
    may_be_backward = (
        term.category in HIDDEN and joined.isascii() and min(len(joined), len(letters)) >= MIN_HIDDEN
    )
    if may_be_backward and backward not in spellings:
        yield (
            backward,
            Pattern(
                term=known,
                breaks=frozenset(),
                is_whole=True,
                is_backward=True,
                words=frozenset(words),
            ),
        )


def _masked(
    term: Term, words: list[str], spellings: dict[str, frozenset[int]]
) -> Iterator[tuple[str, Pattern]]:
    joined = "".join(words)
    if term.category not in MASKED or len(joined) < MIN_HIDDEN:
        return
    letters, breaks = next(iter(spellings.items()))
    pattern = Pattern(
        term=msgspec.structs.replace(term, spelling=joined),
        breaks=breaks,
        is_whole=_is_whole(joined),
        words=frozenset(words),
    )
    for hidden in _masks(letters):
        yield hidden, pattern


def _is_whole(joined: str) -> bool:
    return joined.isascii() or not any(_is_unspaced(char) for char in joined)


def _is_unspaced(char: str) -> bool:
    """Whether it is of a script that is written without gaps."""
    return "\u3041" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff"


def _spellings(words: list[str]) -> dict[str, frozenset[int]]:
    """The skeletons of a phrase, and where its words meet in each.

    A doubled letter stays two where a gap splits it (`bo ob`), and becomes one where two words meet without.
    """
    folded = [skeleton(word) for word in words]
    variants = [folded]
    for index, word in enumerate(words):
        if undoubled(word) != folded[index]:
            variants.append([*folded[:index], undoubled(word), *folded[index + 1 :]])
    found: dict[str, frozenset[int]] = {}
    for parts in variants:
        breaks, place = set[int](), 0
        for part in parts[:-1]:
            place += len(part)
            breaks.add(place)
        found.setdefault("".join(parts), frozenset(breaks))
    if len(words) > 1:
        found.setdefault(skeleton("".join(words)), frozenset())
    return found


def _masks(letters: str) -> set[str]:
    """The word with one letter hidden, all its vowels, or all but the first and the last."""
    if not MIN_HIDDEN <= len(letters) <= MAX_MASKED:
        return set()
    inner = range(1, len(letters) - 1)
    found = {letters[:index] + MASK + letters[index + 1 :] for index in inner}
    found.add(letters[0] + "".join(MASK if char in "aeiou" else char for char in letters[1:-1]) + letters[-1])
    found.add(letters[0] + MASK * (len(letters) - 2) + letters[-1])
    return {word for word in found if MASK in word}
