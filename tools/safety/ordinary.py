"""Makes bot/safety/rules/ordinary.toml: ordinary words that the prompt check would take for a term.

The check looks past doubled letters, digits for letters, split words and words run together, so that `bob`
has the look of another word, and `pen is` too. Each word of a published list is put to the rules, without
what this tool wrote before; those that only look like a term go into the file. Terms as spelled do not.

    npm pack popular-english-words@1.0.2       # ISC License; from Wikipedia, the most frequent first
    npm pack an-array-of-english-words@2.0.0   # MIT License
    python -m tools.safety.ordinary popular-english-words-1.0.2.tgz an-array-of-english-words-2.0.0.tgz
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from bot.safety.folding import read, skeleton
from bot.safety.matching import Lexicon
from bot.safety.patterns import EXACT, Category, Term
from bot.safety.rules import FILES, RULES, read_rule_file, terms_of

TARGET = RULES / "ordinary.toml"
SINGLE, PAIRED, SHORT = 120_000, 8_000, 1_200
"""How many of the most frequent words count alone, in pairs, and in pairs with two letters."""

SHORTEST = 3
"""Words up to this length are never looked for in pairs."""

LETTERS = frozenset("aiscxtdmvb")
"""Letters that stand alone in ordinary texts: "plan b", "vitamin c", and what an apostrophe leaves."""

IRRELEVANT: frozenset[Category] = frozenset({*EXACT, "human", "adult", "clothing", "garment", "safe"})


def popular(archive: Path) -> list[str]:
    """Words, the most frequent first."""
    return re.findall(r"'([a-z]+)'", _member(archive, "package/words.js"))


def dictionary(archive: Path) -> list[str]:
    """Words, in the order of the alphabet."""
    return json.loads(_member(archive, "package/index.json"))


def _member(archive: Path, name: str) -> str:
    with tarfile.open(archive) as package:
        member = package.extractfile(name)
        assert member is not None
        return member.read().decode()


def looks_like_a_term(lexicon: Lexicon, words: str) -> bool:
    """Whether words that are no term as spelled are taken for one."""
    joined = words.replace(" ", "")
    found = [hit.term for hit in lexicon.find(read(words)) if hit.term.category not in IRRELEVANT]
    return bool(found) and not any(term.spelling == joined for term in found)


def pairs(terms: list[Term], words: list[str]) -> Iterator[str]:
    """Ordinary words that are a term if one reads them as one word."""
    known: defaultdict[str, list[str]] = defaultdict(list)
    for rank, word in enumerate(words[:PAIRED]):
        if len(word) > 2 or (len(word) == 2 and rank < SHORT):
            known[skeleton(word)].append(word)
    for letter in LETTERS:
        known[skeleton(letter)].append(letter)
    for term in terms:
        for word in term.spelling.split(" ") if term.category not in IRRELEVANT else ():
            letters = skeleton(word)
            for place in range(1, len(letters)) if len(word) > SHORTEST else ():
                for first, second in product(known[letters[:place]], known[letters[place:]]):
                    yield f"{first} {second}"


def neighbours(terms: list[Term], words: list[str]) -> Iterator[str]:
    """Ordinary words that look like a word of a phrase: "of" like that of "take clothes off"."""
    spelled: defaultdict[str, set[str]] = defaultdict(set)
    for term in terms:
        if " " in term.spelling and term.category not in IRRELEVANT:
            for word in term.spelling.split(" "):
                spelled[skeleton(word)].add(word)
    for word in words[:PAIRED]:
        if word not in spelled.get(skeleton(word), {word}):
            yield word


def main(frequent: Path, complete: Path) -> None:
    """Write the file."""
    groups = [group for name in FILES if name != "ordinary" for group in read_rule_file(name).group]
    terms = [term for number, group in enumerate(groups) for term in terms_of(number, group)]
    words = popular(frequent)
    lexicon = Lexicon(terms)
    every = {*words[:SINGLE], *dictionary(complete)}
    single = {word for word in every if looks_like_a_term(lexicon, word)}
    single = sorted(single | set(neighbours(terms, words)))
    both = sorted(set(pairs(terms, words)))
    head = (
        "# Ordinary words, and pairs of words, that a loose look would take for a term of the other files.\n"
    )
    made = "# Made by: python -m tools.safety.ordinary; see PROVENANCE.md.\n"
    listed = "".join(f'    "{word}",\n' for word in (*single, *both))
    TARGET.write_text(f"{head}{made}\nordinary = [\n{listed}]\n", encoding="utf-8")
    sys.stdout.write(f"{len(single)} words, {len(both)} pairs\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
