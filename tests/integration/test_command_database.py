"""A database that fails for a while, as a full disk or a server that restarts does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

import bot.generation
import cogs.reply
from bot.database.models import LedgerEntryRow
from tests.integration.simcord_world import (
    World,
    interactions_with,
    is_japanese,
    open_world,
    sent_messages,
    until,
)

TRIGGER = "CREATE TRIGGER outage BEFORE UPDATE OF state ON jobs {} WHEN (new.state = '{}') {}"


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
    await execute(world, "ALTER TABLE jobs RENAME TO jobs_away")
    yield
    await execute(world, "ALTER TABLE jobs_away RENAME TO jobs")


@asynccontextmanager
async def without_state(world: World, state: str) -> AsyncIterator[None]:
    """No job can enter this state meanwhile."""
    is_sqlite = world.database.is_sqlite
    if is_sqlite:
        beginning = [TRIGGER.format("", state, "BEGIN SELECT RAISE(FAIL, 'disk full, as asked'); END")]
    else:
        beginning = [
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'disk full, as asked'; END $$",
            TRIGGER.format("FOR EACH ROW", state, "EXECUTE FUNCTION fail()"),
        ]
    await execute(world, *beginning)
    yield
    await execute(world, *["DROP TRIGGER outage"] if is_sqlite else ["DROP FUNCTION fail CASCADE"])


async def execute(world: World, *statements: str) -> None:
    async with world.database.session() as session:
        for statement in statements:
            await session.execute(text(statement))


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
    gate.touch()
    async with without_state(world, "running"):
        assert (await world.draw(prompt="1girl")).attachments
    assert (await world.last_job()).state == "delivered"


# --- at the very end of a job ---


@pytest.fixture
async def later(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[None]]:
    """What `bot/upkeep.py` does every few minutes."""
    monkeypatch.setattr(bot.generation, "JUST_ACCEPTED", timedelta(0))

    async def take_up() -> None:
        await world.service.take_up()
        await world.finish()

    return take_up


async def ledger(world: World) -> list[tuple[str, int]]:
    """Kind and amount of the entries."""
    async with world.database.session() as session:
        rows = await session.scalars(select(LedgerEntryRow).order_by(LedgerEntryRow.id))
        return [(row.kind, row.amount) for row in rows]


def uploads(world: World) -> int:
    """How often pictures were sent."""
    return len([body for body in sent_messages(world.env) if body.get("attachments")])


async def test_a_picture_that_came_while_it_could_not_be_recorded(
    world: World, later: Callable[[], Awaitable[None]]
) -> None:
    async with without_state(world, "succeeded"):
        message = await world.draw(prompt="1girl", seed="1")
        assert message.content.startswith("The bot's records cannot be reached just now.")
        await later()
        assert uploads(world) == 0
    await later()
    assert len(message.attachments) == uploads(world) == 1
    await later()
    assert uploads(world) == 1
    row = await world.last_job()
    assert (row.state, len(row.images)) == ("delivered", 1)
    assert world.picture_files() == []
    assert await ledger(world) == [("reserve", -row.cost), ("settle", 0)]


async def test_a_delivery_that_could_not_be_recorded(
    world: World, later: Callable[[], Awaitable[None]]
) -> None:
    async with without_state(world, "delivered"):
        message = await world.draw(prompt="1girl")
        assert message.attachments
        assert (await world.last_job()).state == "succeeded"
        await later()
    await later()
    row = await world.last_job()
    assert row.state == "delivered"
    assert [len(seen.attachments) for seen in world.channel.history()] == [1], "one message, not two"
    assert world.picture_files() == []
    assert await ledger(world) == [("reserve", -row.cost), ("settle", 0)]


async def test_a_cancellation_that_could_not_be_recorded(
    world: World, gate: Path, later: Callable[[], Awaitable[None]]
) -> None:
    """The member was told, so nothing is drawn, and what was done is paid once."""
    result = await world.ask(prompt="1girl slow")
    await until(world.env, lambda: result.response and "▰" in result.response.content)
    assert result.response is not None
    async with without_state(world, "cancelled"):
        await world.mika.click(result.response, label="Cancel")
        message = await world.answer_to(result)
        assert message.content.startswith("Cancelled. No picture was drawn.")
        gate.touch()
        await later()
        assert (await world.last_job()).state == "running"
    await later()
    await later()
    row = await world.last_job()
    assert (row.state, uploads(world), message.attachments) == ("cancelled", 0, [])
    (reserve, cost), (settle, back) = await ledger(world)
    assert (reserve, cost, settle) == ("reserve", -row.cost, "settle")
    assert 0 < back < row.cost
