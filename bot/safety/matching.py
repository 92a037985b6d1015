"""Step 3 of a request's life: where the words of the rules are in a text, however it is written.

Runs in the bot process. One pass of an Aho-Corasick automaton over a `Reading` finds every place whose
skeleton is that of a term; then each place is looked at again. It counts if it is the term as spelled, or if
it is no ordinary word that only looks like it: `b00b` counts, `bob` does not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator

import msgspec
from ahocorasick_rs import AhoCorasick

from bot.safety.folding import COMMA, GLUE, HARD, MASK, TIGHT, Reading
from bot.safety.patterns import EXACT, Pattern, Patterns, Term, patterns_of

MIN_HALF = 3
"""Letters of a term that may fill a word together with another."""

ENDINGS = "のながはをにでもたるいと"
"""Hiragana that end a word, or follow one: after them another may begin."""
NO_ENDINGS = ("のい", "はい", "をい", "にい", "とい", "でい", "のと", "がと", "はと", "をと", "にと", "でと")
"""With a particle before them they begin the next word: いろり and とろり are words of their own."""


class Found(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A term at a place of a reading."""

    term: Term
    start: int
    end: int


class Lexicon:
    """Terms, compiled."""

    def __init__(self, terms: Iterable[Term], ordinary: Collection[str] = ()) -> None:
        terms = list(terms)
        # A term as spelled is itself only, and no other one backwards or misspelled.
        self._ordinary = frozenset(ordinary) | {term.spelling for term in terms}
        plain, masked = patterns_of(terms)
        self._plain = _Automaton(plain)
        self._masked = _Automaton(masked)

    def find(self, reading: Reading) -> Iterator[Found]:
        """Every term in a text, at each of its places."""
        yield from self._plain.find(reading, self._ordinary)
        if MASK in reading.letters and not self._plain.is_empty:
            yield from self._masked.find(reading, self._ordinary)


class _Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What shares a skeleton, sorted by where in a word it can count."""

    patterns: tuple[Pattern, ...]
    within: tuple[Pattern, ...]
    """Those that count where a piece does not end, or does not begin."""
    inside: tuple[Pattern, ...]
    """Those that count where it does neither."""
    half: Pattern | None
    """One that can fill a piece together with another."""


def _entry(letters: str, patterns: list[Pattern]) -> _Entry:
    within = tuple(each for each in patterns if not each.is_whole or _is_found_in_words(each))
    halves = [each for each in patterns if _is_half(each)] if len(letters) >= MIN_HALF else []
    return _Entry(
        patterns=tuple(patterns),
        within=within,
        inside=tuple(each for each in within if not each.is_start or each.term.follows),
        half=halves[-1] if halves else None,
    )


def _is_found_in_words(pattern: Pattern) -> bool:
    return pattern.term.is_root and not pattern.is_backward


def _is_half(pattern: Pattern) -> bool:
    return pattern.is_whole and not pattern.is_backward and pattern.term.category not in EXACT


class _Automaton:
    def __init__(self, patterns: Patterns) -> None:
        self._entries = [_entry(letters, sharing) for letters, sharing in patterns.items()]
        self._search = AhoCorasick(list(patterns)) if patterns else None
        self.is_empty = not patterns

    def find(self, reading: Reading, ordinary: frozenset[str]) -> Iterator[Found]:
        if self._search is None:
            return
        piece_at = dict(zip(reading.starts, range(len(reading.starts)), strict=True))
        halves, known = _Halves(), _Known(reading, ordinary)
        for number, start, end in self._search.find_matches_as_indexes(reading.letters, overlapping=True):
            first, last = piece_at.get(start), piece_at.get(end)
            entry = self._entries[number]
            if first is not None and last is not None:
                for term in known.meant(number, entry.patterns, first, last):
                    yield Found(term=term, start=start, end=end)
                continue
            if first is not None or last is not None:
                halves.note(entry.half, start, end, is_opening=first is not None)
            for pattern in entry.inside if first is None else entry.within:
                if _is_within(pattern, reading, start, end, first):
                    yield Found(term=pattern.term, start=start, end=end)
        yield from halves.join(reading, piece_at, ordinary)


class _Known:
    """What was decided of pieces: a word that is said a hundred times is looked at once."""

    def __init__(self, reading: Reading, ordinary: frozenset[str]) -> None:
        self._reading, self._ordinary = reading, ordinary
        self._decided: dict[tuple[int, tuple[str, ...], tuple[str, ...]], list[Term]] = {}

    def meant(self, number: int, patterns: Iterable[Pattern], first: int, last: int) -> list[Term]:
        """The terms of an entry's patterns that the pieces from `first` to before `last` are."""
        reading = self._reading
        key = (number, reading.pieces[first:last], reading.gaps[first + 1 : last])
        decided = self._decided.get(key)
        if decided is None:
            decided = [
                pattern.term
                for pattern in patterns
                if _is_meant(pattern, reading, first, last, self._ordinary)
            ]
            self._decided[key] = decided
        return decided


class _Halves:
    """Terms that begin or end a piece without filling it: two of them may fill it together."""

    def __init__(self) -> None:
        self._opening: dict[int, tuple[int, Pattern]] = {}
        self._closing: dict[int, tuple[int, Pattern]] = {}

    def note(self, pattern: Pattern | None, start: int, end: int, *, is_opening: bool) -> None:
        if pattern is None:
            return
        if is_opening:
            self._opening[end] = (start, pattern)
        else:
            self._closing[start] = (end, pattern)

    def join(self, reading: Reading, piece_at: dict[int, int], ordinary: frozenset[str]) -> Iterator[Found]:
        for place in self._opening.keys() & self._closing.keys():
            (start, before), (end, after) = self._opening[place], self._closing[place]
            piece = piece_at[start]
            if piece + 1 == piece_at[end] and reading.pieces[piece] not in ordinary:
                yield Found(term=before.term, start=start, end=place)
                yield Found(term=after.term, start=place, end=end)


