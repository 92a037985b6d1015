"""Makes bot/safety/rules/confusables.toml: characters that look like a Latin letter or a digit.

The table is Unicode's confusables.txt (Unicode Technical Standard 39) as the package `confusable-homoglyphs`
ships it, less what Unicode normalisation already folds and less Japanese, Chinese and Korean characters,
which are words there; and letters whose name says which Latin letter they are a form of (small capitals,
strokes, turned letters, squared and circled letters).

    pip install confusable-homoglyphs==3.3.1
    python -m tools.safety.confusables
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections import defaultdict
from importlib import resources
from pathlib import Path

TARGET = Path(__file__).parents[2] / "bot/safety/rules/confusables.toml"
CJK = re.compile("HIRAGANA|KATAKANA|CJK|HANGUL|IDEOGRAPH|BOPOMOFO|YI |KANGXI")
NAMED = re.compile(
    r"(?:LATIN (?:SMALL |CAPITAL )?LETTER (?:SMALL CAPITAL |TURNED |REVERSED |SIDEWAYS |OPEN |CLOSED "
    r"|INVERTED |SCRIPT |BLACKLETTER )*"
    r"|(?:NEGATIVE )?(?:SQUARED|CIRCLED|CROSSED NEGATIVE SQUARED) LATIN (?:CAPITAL|SMALL) LETTER "
    r"|REGIONAL INDICATOR SYMBOL LETTER |MODIFIER LETTER (?:SMALL |CAPITAL )?)"
    r"(?P<letter>[A-Z])(?: WITH .*| ROTUNDA| HALF)?"
)
# What people write letters with and the table leaves out, for it compares fonts, not habits.
HABITS = {
    "a": "αаΔΛλ∀ª", "b": "βвьъƄ฿", "c": "сς¢©", "d": "δԁ", "e": "εеєэΣξЄ€", "f": "ƒғ", "g": "ɡ", "h": "һнн",
    "i": "ιіїı¡Ꮖ", "k": "κк", "l": "ӏ£", "m": "мμΜ", "n": "ηпиИПΠ", "o": "οоσθΘфө", "p": "ρр", "r": "гяЯ®",
    "s": "ѕ§", "t": "τт†", "u": "υцμʊ", "v": "νѵ", "w": "ωшщѡ", "x": "χх×✕✖", "y": "уγү¥", "z": "ζ",
}  # fmt: skip


def looks(prototype: str) -> str:
    """The letter or digit that a prototype of the table stands for; empty if none."""
    folded = unicodedata.normalize("NFKD", prototype).casefold()
    folded = "".join(char for char in folded if not unicodedata.combining(char))
    return folded if re.fullmatch("[a-z0-9]", folded) else ""


def published() -> dict[str, str]:
    """Character to letter, by the published table."""
    text = (resources.files("confusable_homoglyphs") / "confusables.json").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for char, others in json.loads(text).items():
        letters = [looks(other["c"]) for other in others if other["c"].isascii()]
        if len(char) == 1 and any(letters):
            found[char] = next(letter for letter in letters if letter)
    return found


def named() -> dict[str, str]:
    """Character to letter, by the character's name."""
    found: dict[str, str] = {}
    for code in range(0x80, 0x1F200):
        match = NAMED.fullmatch(unicodedata.name(chr(code), ""))
        if match:
            found[chr(code)] = match["letter"].casefold()
    return found


def is_needed(char: str) -> bool:
    """Whether normalisation leaves it as it is, and it is no letter of Japanese, Chinese or Korean."""
    is_folded = bool(looks(char)) or char.casefold().isascii()
    return not char.isascii() and not is_folded and not CJK.search(unicodedata.name(char, ""))


def main() -> None:
    """Write the file."""
    table = {**named(), **published()}
    table |= {char: letter for letter, chars in HABITS.items() for char in chars}
    by_letter: defaultdict[str, list[str]] = defaultdict(list)
    for char, letter in sorted(table.items()):
        # A digit that stands for a letter is left to the next step, which knows both.
        if is_needed(char):
            by_letter[letter].append(char)
    lines = [
        "# Characters that look like a Latin letter or a digit. Made by: python -m tools.safety.confusables",
        "# From Unicode's confusables.txt, Copyright 1991-2024 Unicode, Inc., Unicode License v3, by way of",
        "# confusable-homoglyphs 3.3.1 (MIT License); see PROVENANCE.md.",
        "",
        "[looks_like]",
        *(f'"{letter}" = "{"".join(chars)}"' for letter, chars in sorted(by_letter.items())),
    ]
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(f"{sum(map(len, by_letter.values()))} characters\n")


if __name__ == "__main__":
    main()
