"""Versions of servers' presets: whatever is done to them, none is ever lost or changed."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from bot.audit import Admin
from bot.database.failures import RecordsUnavailable
from bot.database.models import AuditRow
from bot.database.session import Database
from bot.errors import MemberError, UnknownPreset
from bot.preset_store import PresetStore
from bot.presets import PresetBook
from bot.server_presets import (
    InvalidPresetName,
    MayNotManage,
    NoSuchPreset,
    PresetDraft,
    PresetNameTaken,
    check_name,
)
from tests.fixtures.safety import screening

BOOK = PresetBook.load()
BOSS = Admin(actor_id=1, guild_id=2, may_manage=True)
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
                    await store.create(BOSS, name, draft(prompt))
                continue
            await store.create(BOSS, name, draft(prompt))
            versions.append(prompt)
        elif not is_there:
            with pytest.raises(NoSuchPreset):
                await (
                    store.delete(BOSS, name) if action == "delete" else store.edit(BOSS, name, draft(prompt))
                )
        elif action == "delete":
            await store.delete(BOSS, name)
            versions.append(None)
        else:
            change = await store.edit(BOSS, name, draft(prompt))
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
                    book = await store.book(BOSS.guild_id, exact)
                    if prompt is None:
                        assert not book.has(exact)
                    else:
                        assert book.get(exact).prompt == prompt
                        assert book.get(exact).label.casefold() == exact
                assert (await store.book(BOSS.guild_id, key)).has(key) == (
                    bool(versions) and versions[-1] is not None
                )
            live = [preset.name.casefold() for preset in await store.live(BOSS.guild_id)]
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
        await store.create(BOSS, "Foggy", draft("fog"))
        with pytest.raises(NoSuchPreset):
            await store.get(BOSS.guild_id, name)
        with pytest.raises(NoSuchPreset):
            await store.versions(BOSS.guild_id, name)
        book = await store.book(BOSS.guild_id, name)
        if name:
            with pytest.raises(UnknownPreset):
                book.get(name)


async def test_times_and_authors_are_kept(tmp_path: Path) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    times = iter([now, now + timedelta(days=1)])
    async with Database.connect(f"sqlite+aiosqlite:///{tmp_path / 'db'}") as database:
        store = PresetStore(database, BOOK, screening(database), clock=lambda: next(times))
        await store.create(BOSS, "Foggy", draft("fog"))
        await store.edit(Admin(actor_id=7, guild_id=2, may_manage=True), "FOGGY", draft("mist"))
        newest, first = await store.versions(2, "foggy")
        assert (newest.author_id, first.author_id) == (7, 1)
        assert newest.created_at - first.created_at == timedelta(days=1)


async def test_changes_at_the_same_time_make_one_version_each(database_url: str) -> None:
    """From two processes: none overwrites another, and each has its row in the audit log."""
    async with (
        Database.connect(database_url) as database,
        Database.connect(database_url, upgrade=False) as other,
    ):
        stores = [PresetStore(database, BOOK, screening(database)), PresetStore(other, BOOK)]
        await stores[0].create(BOSS, "Foggy", draft("fog"))
        prompts = [f"fog {number}" for number in range(8)]
        await asyncio.gather(
            *(stores[n % 2].edit(BOSS, "Foggy", draft(prompt)) for n, prompt in enumerate(prompts))
        )
        versions = await stores[1].versions(BOSS.guild_id, "Foggy")
        assert [version.version for version in versions] == list(range(9, 0, -1))
        assert {version.draft.prompt for version in versions} == {"fog", *prompts}
        async with database.session() as session:
            rows = list(await session.scalars(select(AuditRow).order_by(AuditRow.id)))
        assert [row.action for row in rows] == ["preset.create"] + ["preset.edit"] * 8
        for earlier, later in pairwise(rows):
            assert later.before == earlier.after


async def test_without_the_permission_nothing_is_changed(tmp_path: Path) -> None:
    nobody = Admin(actor_id=3, guild_id=2, may_manage=False)
    async with Database.connect(f"sqlite+aiosqlite:///{tmp_path / 'db'}") as database:
        store = PresetStore(database, BOOK, screening(database))
        await store.create(BOSS, "Foggy", draft("fog"))
        for change in (
            store.create(nobody, "Misty", draft("mist")),
            store.edit(nobody, "Foggy", draft("mist")),
            store.delete(nobody, "Foggy"),
        ):
            with pytest.raises(MayNotManage):
                await change
        assert [(preset.name, preset.version) for preset in await store.live(2)] == [("Foggy", 1)]


async def test_without_a_database_the_shipped_presets_work(tmp_path: Path) -> None:
    """And whoever wants another one hears why it cannot be had."""
    async with Database.connect(f"sqlite+aiosqlite:///{tmp_path / 'db'}") as database:
        store = PresetStore(database, BOOK, screening(database))
        await database.downgrade("base")
        for wanted in (None, " ", "more details"):
            assert await store.book(2, wanted) == BOOK
        with pytest.raises(RecordsUnavailable):
            await store.book(2, "Foggy")
        for action in (store.live(2), store.get(2, "Foggy"), store.create(BOSS, "Foggy", draft("fog"))):
            with pytest.raises(MemberError):
                await action
