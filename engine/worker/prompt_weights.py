"""What a member typed becomes words with weights: CLIP's own cleaning first, then the weights' syntax.

Runs in the worker, before the text encoder; no torch here. No text is an error: what is no weight is words.

| Written | Weight |
|---|---|
| `(words)` | × 1.1 (AUTOMATIC1111's web UI) |
| `{words}` | × 1.1 (TrinArt) |
| `[words]` | ÷ 1.1 (AUTOMATIC1111's web UI; TrinArt's service has × 0.9) |
| `(words:1.2)` | × 1.2 (AUTOMATIC1111's web UI) |
| `(words：1.2)` | the same: a Japanese input method writes this colon, and these digits: １．２ |
| `words::1.5` | × 1.5 for the words since the last comma or `::` weight (TrinArt, without the comma) |

A backslash makes words of a bracket, a colon or a comma that follows it.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import ftfy

MAX_WEIGHT = 3.0
"""A larger number is words, and nested weights multiply up to here."""

STEP = 1.1
FACTORS = {"(": STEP, "{": STEP, "[": 1 / STEP}
OPENERS = {")": "(", "}": "{", "]": "["}

_NUMBER = r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"

# A number that goes on, as in `a::1.21.5`, `fe80::1:2` or `std::2nd`, is none. Japanese may follow at once.
_MARK = re.compile(
    rf"""(?P<escaped>\\[()\[\]{{}}\\:,，、])
    |(?P<term_weight>::{_NUMBER}(?!\.?[0-9A-Za-z_:]))
    |(?P<group_weight>:\s*{_NUMBER}\s*(?=\)))
    |(?P<open>[(\[{{])
    |(?P<close>[)\]}}])
    |(?P<comma>[,，、])
    |(?P<words>[^\\()\[\]{{}}:,，、]+|[\\:])""",
    re.VERBOSE,
)

_SPECIAL_TOKEN = re.compile(r"<\|(?:startoftext|endoftext)\|>")

# CLIP's cleaning makes half-width characters of full-width ones, which is right for the words, but would make
# weights of the brackets of Japanese prose. These keep their places, in a range that is nobody's, meanwhile.
_FULL_WIDTH, _HALF_WIDTH = "（）［］｛｝：＼", r"()[]{}:" + "\\"
_PLACES = "".join(chr(0x10FF00 + index) for index in range(len(_FULL_WIDTH)))
_TO_PLACES = str.maketrans(_FULL_WIDTH, _PLACES)
_FROM_PLACES = str.maketrans(_PLACES, _HALF_WIDTH)

# Where a weight ends and its half-width bracket follows, no prose would have a colon.
_WIDE_WEIGHT = re.compile(r"(?<![:：])：(?=\s*[0-9０-９.．]+\s*\))")


class Fragment(NamedTuple):
    """Words in a row that have one weight."""

    text: str
    weight: float


@dataclass(eq=False)
class _Mark:
    """A piece of a prompt. `text` is what it adds to the words; a group's factors start at its first mark."""

    kind: str
    text: str
    factors: list[float] = field(default_factory=list[float])
    closes: bool = False

    @property
    def number(self) -> float:
        return float(self.text.strip(": "))


@dataclass(eq=False)
class _Term:
    """Where the words begin that a `::` weight would reach."""

    start: int
    has_words: bool = False


def read_prompt(text: str) -> list[Fragment]:
    """Clean and parse. No fragment contains one of CLIP's special tokens, however it was written.

    Typed out, those would end a prompt in its middle. No syntax is part of them, so none spans two fragments;
    the space in their place keeps one from forming of what was around another.
    """
    text = _WIDE_WEIGHT.sub(":", text).translate(_TO_PLACES)
    fragments = parse(clean(text))
    return [
        Fragment(_SPECIAL_TOKEN.sub(" ", fragment.text.translate(_FROM_PLACES)), fragment.weight)
        for fragment in fragments
    ]


def clean(text: str) -> str:
    """What CLIP's texts went through in training, and transformers' tokenizer only does in part.

    `basic_clean`, `whitespace_clean` and lower case of OpenAI's simple_tokenizer.py: repairs mojibake, makes
    full-width letters and curly quotes plain, resolves HTML entities.
    """
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


def escape(text: str) -> str:
    """The text with a backslash before everything that could be syntax: parsed, it is itself, at weight 1."""
    return re.sub(r"[()\[\]{}\\:,，、]", r"\\\g<0>", text)


def parse(text: str) -> list[Fragment]:
    """Words and their weights, in the order of the text; any text has a meaning. Takes linear time."""
    marks = _scan(text)
    _pair_brackets(marks)
    _weigh_terms(marks)
    fragments: list[Fragment] = []
    weights, words = [1.0], ""
    for mark in [*marks, _Mark("end", "", closes=True)]:
        if words and (mark.factors or mark.closes):
            fragments.append(Fragment(words, weights[-1]))
            words = ""
        for factor in mark.factors:
            weights.append(min(weights[-1] * factor, MAX_WEIGHT))
        if mark.closes:
            weights.pop()
        words += mark.text
    return fragments


def _scan(text: str) -> list[_Mark]:
    marks: list[_Mark] = []
    for match in _MARK.finditer(text):
        mark = _Mark(str(match.lastgroup), match[0])
        if mark.kind == "escaped":
            mark = _Mark("words", mark.text[1:])
        elif mark.kind.endswith("_weight") and mark.number > MAX_WEIGHT:
            mark.kind = "words"  # a time, a ratio, a verse: (12:30), (16:9)
        marks.append(mark)
    return marks


def _pair_brackets(marks: list[_Mark]) -> None:
    """Make groups of the brackets that belong together; the others, and empty pairs, stay words.

    AUTOMATIC1111's web UI closes what is open at the end. Here a forgotten bracket, or a `:(`, would weight
    whatever a preset adds.
    """
    opened: list[int] = []
    waiting = Counter[str]()
    for index, mark in enumerate(marks):
        if mark.kind == "open":
            opened.append(index)
            waiting[mark.text] += 1
        elif mark.kind == "close" and waiting[OPENERS[mark.text]]:
            while True:  # in `([)` the square one is words
                start = opened.pop()
                waiting[marks[start].text] -= 1
                if marks[start].text == OPENERS[mark.text]:
                    break
            _group(marks, start, index)


def _group(marks: list[_Mark], start: int, end: int) -> None:
    opener, last, closer = marks[start], marks[end - 1], marks[end]
    # The lookahead of a group's weight sees `)`: the bracket is a round one.
    weighted = last.kind == "group_weight"
    if end - start - weighted < 2:
        return
    opener.factors = [last.number if weighted else FACTORS[opener.text]]
    closer.closes = True
    opener.text = closer.text = ""
    if weighted:
        last.text = ""


def _weigh_terms(marks: list[_Mark]) -> None:
    """Make a group of the words before each `::` weight, within the brackets that it stands in."""
    terms = [_Term(0)]
    for index, mark in enumerate(marks):
        if mark.factors:
            terms[-1].has_words = True
            terms.append(_Term(index + 1))
        elif mark.closes:
            terms.pop()
        elif mark.kind == "comma":
            terms[-1] = _Term(index + 1)
        elif mark.kind == "term_weight" and terms[-1].has_words:
            marks[terms[-1].start].factors.insert(0, mark.number)
            mark.text, mark.closes = "", True
            terms[-1] = _Term(index + 1)
        else:
            terms[-1].has_words |= bool(mark.text.strip())
