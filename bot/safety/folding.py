"""Step 3 of a request's life: one spelling for the many ways in which a word can be written.

Runs in the bot process. Three stages, each a fixed number of passes over the text, so that time grows with
its length only:

- `fold`: what a reader sees. Case, accents, invisible characters, look-alikes, fonts, width, HTML.
- `skeleton`: what a word is to somebody who reads past tricks. `l` and `i` are one letter, so are a letter
  and the digit that stands for it (`n00d`), doubled letters, hiragana and katakana.
- `read`: the skeleton with its gaps taken out, and where they were: words that are split can be found in it.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import accumulate

import msgspec

COMMA, HARD, TIGHT, GLUE = ",", " ", "\x02", "\x01"
"""Gaps: between tags; between words; marks within a word (`n.u`); where letters and digits meet (`n00d`).

The wider ones are the greater ones."""

MASK = "*"
"""A letter that is not told."""

_MAX_PASSES = 4
_ENTITY = re.compile(r"&(?:(?:amp|#0{0,8}38|#x0{0,8}26);?)+", re.IGNORECASE)
_TAG = re.compile(r"</?(?:[abisupq]|em|strong|br|p|span|div|sub|sup|font|small|big|mark|del|ins|tt|code)/?>")
_CAPITAL_I = re.compile(r"(?<=i)I|I(?=i)")  # beside another one it can only be meant as an l

WINDOWS = {code: char for code in range(0x80, 0xA0) if (char := bytes([code]).decode("cp1252", "ignore"))}
"""Control characters that are read as what Windows has in their places: the model is given them so."""

# Compatibility characters that become four or more; none is a way to write a word of the rules.
_LONG = re.compile("[\u321d\u321e\u3300-\u3357\ufdf0-\ufdfc]")
# Letters that show nothing, and the long vowel mark, which is drawn out at will.
_INVISIBLE = "\u115f\u1160\u2800\u3164\uffa0ー〜～\u3030"
_VOICED = "\u3099\u309a"
_HIDDEN = {"*": "○●◯〇◎■□★☆♡♥❤"}

# What folding leaves as it is: most of an ordinary text in English, Japanese or Chinese.
_STABLE = re.compile("[\0-%'-;=-@\\[-\x7f、-〆「-】ぁ-ゔァ-ヺ一-鿿]*")

_FAR = re.compile("[\U00010000-\U0010ffff]+")

_KATAKANA = {code: code - 0x60 for code in range(0x30A1, 0x30F7)}
_SMALL_KANA = str.maketrans("ぁぃぅぇぉゃゅょっゎ", "あいうえおやゆよつわ")
_LEET = str.maketrans("0123456789@$!|+", "oizeasgtbgasiit")


def _skeletons() -> list[int]:
    """What each character is in a skeleton. A list is faster than a dictionary that most are not in."""
    table = list(range(0xA000))
    small_katakana = {code + 0x60: folded for code, folded in _SMALL_KANA.items()}
    for code, folded in {**_KATAKANA, **_SMALL_KANA, **small_katakana, **_LEET, ord("l"): ord("i")}.items():
        table[code] = folded
    return table


_SKELETON = _skeletons()

_WEIGHT = re.compile(r"::?\s*(?:\d{1,3}\.\d{1,6}|\.\d{1,6}|\d(?=\s*[)\]}>]))|(?<=:):\s*\d")
_APOSTROPHE = re.compile("['`´]")
_POSSESSIVE = re.compile(r"['`´]s\b")
_DOUBLED = re.compile("([^ *\u3400-\u9fff])(?=\\1)")  # doubled ideographs are other words

# A gap, which may be empty, and the piece after it; a simpler one for ASCII. The end counts as a piece:
# without it, each place in a last gap would be tried.
_TOKEN_ASCII = re.compile(r"([^a-z0-9@$!|+*#]*)([a-z]+|[0-9]+|[@$]+|[!|+*#]+|\Z)")
_TOKEN = re.compile(
    r"([^\w@$!|+*#]*(?:_[^\w@$!|+*#]*)*)"
    r"([a-z]+|[ぁ-ゟ]+|[ァ-ヺヽ-ヿ]+|\d+|[^\W\d_a-zぁ-ゟァ-ヺヽ-ヿ]+|[@$]+|[!|+*#]+|\Z)"
)
_SIGN = re.compile(r"[@$!|+*#]")
# Signs stand for letters within a word (`n!ce`), coins also at its ends (`$even`, `cla$$`). These do not:
_NO_LETTERS = re.compile(
    r"(?<![^\W_])(?<![@$!|+*#])[@$]+(?![^\W_])(?![@$!|+*#])"
    r"|(?<![^\W_])(?<![@$!|+*#])[!|+*#]+"
    r"|(?<=[^\W_])[!|+*#]+(?![^\W_])(?![@$!|+*#])"
)
_BETWEEN_TAGS = frozenset(",;、。，．\n")
_BETWEEN_WORDS = frozenset(" \t\r\f\v\x1c\x1d\x1e\x1f\x85\u2028\u2029")


class _Gaps(dict[str, str]):
    """What the signs between two pieces mean; the usual ones are known."""

    def __missing__(self, signs: str) -> str:
        if not _BETWEEN_TAGS.isdisjoint(signs):
            return COMMA
        return TIGHT if _BETWEEN_WORDS.isdisjoint(signs) else HARD


_GAPS = _Gaps({"": GLUE, " ": HARD, ",": COMMA, ", ": COMMA, "-": TIGHT, ".": TIGHT, "、": COMMA})


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A text without its gaps, and the pieces between them."""

    folded: str

    letters: str
    """Skeletons of all pieces, joined."""

    pieces: tuple[str, ...]
    """The pieces as they are folded."""

    gaps: tuple[str, ...]
    """The gap before each piece."""

    starts: tuple[int, ...]
    """Where each piece begins in `letters`, and where the last one ends."""

    def squeezed(self) -> str:
        """The pieces without marks within words: `1_8 y.o.` is `18 yo`. A point between digits stays one."""
        if TIGHT not in self.gaps:
            return self.folded
        between = {COMMA: ", ", HARD: " ", TIGHT: "", GLUE: ""}
        parts: list[str] = []
        before = ""
        for piece, gap in zip(self.pieces, self.gaps, strict=True):
            is_number = gap == TIGHT and len(before + piece) > 2 and before.isdecimal() and piece.isdecimal()
            parts += ["." if is_number else between[gap], piece]
            before = piece
        return "".join(parts)


