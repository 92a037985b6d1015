"""Every message exists in English and Japanese."""

from __future__ import annotations

import string
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import bot
import cogs
from bot.errors import LimitReached, MemberError, Phrase
from bot.i18n import translator

KEYWORDS = {"N_": None, "t": None, "_t": None}


def messages_in_the_sources() -> set[str]:
    found: set[str] = set()
    for package in (bot, cogs):
        folder = Path(str(package.__file__)).parent
        for _file, _line, message, _comments, _context in extract_from_dir(
            folder, method_map=[("**.py", "python")], keywords=KEYWORDS
        ):
            found.add(str(message))
    return found


SOURCES = messages_in_the_sources()


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_the_japanese_catalogue_has_every_message_and_no_other() -> None:
    with (Path(str(bot.__file__)).parent / "locales" / "ja.po").open("rb") as file:
        catalogue = {str(message.id): message for message in read_po(file) if message.id}
    assert len(SOURCES) > 50
    assert set(catalogue) == SOURCES
    for message in catalogue.values():
        assert message.string, f"no Japanese for {message.id!r}"
        assert not message.fuzzy
        assert placeholders(str(message.string)) == placeholders(str(message.id))


def kinds_of(error: type[MemberError]) -> Iterator[type[MemberError]]:
    """All subclasses, and theirs."""
    for kind in error.__subclasses__():
        yield kind
        yield from kinds_of(kind)


def test_every_error_for_members_is_in_the_catalogue() -> None:
    kinds = [kind for kind in kinds_of(MemberError) if kind is not LimitReached]
    assert len(kinds) > 30
    for kind in kinds:
        assert kind.message in SOURCES


def test_errors_are_raised_with_what_their_message_needs() -> None:
    """What a limit tells is formatted; a field that is missing would end a refusal in an error."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    values: dict[str, object] = {"cost": 940, "left": 5, "amount": 30_000, "window": "24h", "when": now}
    values |= {"count": 1, "seconds": 60, "limit": 5, "live": 5, "until": None, "reason": "spam"}
    values |= {"channels": [7, 8], "whose": Phrase("{role}", {"role": "mine"})}
    for kind in kinds_of(LimitReached):
        for locale in ("en-US", "ja"):
            text = kind(**values).text(locale)
            assert "{" not in text
            if "{when}" in kind.message:
                assert f"<t:{int(now.timestamp())}:R>" in text


@pytest.mark.parametrize(("locale", "text"), [("en-US", "Cancel"), ("ja", "キャンセル"), ("fr", "Cancel")])
def test_the_locale_decides(locale: str, text: str) -> None:
    assert translator(locale)("Cancel") == text
