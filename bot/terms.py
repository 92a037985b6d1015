"""Terms of a prompt: the texts between its commas, joined without repeats, and which of them have a weight.

Step 2 of a request's life, for `bot/presets.py`: what a preset adds meets what the member typed.
"""

from __future__ import annotations

import re

CLOSERS = {"(": ")", "[": "]", "{": "}"}

_PIECE = re.compile(r"\\.|.", re.DOTALL)
_SYNTAX = re.compile(
    r"\\(?P<escaped>[()\[\]{}\\:：,，、])|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<comma>[,，、])"
    r"|(?P<term_weight>::[0-9.]+(?!\.?[0-9A-Za-z_:]))|(?P<group_weight>[:：]\s*[0-9０-９.．]+\s*(?=\)))"
    r"|(?P<words>[^\\()\[\]{}:：,，、]+|.)",
    re.DOTALL,
)


def join_terms(*parts: str) -> str:
    """Join comma-separated texts, leaving out terms that are there already, whatever their case."""
    terms: dict[str, str] = {}
    for part in parts:
        for term in _split_terms(part):
            terms.setdefault(_normal_term(term), term)
    return ", ".join(terms.values())


def give_way(text: str, own: str) -> str:
    """What a preset adds, without the terms that the member's own text has with a weight of its own.

    `bad hands` beside `(bad hands:1.5)` would be in the picture's conditions twice.
    """
    weighed = _Words(own).weighed
    if not weighed:
        return text
    return ", ".join(term for term in _split_terms(text) if not weighed.issuperset(_Words(term).all))


def _split_terms(text: str) -> list[str]:
    """Split at commas outside brackets: a weighted group `(a, b:1.2)` is one term, and so is `a\\, b`."""
    terms: list[str] = []
    depth, current = 0, ""
    for piece in _PIECE.findall(text):
        depth += (piece in "([{") - (piece in ")]}")
        if piece == "," and depth <= 0:
            terms.append(current)
            current = ""
        else:
            current += piece
    return [_closed(term.strip()) for term in [*terms, current] if term.strip()]


def _closed(term: str) -> str:
    """A backslash at the end would make words of the comma that comes to stand after it."""
    return term + "\\" * ((len(term) - len(term.rstrip("\\"))) % 2)


def _normal_term(term: str) -> str:
    return " ".join(term.split()).casefold()


class _Words:
    """The terms of a text without their weights, and those of them that have one.

    Reads the syntax of engine/worker/prompt_weights.py as far as that needs. A number that is too large for a
    weight is taken for one all the same: it was meant so.
    """

    def __init__(self, text: str) -> None:
        self.all: list[str] = []
        self.weighed: set[str] = set()
        self._start = 0  # of the terms that a `::` weight would reach
        self._closers = ""  # that open brackets wait for
        self._opened: list[tuple[int, int]] = []
        words = ""
        for mark in _SYNTAX.finditer(text):
            kind = str(mark.lastgroup)
            if kind in ("escaped", "words"):
                words += mark[kind]
            else:
                self._add(words)
                self._take(kind, mark[0])
                words = ""
        self._add(words)

    def _add(self, words: str) -> None:
        if term := _normal_term(words):
            self.all.append(term)

    def _take(self, kind: str, mark: str) -> None:
        if kind == "open":
            self._closers += CLOSERS[mark]
            self._opened.append((len(self.all), self._start))
        elif kind == "close":
            self._close(mark)
        elif kind == "term_weight":
            self.weighed.update(self.all[self._start :])
        if kind in ("open", "comma", "term_weight"):
            self._start = len(self.all)

    def _close(self, closer: str) -> None:
        at = self._closers.rfind(closer)  # in `([)` the square one is words
        if at >= 0:
            start, self._start = self._opened[at]
            self.weighed.update(self.all[start:])
            self._closers = self._closers[:at]
            del self._opened[at:]