def fold(text: str) -> str:
    """What a reader sees, in lower case without accents. Folding it again changes nothing."""
    for _ in range(_MAX_PASSES):
        if _STABLE.fullmatch(text):
            return text
        folded = _fold_once(text)
        if folded == text:
            return folded
        text = folded
    return text


def _fold_once(text: str) -> str:
    if "&" in text:
        text = html.unescape(_ENTITY.sub("&", text)).replace("&", " ")
    if not text.isascii():
        near, far, composed = _characters()
        text = _FAR.sub(lambda run: run[0].translate(far), text.translate(near))
        text = composed.sub(lambda run: unicodedata.normalize("NFC", run[0]), text)
    text = _CAPITAL_I.sub("l", text).casefold()
    return _TAG.sub("", text) if "<" in text else text


def skeleton(word: str) -> str:
    """The folded word as the rules compare it: doubled letters are one, and digits are letters."""
    return _DOUBLED.sub("", word).translate(_SKELETON)


def undoubled(word: str) -> str:
    """The folded word as `skeleton` has it, with its doubled letters left."""
    return word.translate(_SKELETON)


def read(folded: str) -> Reading:
    """Take the gaps out of a folded text."""
    text = _WEIGHT.sub("", folded) if ":" in folded else folded
    text = _POSSESSIVE.sub("", text) if _APOSTROPHE.search(text) else text
    pieces, gaps = _pieces(_NO_LETTERS.sub(TIGHT, text) if _SIGN.search(text) else text)
    parts = skeleton(" ".join(pieces).replace("#", MASK)).split(" ")
    return Reading(
        folded=folded,
        letters="".join(parts),
        pieces=pieces,
        gaps=gaps,
        starts=(*accumulate(map(len, parts), initial=0),),
    )


def folded_words(text: str) -> str:
    """A term as the rules have it: folded, with one gap between words."""
    reading = read(fold(text))
    words = zip(reading.gaps, reading.pieces, strict=True)
    return "".join(piece if gap == GLUE else f" {piece}" for gap, piece in words).strip()


def _pieces(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The pieces of a text whose signs are all letters, and the gaps before them."""
    tokens = (_TOKEN_ASCII if text.isascii() else _TOKEN).findall(text)
    while tokens and not tokens[-1][1]:
        tokens.pop()
    if not tokens:
        return (), ()
    gaps, pieces = zip(*tokens, strict=True)
    return pieces, (max(HARD, _GAPS[gaps[0]]), *map(_GAPS.__getitem__, gaps[1:]))


@cache
def _characters() -> tuple[list[str], dict[int, str], re.Pattern[str]]:
    """What becomes of the first 65,536 characters, and of those of the rest that are not left as they are.

    And which become one with those before them: to normalise all of a text takes longer.
    """
    drawn = _drawn()
    near = [_fold_character(chr(code), drawn) for code in range(0x10000)]
    far: dict[int, str] = {}
    for code in (*range(0x10000, 0x1F200), *range(0x2F800, 0x2FA20), *range(0xE0000, 0xE0200)):
        char = chr(code)
        if (folded := _fold_character(char, drawn)) != char:
            far[code] = folded
    parts = [unicodedata.decomposition(chr(code)).split() for code in range(0x1F200)]
    seconds = {chr(int(part[1], 16)) for part in parts if len(part) == 2 and part[0][0] != "<"}
    joining = {
        *map(chr, range(0x1161, 0x11C3)),
        *(char for char in seconds if drawn.get(ord(char), char) == char),
    }
    return near, far, re.compile(f"(?s:.)[{''.join(joining)}]+")


def _fold_character(char: str, drawn: dict[int, str | None]) -> str:
    if _LONG.match(char) or char == "＆":
        return " "
    while not char.isascii():
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFKD", char).translate(drawn))
        folded = folded if folded.isascii() else folded.casefold()
        if folded == char:
            break
        char = folded
    return char


def _drawn() -> dict[int, str | None]:
    """How parts of characters look: look-alikes are letters, invisible ones and accents are dropped."""
    data = (resources.files("bot") / "safety/rules/confusables.toml").read_bytes()
    table: dict[int, str | None] = {}
    for code in (*range(0x80, 0x1E000), *range(0xE0000, 0xE0200)):
        if unicodedata.category(chr(code)) in ("Mn", "Me", "Cf") and chr(code) not in _VOICED:
            table[code] = None
    table |= dict.fromkeys(map(ord, _INVISIBLE))
    table |= {ord(char): MASK for char in _HIDDEN[MASK]}
    table |= WINDOWS
    for letter, chars in msgspec.toml.decode(data)["looks_like"].items():
        table |= {ord(char): letter for char in chars}
    table |= {ord(char): "'" for char in "’‘ʼ′"}
    return table