def _is_within(pattern: Pattern, reading: Reading, start: int, end: int, first: int | None) -> bool:
    """Whether a root counts inside a piece, or a word of a script without gaps over the edges of scripts."""
    if pattern.is_whole:
        piece = reading.pieces[_piece_after(reading, start) - 1]
        return pattern.term.spelling in piece
    if pattern.is_start and not _is_word_start(pattern, reading, start, first):
        return False
    inner = range(_piece_after(reading, start), _piece_after(reading, end - 1))
    return all(reading.gaps[index] == GLUE for index in inner)


def _is_word_start(pattern: Pattern, reading: Reading, start: int, first: int | None) -> bool:
    """Whether a short word in kana begins here, as far as can be told without gaps."""
    if first is None:
        return _is_behind_ending(reading, start)
    return pattern.term.follows or not _is_particle(reading, first)


def _is_behind_ending(reading: Reading, start: int) -> bool:
    """Whether a place within a piece is behind a particle or an ending, which something has to be before."""
    piece = _piece_after(reading, start) - 1
    is_hiragana = "ぁ" <= reading.pieces[piece][0] <= "ゟ"
    if not is_hiragana or reading.letters[start - 1] not in ENDINGS:
        return False
    if reading.starts[piece] == start - 1:
        return reading.gaps[piece] == GLUE
    return reading.letters[start - 2 : start] not in NO_ENDINGS


def _is_particle(reading: Reading, index: int) -> bool:
    """Whether hiragana go on from a word in other letters: 空がきれい has が in it, not ガキ."""
    return reading.gaps[index] == GLUE and "ぁ" <= reading.pieces[index][0] <= "ゟ"


def _piece_after(reading: Reading, place: int) -> int:
    return bisect_right(reading.starts, place)


def _is_meant(pattern: Pattern, reading: Reading, first: int, last: int, ordinary: frozenset[str]) -> bool:
    """Whether the pieces from `first` to before `last` are the term, and no other words like it."""
    pieces = reading.pieces[first:last]
    joined, spelling = "".join(pieces), pattern.term.spelling
    if _is_over_tags(pattern, reading, first, last):
        return False
    if pattern.is_start and last - first > 1 and len(pieces[0]) == 1 and _is_particle(reading, first):
        return False
    if joined == spelling and not pattern.is_backward and _is_unsplit(pattern, reading, first, last):
        gaps = [gap for gap in reading.gaps[first + 1 : last] if gap != GLUE]
        return pattern.term.category not in EXACT or len(gaps) == len(pattern.breaks)
    is_short = pattern.is_whole and len(spelling) < 3
    if pattern.term.category in EXACT or is_short or not any(map(str.isalpha, pieces)):
        return False
    if pattern.is_backward:
        return (
            joined.isascii()
            and joined.isalpha()
            and joined not in ordinary
            and _is_run(pieces, len(pattern.words))
        )
    if pattern.is_joined and len(pieces) > 1:
        return False
    return all(_is_disguised(word, pattern.words, ordinary) for word in _words(pattern, reading, first, last))


def _is_run(pieces: tuple[str, ...], words: int) -> bool:
    return len(pieces) in (1, words) or all(len(piece) == 1 for piece in pieces)


def _is_over_tags(pattern: Pattern, reading: Reading, first: int, last: int) -> bool:
    """Whether a phrase is over several tags: "arms up, skirt". A "young, girl" is one all the same."""
    start = reading.starts[first]
    return pattern.term.category not in ("minor", "youthful", "blocked") and any(
        reading.gaps[index] == COMMA and reading.starts[index] - start in pattern.breaks
        for index in range(first + 1, last)
    )


def _is_unsplit(pattern: Pattern, reading: Reading, first: int, last: int) -> bool:
    """Whether pieces meet only where words do, or without a gap, as kanji and kana do."""
    start = reading.starts[first]
    return all(
        reading.gaps[index] == GLUE or reading.starts[index] - start in pattern.breaks
        for index in range(first + 1, last)
    )


def _words(pattern: Pattern, reading: Reading, first: int, last: int) -> Iterator[list[tuple[str, str]]]:
    """The pieces of each word of a phrase, with the gaps before them."""
    start = reading.starts[first]
    word = [(reading.pieces[first], HARD)]
    for index in range(first + 1, last):
        if reading.starts[index] - start in pattern.breaks:
            yield word
            word = []
        word.append((reading.pieces[index], reading.gaps[index]))
    yield word


def _is_disguised(word: list[tuple[str, str]], spelled: frozenset[str], ordinary: frozenset[str]) -> bool:
    """Whether pieces are one word of a term, misspelled or split, and no ordinary words instead."""
    pieces = [piece for piece, _ in word]
    letters = "".join(pieces)
    if len(pieces) == 1:
        return letters in spelled or letters not in ordinary
    if all(gap in (TIGHT, GLUE) for _, gap in word[1:]) or not letters.isascii():
        return True
    if all(len(piece) == 1 for piece in pieces):
        return len(pieces) >= 3
    if any(gap == COMMA for _, gap in word[1:]):
        return False
    if not letters.isalpha() or len(letters) <= 3:
        return False
    return " ".join(pieces) not in ordinary if len(pieces) == 2 else len(letters) < 2.5 * len(pieces)
