"""A disk or a database that takes nothing: members are told, and nothing is charged."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from bot.database import sqlite
from bot.database.models import LedgerEntryRow
from bot.errors import PictureNotKept
from tests.integration.simcord_world import World, interactions_with, is_japanese, open_world

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    async with open_world(tmp_path / "data") as world:
        yield world


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Somebody else writes, and does not come to an end."""
    with closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def charged(world: World) -> int:
    async with world.database.session() as session:
        return -int(await session.scalar(select(func.sum(LedgerEntryRow.amount))) or 0)


@LOCALES
async def test_a_locked_database_refuses_and_charges_nothing(world: World, locale: str) -> None:
    with interactions_with(locale=locale), locked(world.settings.data_dir / "trinart.db"):
        result = await world.ask(prompt="1girl")
        await world.finish()
    assert result.response is not None
    assert is_japanese(result.response.content) == (locale == "ja")
    assert await world.jobs() == []
    assert await charged(world) == 0
    assert len((await world.draw(prompt="1girl")).attachments) == 1


@LOCALES
async def test_a_picture_that_cannot_be_written_is_refunded(world: World, locale: str) -> None:
    pictures = world.settings.pictures_dir
    pictures.rmdir()
    pictures.touch()  # a file: as little can be written into it as onto a full disk
    with interactions_with(locale=locale):
        message = await world.draw(prompt="1girl")
    assert message.attachments == []
    job = await world.last_job()
    assert (job.state, job.error_code) == ("failed", "disk")
    assert message.content == PictureNotKept(job_id=job.id[:8]).text(locale)
    assert is_japanese(message.content) == (locale == "ja")
    assert await charged(world) == 0
    pictures.unlink()
    assert len((await world.draw(prompt="1girl")).attachments) == 1
