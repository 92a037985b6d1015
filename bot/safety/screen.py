"""Step 3 of a request's life: whether a prompt may be drawn, and where its pictures may be shown.

Runs in the bot process. The rules are data (`bot/safety/rules`); what their categories mean together is here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bot.safety.disguises import undisguised
from bot.safety.folding import Reading, fold, read
from bot.safety.levels import Level
from bot.safety.matching import Found, Lexicon
from bot.safety.patterns import Category
from bot.safety.rules import Pattern, Rules, ServerLists, lists_lexicon
from bot.safety.verdicts import PromptVerdict

MAX_PROMPT = 4100
"""Characters of a prompt: a member's own 2,000, and as many that a preset adds."""

MAX_OTHER = 6000
"""Characters of the negative prompt, of which presets add much, and of all other texts together."""


NO_LISTS = ServerLists()

MANY_GARMENTS = 3
"""Kinds of clothes that a negative prompt can name before it undresses people."""


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Where the words of each category are in a text, and what its patterns say."""

    found: dict[Category, list[Found]]
    patterns: frozenset[Category]

    def covered(self, category: Category) -> bytearray:
        """One for each character that words of this category stand on, to the end of the last one."""
        met = {hit.term.group for hit in self.found.get("excuse", ())}
        hits = [
            hit
            for hit in self.found.get(category, ())
            if not hit.term.is_conditional or hit.term.group in met
        ]
        cover = bytearray(max((hit.end for hit in hits), default=0))
        for hit in hits:
            cover[hit.start : hit.end] = b"\1" * (hit.end - hit.start)
        return cover

    def categories(self, *covers: bytearray, is_excusable: bool) -> frozenset[Category]:
        """The categories of all words that no cover hides and, if they can be excused, no words excuse."""
        excused = {hit.term.group for hit in self.found.get("excuse", ())} if is_excusable else set[int]()
        covers = tuple(cover for cover in covers if cover)
        counting: Iterator[Category] = (
            category for category, hits in self.found.items() if _is_any_in_sight(hits, excused, covers)
        )
        return self.patterns | frozenset(counting)


def _is_any_in_sight(hits: Iterable[Found], excused: set[int], covers: tuple[bytearray, ...]) -> bool:
    """Whether one of them is neither excused nor under a cover."""
    for hit in hits:
        if hit.term.group not in excused:
            for cover in covers:
                if hit.end <= len(cover) and cover.find(0, hit.start, hit.end) < 0:
                    break
            else:
                return True
    return False


@dataclass(frozen=True, kw_only=True)
class _Meaning:
    """The categories of a prompt's words."""

    heard: frozenset[Category]
    """Of all words, but for names and phrases that are known to mean something else."""
    said: frozenset[Category]
    """Of the words as those around them let them be understood: less what is excused or disclaimed."""
    hosted: frozenset[Category]
    """The same, less what the host allows."""
    refusable: frozenset[Category]
    """The same, less what host or server allow."""
    negative: frozenset[Category]
    """Of the negative prompt's words."""
    garments: int
    """How many of them are kinds of clothes."""

    @property
    def is_stripped(self) -> bool:
        """Whether the negative prompt takes clothes off people, or away what keeps a picture decent."""
        is_about_people = not self.heard.isdisjoint(("human", "minor", "youthful", "suggestive", "person"))
        return "safe" in self.negative or (self._is_bare and is_about_people)

    @property
    def _is_bare(self) -> bool:
        return "clothing" in self.negative or self.garments >= MANY_GARMENTS

    @property
    def is_about_bodies(self) -> bool:
        """Whether it says anything that it must not say of a child."""
        is_said = not self.said.isdisjoint(("sexual", "suggestive"))
        return is_said or self._is_bare or "safe" in self.negative

    @property
    def is_sexual_minor(self) -> bool:
        """Whether it is sexual, and about somebody who is or may be a minor."""
        is_sexual = "sexual" in self.said or self.is_stripped
        if "minor" in self.heard:
            return is_sexual or not self.heard.isdisjoint(("sexual", "suggestive"))
        return is_sexual and ("youthful" in self.heard or "adult" in self.negative)

    @property
    def is_sexual_person(self) -> bool:
        """Whether it is sexual, and about somebody who lives or lived."""
        is_sexual = self.is_stripped or not self.said.isdisjoint(("sexual", "suggestive"))
        return is_sexual and "person" in self.hosted


