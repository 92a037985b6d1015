"""Step 3 of a request's life: a text once more, without what was put into its words to hide them.

Runs in the bot process. Some disguises cannot be folded away: whoever reads `\\u0063` as `c` cannot know if
`\\u0063` was meant, and a `|` between letters may be a letter or not. So the check reads both, the text as it
is folded and, if that differs, the text as it would be with every such disguise taken off. A second reading
can only add words, never hide one. Each step goes over the text a fixed number of times.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_left
from urllib.parse import unquote_to_bytes

import ftfy
from ftfy import chardata
from ftfy.badness import is_bad
from ftfy.fixes import decode_inconsistent_utf8

from bot.safety.folding import MASK, WINDOWS, fold

# What ftfy repairs beyond mojibake and what folding does anyway, or turns into something to be repaired.
_REPAIRED = re.compile("[\x1b\ud800-\udfff\ufe60\uff06\uffe0-\uffef]")
# What it drops, or turns into ASCII, before it looks at a line once more.
_REPLACED = re.compile(
    "[\u0132\u0133\u0149\u01c4-\u01cc\u01f1-\u01f3\u206a-\u206f\ufb00-\ufb06\ufeff-\uffff]"
)

_CONTEXT, _FARTHEST = 60, 200
"""Characters around a difference that are read again, to the next word, and at most."""

_ESCAPE = re.compile(
    r"\\+u([0-9a-fA-F]{4})|\\+u\{([0-9a-fA-F]{1,6})\}|\\+U([0-9a-fA-F]{8})|\\+x([0-9a-fA-F]{2})"
    r"|[uU]\+([0-9a-fA-F]{4,6})"
)
_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2})+")
# With a colon it may name an adapter, `<lora:x:1>`: only within a word is it nothing but in the way.
_MARKUP = re.compile(r"<[!/a-zA-Z][^<>:]{0,99}>|(?<=\w)(?:<[!/:a-zA-Z][^<>]{0,99}>){1,9}(?=\w)")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
_LINES = re.compile(r"(?<=\w)-[ \t]?\r?\n|\r?\n")
_BACKWARD = re.compile("[\u202e\u2067]([^\u202c\u2069\n]*)")
_CONCATENATED = re.compile(r"""["'`]\s?\+\s?["'`]""")

_CHILD, _ADULT = " child ", " r18 "
_EMOJI = {"👧": _CHILD, "👦": _CHILD, "👶": _CHILD, "🧒": _CHILD, "🚼": _CHILD, "👼": _CHILD, "🔞": _ADULT}
"""Little pictures that say what a word of the rules does. Between letters they may also be a mark."""
_PICTURES = re.compile(f"[{''.join(_EMOJI)}]")

# Single letters with the same signs between them; three are a word.
_SPREAD = re.compile(r"(?<![^\W_])[^\W_](?:([\W_]{1,3})[^\W_])(?:\1[^\W_])*(?![^\W_])")
_SPREAD_WIDELY = re.compile(r"(?<![^\W_])[^\W_]([\W_]{1,3})[^\W_]\1[^\W_](?![^\W_])")
_STRETCHED = re.compile(r"([a-z])\1\1+")
_WRAPPED = re.compile(r"(?<![^\W_])xx+([^\W_][\w-]{1,40}?[^\W_])xx+(?![^\W_])")
_BRACKET = re.compile(r"[()]")
_OPENING = re.compile(r"\((?=[a-z0-9@$!+])")
_COINS = re.compile(r"(?<![\w@$])[@$]{3,}(?![\w@$])")
_EDGES = {
    "!": (re.compile(r"(?<=[0-9@$+|])!(?![\w@$!|+*#])|(?<![\w@$!|+*#])!(?=\w)"), "i"),
    "+": (re.compile(r"(?<=[\w@$!])\+(?![\w@$!|+*#])|(?<![\w@$!|+*#])\+(?=\w)"), "t"),
}
"""Signs that stand for letters at the ends of words."""


def undisguised(text: str, folded: str) -> str:
    """The folded text without disguises: that part of it that had some, with words around it."""
    plain = _decoded(repaired(text))
    uncovered = _uncovered(folded if plain == text else fold(plain))
    return "" if uncovered == folded else _changed(folded, uncovered)


def _changed(old: str, new: str) -> str:
    """The tags of the new text that are not in the old one, from the first difference to the last."""
    shared = range(1, min(len(old), len(new)) + 1)
    first = bisect_left(shared, True, key=lambda length: old[:length] != new[:length])
    last = len(new) - bisect_left(shared, True, key=lambda length: old[-length:] != new[-length:])
    start = new.rfind(" ", 0, max(first - _CONTEXT, 0)) + 1
    end = new.find(" ", last + _CONTEXT)
    start, end = max(start, first - _FARTHEST), min(end if end >= 0 else len(new), last + _FARTHEST)
    known = frozenset(old.split(","))
    return ",".join(tag for tag in new[max(start, 0) : max(end, first)].split(",") if tag not in known)


def repaired(text: str) -> str:
    """The text as the model is given it: without mojibake and HTML entities.

    It has to be what `engine.worker.prompt_weights.clean` makes of it, as far as folding does not make the
    same of both: a test holds the two together.
    """
    plain = (html.unescape(text) if "&" in text else text).translate(WINDOWS)
    if plain.isascii() and "\x1b" not in plain:
        return text
    if not _REPAIRED.search(plain):
        if not is_bad(plain) and (plain == text or not is_bad(text)):
            return text
        if not _is_encodable(plain):
            # Then it is repaired in places only, before control characters are read as letters and after; to
            # look at all the rest would take long.
            once = decode_inconsistent_utf8(html.unescape(text) if "&" in text else text)
            return decode_inconsistent_utf8(once.translate(WINDOWS))
    return html.unescape(html.unescape(ftfy.fix_text(text)))


def _is_encodable(text: str) -> bool:
    """Whether one of its lines as a whole could be bytes that were decoded wrongly."""
    lines = _REPLACED.sub("", text).splitlines()
    return any(
        chardata.possible_encoding(line, name) for line in lines for name in chardata.CHARMAP_ENCODINGS
    )


def _decoded(text: str) -> str:
    """Without escapes, markup and line breaks, in one direction, and with the words of a hashtag apart."""
    if "\\" in text or "u+" in text or "U+" in text:
        text = _joined_surrogates(_ESCAPE.sub(_unescaped, text))
    if "%" in text:
        text = _PERCENT.sub(_unquoted, text)
    if "<" in text:
        text = _MARKUP.sub("", text)
    if "\n" in text:
        text = _LINES.sub(_as_one_line, text)
    if "\u202e" in text or "\u2067" in text:
        text = _BACKWARD.sub(lambda match: match[1][::-1], text)
    return _CAMEL.sub(" ", text)


def _as_one_line(match: re.Match[str]) -> str:
    return "" if match[0][0] == "-" else " "


def _unescaped(match: re.Match[str]) -> str:
    code = int(match[match.lastindex or 0], 16)
    return chr(code) if code <= 0x10FFFF else match[0]


def _joined_surrogates(text: str) -> str:
    """Two escapes can be one character."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _unquoted(match: re.Match[str]) -> str:
    try:
        return unquote_to_bytes(match[0]).decode()
    except UnicodeDecodeError:
        return match[0]


def _uncovered(folded: str) -> str:
    """A folded text without signs that were put between the letters of a word, or around it."""
    text = folded.replace("||", "-")
    if not text.isascii():
        text = _PICTURES.sub(lambda match: _EMOJI[match[0]], text)
    if "+" in text:
        text = _CONCATENATED.sub("-", text)
    if separators := frozenset(_SPREAD_WIDELY.findall(text)):
        # With what is between the letters of one word, words of two letters are apart as well.
        text = _SPREAD.sub(
            lambda match: match[0].replace(match[1], "") if match[1] in separators else match[0], text
        )
    text = text.replace(MASK, "")  # stars within words may also be emphasis: `nu**de`
    if "xx" in text:
        text = _WRAPPED.sub(r" \1 ", text)
    text = _STRETCHED.sub(r"\1", text)
    if text.count("(") > text.count(")"):
        text = _closed(text)
    if "@" in text or "$" in text:
        text = _COINS.sub(lambda match: match[0].replace("@", "a").replace("$", "s"), text)
    for sign, (edge, letter) in _EDGES.items():
        if sign in text:
            text = edge.sub(letter, text)
    return text


def _closed(text: str) -> str:
    """With a `c` for each bracket that nothing closes and that a word goes on from."""
    last = text.rfind(")") + 1
    head, tail = text[:last], text[last:]
    if head.count("(") > head.count(")"):
        head = _closed_within(head)
    return head + _OPENING.sub("c", tail)


def _closed_within(text: str) -> str:
    letters, closed = list(text), 0
    for match in reversed(list(_BRACKET.finditer(text))):
        if match[0] == ")":
            closed += 1
        elif closed:
            closed -= 1
        elif _OPENING.match(text, match.start()):
            letters[match.start()] = "c"
    return "".join(letters)
