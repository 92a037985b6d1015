"""Step 3 of a request's life: the rules of the prompt check, which are data. Runs in the bot process.

The files that ship are in `bot/safety/rules`; PROVENANCE.md there says where each list is from. A host adds
a file of their own, a server two lists.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import msgspec

from bot.errors import OperatorError
from bot.safety.folding import folded_words
from bot.safety.matching import Lexicon
from bot.safety.patterns import Category, Term

RULES = Path(__file__).parent / "rules"
FILES = ("sexual", "minors", "people", "context", "japanese", "chinese", "ordinary")


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Terms that mean the same to the check."""

    category: Category
    terms: list[str]
    before: list[str] = msgspec.field(default_factory=list[str])
    """Words of which each may come before each term; then the terms alone do not count."""
    unless: list[str] = msgspec.field(default_factory=list[str])
    """Words that give the terms another meaning, anywhere in the prompt: a cock beside a hen."""
    beside: list[str] = msgspec.field(default_factory=list[str])
    """Words of which one has to be in the prompt, or the terms do not count: a great tit on a branch."""
    plural: bool = False
    root: bool = False
    """Whether longer words that have a term in them count too."""
    follows: bool = False
    """Whether short terms in kana also count behind a particle or an ending: 裸のこども."""


class Pattern(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A regular expression over the folded text, with bounded repetitions only."""

    category: Category
    regex: str
    needs: list[str] = msgspec.field(default_factory=list[str])
    """Of these a text has to have one; cheaper to find out than whether the expression matches."""

    def applies_to(self, folded: str, squeezed: str) -> bool:
        """Whether a folded text says this, as it is or without marks within its words."""
        if self.needs and not any(part in squeezed for part in self.needs):
            return False
        found = re.search(self.regex, folded)
        return found is not None or (squeezed != folded and re.search(self.regex, squeezed) is not None)


class RuleFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the files."""

    group: list[Group] = msgspec.field(default_factory=list[Group])
    pattern: list[Pattern] = msgspec.field(default_factory=list[Pattern])
    ordinary: list[str] = msgspec.field(default_factory=list[str])
    """Words, and pairs of words, that a loose look would take for a term."""


class HostRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A host's own file."""

    block: list[str] = msgspec.field(default_factory=list[str])
    allow: list[str] = msgspec.field(default_factory=list[str])


@dataclass(frozen=True, kw_only=True)
class ServerLists:
    """What a server refuses and permits beyond the rules. Nothing can permit what is about minors."""

    block: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rules:
    """All rules, compiled, and what identifies them."""

    version: str
    lexicon: Lexicon
    patterns: tuple[Pattern, ...]
    host: ServerLists = ServerLists()

    @classmethod
    def of(cls, files: list[RuleFile], *, version: str = "", host: HostRules | None = None) -> Rules:
        """Compile rules. The version ends with a digest of them all, so that it tells any two apart."""
        groups = [group for file in files for group in file.group]
        ordinary = [word for file in files for word in file.ordinary]
        terms = [term for number, group in enumerate(groups) for term in terms_of(number, group)]
        rules = cls(
            version="",
            lexicon=Lexicon(terms, ordinary),
            patterns=tuple(pattern for file in files for pattern in file.pattern),
        )
        return rules.with_host(host or HostRules(), files, version)

    def with_host(self, host: HostRules, files: list[RuleFile], version: str) -> Rules:
        """The same rules, of these files, with a host's own."""
        digest = hashlib.sha256(msgspec.json.encode([files, host])).hexdigest()[:8]
        lists = ServerLists(block=tuple(host.block), allow=tuple(host.allow))
        return replace(self, version=f"{version}+{digest}", host=lists)

    @classmethod
    def load(cls, host: Path | None = None) -> Rules:
        """The rules that ship, and a host's own.

        Raises:
            OperatorError: the host's file cannot be read, or says something else than lists of words.
        """
        shipped, files, version = _shipped()
        return shipped.with_host(read_host_rules(host), files, version) if host else shipped


@cache
def _shipped() -> tuple[Rules, list[RuleFile], str]:
    """The rules that ship, their files, and their version: ten thousand terms take most of a second."""
    files = [read_rule_file(name) for name in FILES]
    version = (RULES / "VERSION").read_text(encoding="utf-8").strip()
    return Rules.of(files, version=version), files, version


def read_rule_file(name: str) -> RuleFile:
    """One of the files that ship."""
    return msgspec.toml.decode((RULES / f"{name}.toml").read_bytes(), type=RuleFile)


def read_host_rules(path: Path) -> HostRules:
    """A host's own lists.

    Raises:
        OperatorError: it cannot be read, or says something else than lists of words.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=HostRules)
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"{path} is no file of safety rules, two lists of words named block and allow: {error}."
        ) from error


def lists_lexicon(lists: ServerLists) -> Lexicon:
    """A server's or a host's lists, compiled."""
    allowed = (Term(category="allowed", spelling=folded_words(word)) for word in lists.allow)
    return Lexicon([term for term in (*_blocked(lists.block), *allowed) if term.spelling])


def _blocked(words: Iterable[str]) -> Iterator[Term]:
    """The words of a block list, and their plurals where there is a way to make one."""
    for word in words:
        spelling = folded_words(word)
        yield Term(category="blocked", spelling=spelling)
        if spelling.isascii() and spelling[-1:].isalpha():
            yield Term(category="blocked", spelling=_plural(spelling))


def terms_of(number: int, group: Group) -> Iterator[Term]:
    """A group's terms, written out. `number` tells its terms from those of other groups."""
    spelled = [folded_words(term) for term in group.terms]
    if group.before:
        spelled = [f"{folded_words(word)} {term}" for word in group.before for term in spelled]
    if group.plural:
        spelled += [_plural(term) for term in spelled if not term.endswith("s")]
    for term in dict.fromkeys(spelled):
        yield Term(
            category=group.category,
            spelling=term,
            group=number,
            is_root=group.root,
            is_conditional=bool(group.beside),
            follows=group.follows,
        )
    for word in (*group.unless, *group.beside):
        yield Term(category="excuse", spelling=folded_words(word), group=number)


def _plural(term: str) -> str:
    if term.endswith(("sh", "ch", "x", "z")):
        return f"{term}es"
    if term.endswith("y") and term[-2:-1] not in "aeiou":
        return f"{term[:-1]}ies"
    return f"{term}s"
