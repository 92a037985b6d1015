"""A job outlives the bot that took it, and a picture outlives a Discord that could not take it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord

import cogs.reply
from tests.integration.simcord_world import (
    STUCK_WORKER,
    World,
    buttons,
    embed_fields,
    interactions_with,
    is_japanese,
    open_world,
    pictures,
    read_png,
    sent_messages,
    shows_button,
    until,
)


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slow jobs go on when this file exists."""
    path = tmp_path / "gate"
    monkeypatch.setenv("PLAIN_WORKER_GATE", str(path))
    return path


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """What is left when the bot ends, and there when it starts again."""
    return tmp_path / "data"


@asynccontextmanager
async def stopped_in_mid_job(
    data_dir: Path, locale: str = "en-US", **settings: Any
) -> AsyncIterator[tuple[World, simcord.InteractionResult]]:
    """A bot that is told to stop after the first step of Mika's slow picture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cogs.reply, "PROGRESS_SECONDS", 0.0)
        async with open_world(data_dir, **settings) as world:
            with interactions_with(locale=locale):
                result = await world.ask(prompt="1girl slow", seed="9")
            await until(world.env, lambda: result.response and "▰" in result.response.content)
            yield world, result
            await world.service.runs.drain(grace=0)


@asynccontextmanager
async def away_from_discord(data_dir: Path) -> AsyncIterator[tuple[World, simcord.InteractionResult]]:
    """A bot that has drawn a picture, and Discord is away for as long as it tries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cogs.reply, "DELIVERY_ATTEMPTS", 1)
        async with open_world(data_dir) as world:
            world.env.inject_error("PATCH", "/webhooks/*/messages/*", status=503, times=None)
            result = await world.ask(prompt="1girl", seed="9")
            await world.finish()
            yield world, result
    world.env.backend.faults.clear()


def uploads(env: simcord.Env, since: int = 0) -> int:
    """How many times the bot sent files."""
    return len([body for body in sent_messages(env, since) if body.get("attachments")])


# --- stopped in mid-job ---


async def test_a_picture_comes_after_a_restart_into_its_own_message(
    data_dir: Path, gate: Path, database_url: str
) -> None:
    async with stopped_in_mid_job(data_dir, database_url=database_url) as (before, result):
        assert result.response is not None
        message_id = result.response.id
    assert before.env.http_requests, "the bot is gone; Discord is not"
    gate.touch()

    async with open_world(data_dir, after=before, database_url=database_url) as world:
        message = await world.answer_to(result)
        assert message.id == message_id
        assert [attachment.filename for attachment in message.attachments] == ["trinart-9.png"]
        assert buttons(message) == []
        assert [seen.id for seen in world.channel.history()] == [message_id]
        assert uploads(world.env) == 1
        [row] = await world.jobs()
        assert (row.state, row.interaction_token) == ("delivered", None)
        assert world.picture_files() == []


async def test_a_stopped_job_is_unfinished_in_the_database(data_dir: Path, gate: Path) -> None:
    """It keeps what its answer needs: the token and the message."""
    async with stopped_in_mid_job(data_dir) as (world, result):
        await world.env.shutdown()
        await world.service.runs.drain(grace=0)
        [row] = await world.jobs()
        assert row.state == "running"
        assert row.interaction_token
        assert result.response is not None
        assert row.message_id == result.response.id
        assert result.response.attachments == []


async def test_the_answer_after_a_restart_is_in_the_members_language(data_dir: Path, gate: Path) -> None:
    async with stopped_in_mid_job(data_dir, locale="ja") as (before, result):
        pass
    gate.touch()
    async with open_world(data_dir, after=before) as world:
        message = await world.answer_to(result)
        assert "シード" in embed_fields(message)
        assert is_japanese(message.attachments[0].description or "")


async def test_the_cancel_button_of_before_works_after_a_restart(data_dir: Path, gate: Path) -> None:
    async with stopped_in_mid_job(data_dir) as (before, result):
        pass
    async with open_world(data_dir, after=before) as world:
        assert result.response is not None
        await world.mika.click(result.response, label="Cancel")
        message = await world.answer_to(result)
        assert message.content.startswith("Cancelled. No picture was drawn.")
        [row] = await world.jobs()
        assert row.state == "cancelled"


async def test_a_job_can_be_interrupted_again_and_again(data_dir: Path, gate: Path) -> None:
    async with stopped_in_mid_job(data_dir) as (world, result):
        pass
    for _ in range(2):
        async with open_world(data_dir, after=world) as world:
            await world.service.runs.drain(grace=0)
    gate.touch()
    async with open_world(data_dir, after=world) as world:
        assert (await world.answer_to(result)).attachments
        assert uploads(world.env) == 1


async def test_a_finished_job_is_not_touched_by_a_restart(data_dir: Path) -> None:
    async with open_world(data_dir) as before:
        await before.draw(prompt="1girl")
    first = len(before.env.http_requests)
    async with open_world(data_dir, after=before) as world:
        await world.finish()
        assert sent_messages(world.env, first) == []


# --- drawn, but not delivered ---


async def test_a_picture_that_discord_could_not_take_is_kept(data_dir: Path) -> None:
    async with away_from_discord(data_dir) as (world, result):
        [row] = await world.jobs()
        assert row.state == "succeeded"
        assert row.interaction_token
        assert [file.name for file in world.picture_files()] == [row.images[0].file_name]
        assert result.response is not None
        assert result.response.attachments == []


