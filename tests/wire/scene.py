"""A bot that can draw in front of a Discord, and what the tests of several files do with the two."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.fixtures.databases import make_tables

from .bot_process import BotProcess, gate, running_bot, until_it_can_draw, wait_gone
from .handles import Interaction
from .loopback_discord import LoopbackDiscord
from .seen import assert_log_is_json, has_pictures, job_states

DELIVERY_SECONDS = 30.0
"""For a picture to arrive, retries included; nothing but a broken bot ever waits this long."""


@dataclass(frozen=True)
class Scene:
    """A bot that can draw, and the Discord that it is connected to."""

    server: LoopbackDiscord
    bot: BotProcess
    data_dir: Path


@asynccontextmanager
async def playing(
    server: LoopbackDiscord, data_dir: Path, env: dict[str, str] | None = None
) -> AsyncIterator[Scene]:
    """A bot with the plain worker, ready to draw; it ends in order, unless the test has ended it."""
    await make_tables(data_dir / "trinart.db")
    async with running_bot(server, data_dir, env=env) as bot:
        await until_it_can_draw(server, bot)
        yield Scene(server, bot, data_dir)
        if bot.is_running:
            bot.terminate()
            assert await bot.exit_code() == 0
    assert_log_is_json(bot, server.world.token)


async def stop(scene: Scene) -> None:
    """End the bot in order, so that what it was about to do has been done."""
    scene.bot.terminate()
    assert await scene.bot.exit_code() == 0


async def kill(scene: Scene) -> None:
    """kill -9, and wait until what the bot had started has ended as well."""
    family = scene.bot.family()
    stopped = [process for process in family if process.status() == psutil.STATUS_STOPPED]
    scene.bot.kill()
    for process in stopped:
        process.kill()  # it cannot see that nobody is left
    await scene.bot.exit_code()
    await wait_gone(family)


async def cancel(server: LoopbackDiscord, interaction: Interaction) -> None:
    """Press the Cancel button below an answer's progress."""
    assert interaction.message is not None
    [row] = interaction.message["components"]
    await server.click(interaction.message, row["components"][0]["custom_id"])


async def assert_next_start_delivers(scene: Scene, interaction: Interaction) -> None:
    """The next bot on the same folder puts the picture where the first one showed the progress."""
    gate(scene.data_dir).touch()
    async with running_bot(scene.server, scene.data_dir) as successor:
        await interaction.wait(has_pictures, DELIVERY_SECONDS)
        successor.terminate()
        assert await successor.exit_code() == 0
    assert scene.server.messages(scene.server.channel["id"]) == [interaction.message]
    assert interaction.followups == []
    assert job_states(scene.data_dir) == ["delivered"]
    assert_log_is_json(successor, scene.server.world.token)
