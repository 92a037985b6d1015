"""Step 3 of a request's life: where the words of the rules are in a text, however it is written.

Runs in the bot process. One pass of an Aho-Corasick automaton over a `Reading` finds every place whose skeleton
is that of a term; then each place is looked at again. It counts if it is the term as spelled, or if it is no
ordinary word that only looks like it: `b00b` counts, `bob` does not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ahocorasick_rs import AhoCorasick

from bot.safety.folding import GLUE, HARD, MASK, Reading, fold, read, skeleton, undoubled

Category = Literal[
    "sexual", "suggestive", "minor", "youthful", "person", "human", "adult", "clothing", "garment", "safe",
    "excuse", "benign", "disclaimer", "blocked", "allowed",
]  # fmt: skip

EXACT: frozenset[Category] = frozenset({"benign", "disclaimer", "excuse", "allowed"})
"""What speaks for a text, and is believed only if it is spelled out."""

HIDDEN: frozenset[Category] = frozenset({"sexual", "minor"})
"""What people write backwards or with a letter left out."""

MIN_HIDDEN, MAX_MASKED = 4, 12
SHORT_KANA = 3
"""Kana words up to this length occur within other words: they count at the beginning of a word only."""


@dataclass(frozen=True, kw_only=True)
class Term:
    """A word or a phrase of the rules."""

    category: Category
    spelling: str
    """Folded, without gaps."""
    group: int = 0
    """Which of the rules' groups it is from."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A term at a place of a reading."""

    term: Term
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class _Pattern:
    term: Term
    breaks: frozenset[int]
    """Where the words of a phrase meet."""
    is_whole: bool
    """Whether it counts only where pieces begin and end; Japanese and Chinese have no gaps between words."""
    is_start: bool = True
    is_backward: bool = False


class Lexicon:
    """Terms, compiled."""

    def __init__(self, terms: Iterable[Term], ordinary: Collection[str] = ()) -> None:
        self._ordinary = frozenset(ordinary)
        plain: defaultdict[str, list[_Pattern]] = defaultdict(list)
        masked: defaultdict[str, list[_Pattern]] = defaultdict(list)
        for term, words in ((term, term.spelling.split(" ")) for term in terms):
            _add(plain, masked, term, words)
        self._plain = _Automaton(plain)
        self._masked = _Automaton(masked)

    def find(self, reading: Reading) -> Iterator[Found]:
        """Every term in a text, at each of its places."""
        yield from self._plain.find(reading, self._ordinary)
        if MASK in reading.letters:
            yield from self._masked.find(reading, self._ordinary)
            yield from self._without_masks(reading)

    def _without_masks(self, reading: Reading) -> Iterator[Found]:
        """Stars within words may also be emphasis (`nu**de`). These places lie behind those of the text."""
        beyond = len(reading.letters)
        for found in self._plain.find(read(reading.folded.replace(MASK, "")), self._ordinary):
            if found.term.category not in EXACT:
                yield Found(term=found.term, start=beyond + found.start, end=beyond + found.end)


def _add(
    plain: dict[str, list[_Pattern]], masked: dict[str, list[_Pattern]], term: Term, words: list[str]
) -> None:
    joined = "".join(words)
    known = Term(category=term.category, spelling=joined, group=term.group)
    is_whole = joined.isascii() or not any(_is_unspaced(char) for char in joined)
    is_start = len(joined) <= SHORT_KANA and all("ぁ" <= char <= "ヿ" for char in joined)
    spellings = _spellings(words)
    for letters, breaks in spellings.items():
        plain[letters].append(
            _Pattern(term=known, breaks=breaks, is_whole=is_whole, is_start=is_whole or is_start)
        )
    if term.category in HIDDEN and len(joined) >= MIN_HIDDEN - 1:
        letters, breaks = next(iter(spellings.items()))
        for hidden in _masks(letters):
            masked[hidden].append(_Pattern(term=known, breaks=breaks, is_whole=is_whole, is_start=is_whole))
        backward = letters[::-1]
        if joined.isascii() and len(words) == 1 and len(letters) >= MIN_HIDDEN and backward not in spellings:
            plain[backward].append(_Pattern(term=known, breaks=frozenset(), is_whole=True, is_backward=True))


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
    found.setdefault(skeleton("".join(words)), frozenset())
    return found


def _masks(letters: str) -> set[str]:
    """The word with one letter hidden, all its vowels, or all but the first and the last."""
    if not 3 <= len(letters) <= MAX_MASKED:
        return set()
    inner = range(1, len(letters) - 1)
    found = {letters[:index] + MASK + letters[index + 1 :] for index in inner}
    found.add(letters[0] + "".join(MASK if char in "aeiou" else char for char in letters[1:-1]) + letters[-1])
    found.add(letters[0] + MASK * (len(letters) - 2) + letters[-1])
    return {word for word in found if MASK in word}


