"""Makes bot/safety/rules/ordinary.toml: ordinary words that the prompt check would take for a term.

The check looks past doubled letters, digits for letters, split words and words run together, so that `bob` has
the look of another word, and `pen is` too. Each word of a published list is put to the rules, without what this
tool wrote before; those that only look like a term go into the file. Words that are terms as spelled do not.

    npm pack popular-english-words@1.0.2    # ISC License; from Wikipedia, the most frequent first
    python -m tools.safety.ordinary popular-english-words-1.0.2.tgz
"""

from __future__ import annotations

import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from bot.safety.folding import read
from bot.safety.matching import EXACT, Category, Lexicon
from bot.safety.rules import FILES, RULES, Group, read_rule_file, terms_of

TARGET = RULES / "ordinary.toml"
SINGLE, PAIRED, SHORT = 120_000, 8_000, 150
"""How many of the most frequent words count alone, in pairs, and in pairs with two letters."""

SHORTEST = 3
"""Words up to this length are never looked for in pairs."""

LETTERS = frozenset("aiscxtdmvb")
"""Letters that stand alone in ordinary texts: "plan b", "vitamin c", and what an apostrophe leaves."""

IRRELEVANT: frozenset[Category] = frozenset({*EXACT, "human", "adult", "clothing", "garment", "safe"})


def popular(archive: Path) -> list[str]:
    """The published list."""
    with tarfile.open(archive) as package:
        member = package.extractfile("package/words.js")
        assert member is not None
        return re.findall(r"'([a-z]+)'", member.read().decode())


def looks_like_a_term(lexicon: Lexicon, words: str) -> bool:
    """Whether words that are no term as spelled are taken for one."""
    joined = words.replace(" ", "")
    found = [hit.term for hit in lexicon.find(read(words)) if hit.term.category not in IRRELEVANT]
    return bool(found) and not any(term.spelling == joined for term in found)


def pairs(groups: list[Group], words: list[str]) -> Iterator[str]:
    """Terms as two ordinary words."""
    known = {word for word in words[:PAIRED] if len(word) > 2}
    known |= {word for word in words[:PAIRED] if len(word) == 2 and word in words[:SHORT]} | LETTERS
    terms = [term for number, group in enumerate(groups) for term in terms_of(number, group)]
    phrases = {term.spelling for term in terms}
    for term in terms:
        for word in term.spelling.split(" ") if term.category not in IRRELEVANT else ():
            for place in range(1, len(word)) if len(word) > SHORTEST else ():
                pair = f"{word[:place]} {word[place:]}"
                if word[:place] in known and word[place:] in known and pair not in phrases:
                    yield pair


def main(archive: Path) -> None:
    """Write the file."""
    groups = [group for name in FILES if name != "ordinary" for group in read_rule_file(name).group]
    lexicon = Lexicon(term for number, group in enumerate(groups) for term in terms_of(number, group))
    words = popular(archive)
    single = sorted({word for word in words[:SINGLE] if looks_like_a_term(lexicon, word)})
    both = sorted(set(pairs(groups, words)))
    head = (
        "# Ordinary words, and pairs of words, that a loose look would take for a term of the other files.\n"
    )
    made = "# Made by: python -m tools.safety.ordinary; see PROVENANCE.md.\n"
    listed = "".join(f'    "{word}",\n' for word in (*single, *both))
    TARGET.write_text(f"{head}{made}\nordinary = [\n{listed}]\n", encoding="utf-8")
    sys.stdout.write(f"{len(single)} words, {len(both)} pairs\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
