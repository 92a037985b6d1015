"""The terms of use: their text belongs to their version, and acceptance is for one version."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

import bot.safety.use_terms
from bot.database.session import Database
from bot.i18n import translator
from bot.safety.use_terms import CONCLUSION, INTRODUCTION, RESTRICTIONS, TERMS_VERSION, UseTerms
from bot.safety.waiting import WAITS_SECONDS, Waiting
from cogs.accept import terms_embed
from cogs.terms import LIBRARIES

TEXTS = {"1": "6f729637b22a1a05"}
"""The hash of each version's text. A new text needs a new version, so that everybody is asked again."""


def test_a_version_has_one_text() -> None:
    text = "\n".join([INTRODUCTION, *RESTRICTIONS, CONCLUSION])
    assert TEXTS[TERMS_VERSION] == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_terms_have_all_restrictions_of_the_licence() -> None:
    assert len(RESTRICTIONS) == 11


@pytest.mark.parametrize("locale", ["en-US", "ja"])
def test_the_terms_fit_into_one_message(locale: str) -> None:
    embed = terms_embed(translator(locale))
    assert embed.description is not None
    assert "https://huggingface.co/" in embed.description
    assert len(embed) <= 6000
    assert len(embed.description) <= 4096


async def test_acceptance_is_for_one_version(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Database.connect(database_url) as database:
        terms = UseTerms(database, required=True)
        assert not await terms.has_accepted(1)
        await terms.accept(1)
        await terms.accept(1)
        assert await terms.has_accepted(1)
        assert not await terms.has_accepted(2)
        monkeypatch.setattr(bot.safety.use_terms, "TERMS_VERSION", "2")
        assert not await terms.has_accepted(1)
        await terms.accept(1)
        assert await terms.has_accepted(1)


def test_every_library_is_named_with_its_licence() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    required = {re.split(r"[\[<>=]", name)[0] for name in project["dependencies"]}
    assert required <= {name for name, _, _ in LIBRARIES}
    assert all(licence and url.startswith("https://") for _, licence, url in LIBRARIES)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_waits_is_for_its_member_once_and_for_a_while() -> None:
    clock = Clock()
    waiting: Waiting[str] = Waiting(clock)
    key = waiting.put(1, "1girl")
    assert waiting.take(2, key) is None
    assert waiting.take(1, key) == "1girl"
    assert waiting.take(1, key) is None
    late = waiting.put(1, "late")
    clock.now = WAITS_SECONDS
    assert waiting.take(1, late) is None


def test_the_oldest_make_room() -> None:
    waiting: Waiting[int] = Waiting(Clock(), most=2)
    keys = [waiting.put(1, number) for number in range(3)]
    assert [waiting.take(1, key) for key in keys] == [None, 1, 2]