class _Automaton:
    def __init__(self, patterns: dict[str, list[_Pattern]]) -> None:
        self._patterns = list(patterns.values())
        self._search = AhoCorasick(list(patterns)) if patterns else None

    def find(self, reading: Reading, ordinary: frozenset[str]) -> Iterator[Found]:
        if self._search is None:
            return
        piece_at = {place: index for index, place in enumerate(reading.starts)}
        halves = _Halves()
        for number, start, end in self._search.find_matches_as_indexes(reading.letters, overlapping=True):
            first, last = piece_at.get(start), piece_at.get(end)
            for pattern in self._patterns[number]:
                if first is not None and last is not None:
                    accepted = _is_meant(pattern, reading, first, last, ordinary)
                else:
                    accepted = not pattern.is_whole and _is_within(pattern, reading, start, end, first)
                    halves.note(pattern, start, end, first, last)
                if accepted:
                    yield Found(term=pattern.term, start=start, end=end)
        yield from halves.join(reading, piece_at, ordinary)


class _Halves:
    """Terms that begin or end a piece without filling it: two of them may fill it together."""

    def __init__(self) -> None:
        self._opening: dict[int, tuple[int, _Pattern]] = {}
        self._closing: dict[int, tuple[int, _Pattern]] = {}

    def note(self, pattern: _Pattern, start: int, end: int, first: int | None, last: int | None) -> None:
        if end - start < 3 or pattern.is_backward or pattern.term.category in EXACT or not pattern.is_whole:
            return
        if first is not None:
            self._opening[end] = (start, pattern)
        elif last is not None:
            self._closing[start] = (end, pattern)

    def join(self, reading: Reading, piece_at: dict[int, int], ordinary: frozenset[str]) -> Iterator[Found]:
        for place in self._opening.keys() & self._closing.keys():
            (start, before), (end, after) = self._opening[place], self._closing[place]
            piece = piece_at[start]
            if piece + 1 == piece_at[end] and reading.pieces[piece] not in ordinary:
                yield Found(term=before.term, start=start, end=place)
                yield Found(term=after.term, start=place, end=end)


def _is_within(pattern: _Pattern, reading: Reading, start: int, end: int, first: int | None) -> bool:
    """Whether a word of a script without gaps counts inside a piece, or over the edges of scripts."""
    if pattern.is_start and first is None:
        return False
    inner = range(_piece_after(reading, start), _piece_after(reading, end - 1))
    return all(reading.gaps[index] == GLUE for index in inner)


def _piece_after(reading: Reading, place: int) -> int:
    return bisect_right(reading.starts, place)


def _is_meant(pattern: _Pattern, reading: Reading, first: int, last: int, ordinary: frozenset[str]) -> bool:
    """Whether the pieces from `first` to before `last` are the term, and not other words that look like it."""
    pieces = reading.pieces[first:last]
    joined, spelling = "".join(pieces), pattern.term.spelling
    if joined == spelling and not pattern.is_backward and _is_unsplit(pattern, reading, first, last):
        return True
    is_short = pattern.is_whole and len(spelling) < 3
    if pattern.term.category in EXACT or is_short or not any(map(str.isalpha, pieces)):
        return False
    if pattern.is_backward:
        return joined.isascii() and joined.isalpha() and joined not in ordinary and _is_run(pieces)
    if joined in ordinary and len(pieces) == 1:
        return False
    return all(_is_split_word(word, ordinary) for word in _words(pattern, reading, first, last))


def _is_run(pieces: tuple[str, ...]) -> bool:
    return len(pieces) == 1 or all(len(piece) == 1 for piece in pieces)


def _is_unsplit(pattern: _Pattern, reading: Reading, first: int, last: int) -> bool:
    start = reading.starts[first]
    return all(reading.starts[index] - start in pattern.breaks for index in range(first + 1, last))


def _words(pattern: _Pattern, reading: Reading, first: int, last: int) -> Iterator[list[tuple[str, str]]]:
    """The pieces of each word of a phrase, with the gaps before them."""
    start = reading.starts[first]
    word = [(reading.pieces[first], HARD)]
    for index in range(first + 1, last):
        if reading.starts[index] - start in pattern.breaks:
            yield word
            word = []
        word.append((reading.pieces[index], reading.gaps[index]))
    yield word


def _is_split_word(word: list[tuple[str, str]], ordinary: frozenset[str]) -> bool:
    """Whether pieces are one word that was split, and not several that stand side by side."""
    if all(gap != HARD for _, gap in word[1:]):
        return True
    pieces = [piece for piece, _ in word]
    letters = "".join(pieces)
    if not letters.isascii():
        return True
    if all(len(piece) == 1 for piece in pieces):
        return len(pieces) >= 3
    if not letters.isalpha() or len(letters) <= 3:
        return False
    if len(pieces) == 2:
        return " ".join(pieces) not in ordinary
    return len(letters) < 2.5 * len(pieces)


def folded_words(text: str) -> str:
    """A term as the rules have it: folded, with one gap between words."""
    return " ".join(read(fold(text)).pieces) if text.isascii() else " ".join(fold(text).split())
