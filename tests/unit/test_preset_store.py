"""Versions of servers' presets: whatever is done to them, none is ever lost or changed."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.database.failures import RecordsUnavailable
from bot.database.session import Database
from bot.errors import MemberError, UnknownPreset
from bot.preset_store import PresetStore
from bot.presets import PresetBook
from bot.server_presets import (
    Editor,
    InvalidPresetName,
    NoSuchPreset,
    PresetDraft,
    PresetNameTaken,
    check_name,
)
from tests.fixtures.safety import screening

BOOK = PresetBook.load()
EDITOR = Editor(user_id=1, guild_id=2, may_manage=True)
NAMES = ("Foggy", "Day", "foggy", "Straße")

steps = st.lists(
    st.tuples(
        st.sampled_from(["create", "edit", "delete"]),
        st.sampled_from(NAMES),
        st.sampled_from(["fog", "mist"]),
    ),
    max_size=12,
)


def draft(prompt: str) -> PresetDraft:
    return PresetDraft(description="", prompt=prompt, negative="")


async def play(store: PresetStore, plan: list[tuple[str, str, str]]) -> dict[str, list[str | None]]:
    """Carry the plan out; returns what each version has to say, None for a deletion."""
    said: dict[str, list[str | None]] = {}
    for action, name, prompt in plan:
        versions = said.setdefault(name.casefold(), [])
        is_there = bool(versions) and versions[-1] is not None
        if action == "create":
            if is_there:
                with pytest.raises(PresetNameTaken):
                    await store.create(EDITOR, name, draft(prompt))
                continue
            await store.create(EDITOR, name, draft(prompt))
            versions.append(prompt)
        elif not is_there:
            with pytest.raises(NoSuchPreset):
                await (
                    store.delete(EDITOR, name)
                    if action == "delete"
                    else store.edit(EDITOR, name, draft(prompt))
                )
        elif action == "delete":
            await store.delete(EDITOR, name)
            versions.append(None)
        else:
            change = await store.edit(EDITOR, name, draft(prompt))
            if prompt != versions[-1]:
                versions.append(prompt)
            assert change.after.version == len(versions)
    return said


@settings(max_examples=15, deadline=None)
@given(steps)
async def test_every_version_can_be_named_for_ever(plan: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Database.connect(f"sqlite+aiosqlite:///{Path(folder) / 'db'}") as database:
            store = PresetStore(database, BOOK, screening(database))
            said = await play(store, plan)
            for key, versions in said.items():
                for number, prompt in enumerate(versions, start=1):
                    exact = f"{key}@{number}"
                    book = await store.book(EDITOR.guild_id, exact)
                    if prompt is None:
                        assert not book.has(exact)
                    else:
                        assert book.get(exact).prompt == prompt
                        assert book.get(exact).label.casefold() == exact
                assert (await store.book(EDITOR.guild_id, key)).has(key) == (
                    bool(versions) and versions[-1] is not None
                )
            live = [preset.name.casefold() for preset in await store.live(EDITOR.guild_id)]
            assert live == sorted(key for key, versions in said.items() if versions and versions[-1])


@given(st.text(max_size=60))
def test_a_name_is_refused_or_fits_its_column(text: str) -> None:
    try:
        name = check_name(text)
    except InvalidPresetName:
        return
    assert 1 <= len(name) <= 32
    assert len(name.casefold()) <= 64
    assert len(f"{name}@{10**9}") <= 64, "jobs keep the label"
    assert name == " ".join(name.split())
    assert not set("@`\0") & set(name)


@pytest.mark.parametrize(
    "name", ["Foggy@", "@1", "Foggy@1@2", "Foggy@99999999999", "a\0b", "%", "_", "' OR 1=1 --", ""]
)
async def test_odd_names_are_just_unknown(tmp_path: Path, name: str) -> None:
    async with Database.connect(f"sqlite+aiosqlite:///{tmp_path / 'db'}") as database:
        store = PresetStore(database, BOOK, screening(database))
        await store.create(EDITOR, "Foggy", draft("fog"))
        with pytest.raises(NoSuchPreset):
            await store.get(EDITOR.guild_id, name)
        with pytest.raises(NoSuchPreset):
            await store.versions(EDITOR.guild_id, name)
        book = await store.book(EDITOR.guild_id, name)
        if name:
            with pytest.raises(UnknownPreset):
                book.get(name)


async def test_times_and_authors_are_kept(tmp_path: Path) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    times = iter([now, now + timedelta(days=1)])
    async with Database.connect(f"sqlite+aiosqlite:///{tmp_path / 'db'}") as database:
        store = PresetStore(database, BOOK, screening(database), clock=lambda: next(times))
        await store.create(EDITOR, "Foggy", draft("fog"))
        await store.edit(Editor(user_id=7, guild_id=2, may_manage=True), "FOGGY", draft("mist"))
        newest, first = await store.versions(2, "foggy")
        assert (newest.author_id, first.author_id) == (7, 1)
        assert newest.created_at - first.created_at == timedelta(days=1)


async def test_without_a_database_the_shipped_presets_work(tmp_path: Path) -> None:
    """And whoever wants another one hears why it cannot be had."""
    async with Database.connect(f"sqlite+aiosqlite:///{tmp_path / 'db'}") as database:
        store = PresetStore(database, BOOK, screening(database))
        await database.downgrade("base")
        for wanted in (None, " ", "more details"):
            assert await store.book(2, wanted) == BOOK
        with pytest.raises(RecordsUnavailable):
            await store.book(2, "Foggy")
        for action in (store.live(2), store.get(2, "Foggy"), store.create(EDITOR, "Foggy", draft("fog"))):
            with pytest.raises(MemberError):
                await action