async def test_a_kept_picture_is_delivered_without_being_drawn_again(data_dir: Path) -> None:
    """The proof: the engine of the next bot never gets ready, and the picture comes nevertheless."""
    async with away_from_discord(data_dir) as (before, result):
        [kept] = before.picture_files()
        png = kept.read_bytes()

    async with open_world(data_dir, after=before, worker_module=STUCK_WORKER, wait_for_engine=False) as world:
        message = await world.answer_to(result)
        assert await pictures(message) == [png]
        assert embed_fields(message)["Model"] == "studio `0000000000`", "the model that drew it"
        assert embed_fields(message)["Size"] == "64×64, enlarged ×2 for viewing"
        [row] = await world.jobs()
        assert (row.state, row.interaction_token) == ("delivered", None)
        assert world.picture_files() == []


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize("damage", [Path.unlink, cut_short])
async def test_a_picture_lost_on_disk_is_drawn_again(data_dir: Path, damage: Callable[[Path], None]) -> None:
    """From the same request, so it is the same picture."""
    async with away_from_discord(data_dir) as (before, result):
        [kept] = before.picture_files()
        png = kept.read_bytes()
    damage(kept)

    async with open_world(data_dir, after=before) as world:
        assert await pictures(await world.answer_to(result)) == [png]
        [row] = await world.jobs()
        assert row.state == "delivered"
        assert len(row.images) == 1


# --- the answer's way is closed ---


async def test_after_a_quarter_of_an_hour_the_picture_comes_as_a_new_message(
    data_dir: Path, gate: Path
) -> None:
    """The interaction's token is worth nothing by then; the bot's own still is."""
    async with open_world(data_dir) as world:
        result = await world.ask(prompt="1girl slow", seed="9")
        await until(world.env, lambda: shows_button(result))
        await world.env.advance_time(16 * 60)
        gate.touch()
        await world.finish()

        message = world.channel.last_message
        assert message is not None
        assert [attachment.filename for attachment in message.attachments] == ["trinart-9.png"]
        assert message.content == f"<@{world.mika.id}> your picture is ready."
        assert message.embeds[0].description == "1girl slow"
        assert sent_messages(world.env)[-1]["allowed_mentions"] == {"parse": []}
        assert result.response is not None
        assert buttons(result.response) == [], "the old message shows no bar and no button for ever"
        assert (await world.last_job()).state == "delivered"


async def test_where_the_bot_may_not_write_the_picture_comes_by_direct_message(
    data_dir: Path, gate: Path
) -> None:
    async with open_world(data_dir) as world:
        result = await world.ask(prompt="1girl slow", seed="9")
        await until(world.env, lambda: shows_button(result))
        await world.env.advance_time(16 * 60)
        world.env.inject_error("POST", f"/channels/{world.channel.id}/messages", status=403, code=50013)
        gate.touch()
        await world.finish()

        message = world.mika.user.dm_channel.last_message
        assert message is not None
        [attachment] = message.attachments
        assert read_png(await attachment.read())[0].startswith("1girl slow"), "the whole file again"
        assert (await world.last_job()).state == "delivered"


async def test_the_pictures_of_a_message_that_was_deleted_are_kept_for_jobs(
    data_dir: Path, gate: Path
) -> None:
    """A moderator may have deleted it: who asked can still fetch them, or pays nothing."""
    async with open_world(data_dir) as world:
        result = await world.ask(prompt="1girl slow")
        await until(world.env, lambda: shows_button(result))
        assert result.response is not None
        world.env.backend.delete_message(result.response.channel_id, result.response.id)
        gate.touch()
        await world.finish()
        assert world.channel.history() == []
        row = await world.last_job()
        assert row.state == "succeeded"
        assert row.undelivered_at is not None
        assert world.picture_files() != []


# --- forms ---


@pytest.mark.parametrize("locale", ["en-US", "ja"])
async def test_forms_that_were_open_while_the_bot_restarted(data_dir: Path, locale: str) -> None:
    """What was typed into them is done, or comes back."""
    async with open_world(data_dir) as before:
        managers = before.guild.create_role("managers", permissions=discord.Permissions(manage_guild=True))
        boss = before.guild.add_member(before.env.create_user("boss"), roles=[managers])
        first = await boss.slash(before.channel, "preset create")
        await boss.submit_modal(first, {"name": "Foggy", "prompt": "fog"})
        new = await boss.slash(before.channel, "preset create")
        change = await boss.slash(before.channel, "preset edit", name="foggy")

    async with open_world(data_dir, after=before) as world:
        with interactions_with(locale=locale):
            done = (await boss.submit_modal(change, {"prompt": "thick fog"})).response
            taken = (await boss.submit_modal(new, {"name": "FOGGY", "prompt": "many words"})).response
        assert done is not None
        assert taken is not None
        assert embed_fields(done)[{"en-US": "Added to the prompt", "ja": "プロンプトに加える言葉"}[locale]]
        assert is_japanese(done.content) == is_japanese(taken.content) == (locale == "ja")
        assert done.ephemeral
        assert taken.ephemeral
        assert "`Foggy@1`" in done.content
        [file] = taken.attachments
        assert "many words" in (await file.read()).decode()
        book = await world.service.presets_in(world.guild.id, "Foggy")
        assert book.get("Foggy").prompt == "thick fog"