class PromptScreen:
    """The prompt check."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._host = lists_lexicon(rules.host)
        self._server = lru_cache(maxsize=256)(lists_lexicon)

    @classmethod
    def load(cls, host_rules: Path | None = None) -> PromptScreen:
        """With the rules that ship, and a host's own.

        Raises:
            OperatorError: the host's file is wrong.
        """
        return cls(Rules.load(host_rules))

    @property
    def policy_version(self) -> str:
        """Which rules these are."""
        return self._rules.version

    def check(
        self,
        prompt: str,
        *,
        negative: str = "",
        others: Iterable[str] = (),
        level: Level = "default",
        server: ServerLists = NO_LISTS,
    ) -> PromptVerdict:
        """Decide on a request. `others` are drawn like the prompt: texts of presets, names of files."""
        more = ", ".join(others)
        if len(prompt) > MAX_PROMPT or len(negative) > MAX_OTHER or len(more) > MAX_OTHER:
            return self._verdict(refused=["too_long"])
        reading = _read(f"{prompt}, {more}" if more else prompt)
        host = _places(reading, self._host)
        theirs = _places(reading, self._server(server)) if server != NO_LISTS else _NOTHING
        meaning = self._understand(reading, negative, host.covered("allowed"), theirs.covered("allowed"))
        refused = {
            "sexual_minor": meaning.is_sexual_minor,
            "real_person_sexual": meaning.is_sexual_person,
            "host_list": "blocked" in host.categories(host.covered("allowed"), is_excusable=False),
            "server_list": "blocked" in theirs.categories(theirs.covered("allowed"), is_excusable=False),
            "sexual": level != "age-restricted" and ("sexual" in meaning.refusable or meaning.is_stripped),
        }
        strict = {
            "minor": "minor" in meaning.heard,
            # A server may allow words here, not what the host's level keeps out of pictures.
            "server_allowed": "sexual" in meaning.hosted - meaning.refusable,
        }
        return self._verdict(
            [code for code, applies in refused.items() if applies],
            [code for code, applies in strict.items() if applies],
        )

    def _understand(
        self, reading: Reading, negative: str, by_host: bytearray, by_server: bytearray
    ) -> _Meaning:
        places = _places(reading, self._rules.lexicon, self._rules.patterns)
        unsaid = _places(_read(negative), self._rules.lexicon) if negative else _NOTHING
        named, allowed = places.covered("named"), (by_host, by_server)
        if named:
            meaning = _meaning(places, unsaid, allowed, named)
            if not meaning.is_about_bodies:
                return meaning
        return _meaning(places, unsaid, allowed, bytearray())

    def _verdict(self, refused: list[str], strict: Sequence[str] = ()) -> PromptVerdict:
        if refused:
            return PromptVerdict(
                decision="refuse", reasons=tuple(refused), policy_version=self.policy_version
            )
        if strict:
            return PromptVerdict(decision="strict", reasons=tuple(strict), policy_version=self.policy_version)
        return PromptVerdict(decision="allow", policy_version=self.policy_version)


def _meaning(
    places: _Places, unsaid: _Places, allowed: tuple[bytearray, bytearray], named: bytearray
) -> _Meaning:
    """What a prompt means if names of children mean no children where `named` covers them."""
    known = (places.covered("benign"), named)
    understood = (*known, places.covered("disclaimer"))
    by_host, by_server = allowed
    said = places.categories(*understood, is_excusable=True)
    hosted = places.categories(*understood, by_host, is_excusable=True) if by_host else said
    refusable = places.categories(*understood, *allowed, is_excusable=True) if by_server else hosted
    return _Meaning(
        heard=places.categories(*known, is_excusable=False),
        said=said,
        hosted=hosted,
        refusable=refusable,
        negative=unsaid.categories(unsaid.covered("benign"), is_excusable=True),
        garments=len({hit.term for hit in unsaid.found.get("garment", ())}),
    )


def _read(text: str) -> Reading:
    """The text as it is, and once more without disguises if it has any."""
    folded = fold(text)
    plain = undisguised(text, folded)
    return read(f"{folded}, {plain}" if plain else folded)


_NOTHING = _Places(found={}, patterns=frozenset())


def _places(reading: Reading, lexicon: Lexicon, patterns: Sequence[Pattern] = ()) -> _Places:
    found: defaultdict[Category, list[Found]] = defaultdict(list)
    for hit in lexicon.find(reading):
        found[hit.term.category].append(hit)
    squeezed = reading.squeezed() if patterns else ""
    said: Iterator[Category] = (
        each.category for each in patterns if each.applies_to(reading.folded, squeezed)
    )
    return _Places(found=dict(found), patterns=frozenset(said))
