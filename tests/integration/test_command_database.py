"""A database that fails for a while, as a full disk or a server that restarts does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

import cogs.reply
from tests.integration.simcord_world import World, interactions_with, is_japanese, open_world, until

TRIGGER = "CREATE TRIGGER no_start BEFORE UPDATE OF state ON jobs {} WHEN (new.state = 'running') {}"
NO_START = {
    True: [TRIGGER.format("", "BEGIN SELECT RAISE(FAIL, 'disk full, as asked'); END")],
    False: [
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'disk full, as asked'; END $$",
        TRIGGER.format("FOR EACH ROW", "EXECUTE FUNCTION fail()"),
    ],
}
"""Statements after which no job can become `running`, on SQLite and elsewhere."""

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slow jobs go on when this file exists."""
    path = tmp_path / "gate"
    monkeypatch.setenv("PLAIN_WORKER_GATE", str(path))
    monkeypatch.setattr(cogs.reply, "PROGRESS_SECONDS", 0.0)
    return path


@pytest.fixture
async def world(tmp_path: Path, gate: Path, database_url: str) -> AsyncIterator[World]:
    async with open_world(tmp_path / "data", database_url=database_url) as world:
        yield world


@asynccontextmanager
async def without_jobs_table(world: World) -> AsyncIterator[None]:
    """Every statement about jobs fails meanwhile; nothing is lost."""
    await rename_table(world, "jobs", "jobs_away")
    yield
    await rename_table(world, "jobs_away", "jobs")


async def rename_table(world: World, old: str, new: str) -> None:
    async with world.database.session() as session:
        await session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))
        await session.commit()


@LOCALES
async def test_a_command_that_cannot_be_recorded_says_so(world: World, locale: str) -> None:
    with interactions_with(locale=locale):
        async with without_jobs_table(world):
            result = await world.ask(prompt="1girl")
            await world.finish()
    assert result.response is not None
    assert is_japanese(result.response.content) == (locale == "ja")
    assert "記録できなかった" in result.response.content or "could not be recorded" in result.response.content
    assert await world.jobs() == []


@LOCALES
async def test_a_cancel_that_cannot_be_looked_up_can_be_tried_again(
    world: World, gate: Path, locale: str
) -> None:
    result = await world.ask(prompt="1girl slow")
    await until(world.env, lambda: result.response and "▰" in result.response.content)
    assert result.response is not None
    async with without_jobs_table(world):
        with interactions_with(locale=locale):
            click = await world.mika.click(result.response, label="Cancel")
        assert click.response is not None
        assert click.response.ephemeral
        assert is_japanese(click.response.content) == (locale == "ja")
    gate.touch()
    assert (await world.answer_to(result)).attachments


async def test_a_start_that_cannot_be_recorded_costs_nobody_a_picture(world: World, gate: Path) -> None:
    """The job is drawn while its row cannot be written, and the rest of its life is recorded."""
    async with world.database.session() as session:
        for statement in NO_START[world.database.is_sqlite]:
            await session.execute(text(statement))
    gate.touch()
    assert (await world.draw(prompt="1girl")).attachments
    assert (await world.last_job()).state == "delivered"
