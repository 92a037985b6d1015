"""SIGTERM at a bad moment: while a command is on its way to a job, or a picture on its way to Discord."""

from __future__ import annotations

from pathlib import Path

import pytest

from .bot_process import running_bot, until_it_can_draw, wait_gone
from .handles import Interaction
from .loopback_discord import LoopbackDiscord
from .rest import Hold
from .scene import DELIVERY_SECONDS, Scene, assert_next_start_delivers, stop
from .seen import has_pictures, job_states, logged_errors, sentences


@pytest.fixture
def callback_window() -> float:
    """A first answer that a 429 put off is late on purpose; whether it is too late is not asked here."""
    return 60.0


async def test_a_command_whose_first_answer_was_put_off_is_answered_before_the_end(scene: Scene) -> None:
    family = scene.bot.family()
    scene.server.fail_next("POST", "/interactions/*/callback", 429, retry_after=1.0)
    interaction = await scene.server.slash("trinart", {"prompt": "a lighthouse"})
    callback = f"/interactions/{interaction.id}/*"
    put_off = await scene.server.requested("POST", callback, timeout=DELIVERY_SECONDS)
    assert put_off.status == 429
    await stop(scene)
    await wait_gone(family)
    assert_is_answered(interaction)


async def end_while_held(scene: Scene, held: Hold) -> None:
    """Tell the bot to stop while a request of its is held, and let that through once it is stopping."""
    scene.bot.terminate()
    await scene.bot.said("stopping")
    held.release()
    assert await scene.bot.exit_code() == 0


async def test_a_command_whose_first_answer_is_on_its_way_is_answered_before_the_end(scene: Scene) -> None:
    family = scene.bot.family()
    held = scene.server.hold_next("POST", "/interactions/*/callback")
    interaction = await scene.server.slash("trinart", {"prompt": "a lighthouse"})
    await held.arrived(DELIVERY_SECONDS)
    await end_while_held(scene, held)
    await wait_gone(family)
    assert_is_answered(interaction)


async def test_a_picture_on_its_way_arrives_before_the_end(scene: Scene) -> None:
    held = scene.server.hold_next("PATCH", "/webhooks/*", uploads_only=True)
    interaction = await scene.server.slash("trinart", {"prompt": "a lighthouse"})
    await held.arrived(DELIVERY_SECONDS)
    await end_while_held(scene, held)
    assert has_pictures(interaction)
    assert job_states(scene.data_dir) == ["delivered"]


async def test_a_picture_that_discord_is_too_slow_for_is_delivered_by_the_next_start(scene: Scene) -> None:
    family = scene.bot.family()
    held = scene.server.hold_next("PATCH", "/webhooks/*", uploads_only=True)
    interaction = await scene.server.slash("trinart", {"prompt": "a lighthouse"})
    await held.arrived(DELIVERY_SECONDS)
    await stop(scene)
    await wait_gone(family)
    held.lose()
    assert not has_pictures(interaction)
    assert job_states(scene.data_dir) == ["succeeded"]
    await assert_next_start_delivers(scene, interaction)


async def test_a_picture_cut_off_with_the_session_is_delivered_by_the_next_start(
    server: LoopbackDiscord, tmp_path: Path
) -> None:
    """Discord sends the bot away in the middle of an upload, as it does when the token was reset."""
    async with running_bot(server, tmp_path) as bot:
        await until_it_can_draw(server, bot)
        held = server.hold_next("PATCH", "/webhooks/*", uploads_only=True)
        interaction = await server.slash("trinart", {"prompt": "a lighthouse"})
        await held.arrived(DELIVERY_SECONDS)
        family = bot.family()
        await server.drop_gateway(resumable=False, how="close", code=4004)
        assert await bot.exit_code() == 1
        await wait_gone(family)
        held.lose()
    assert len(sentences(bot)) == 1
    assert logged_errors(bot) == []
    assert job_states(tmp_path) == ["succeeded"]
    assert not shows_a_failure(interaction)
    await assert_next_start_delivers(Scene(server, bot, tmp_path), interaction)


def assert_is_answered(interaction: Interaction) -> None:
    """Nobody is left looking at "is thinking" by a bot that has gone."""
    assert interaction.acknowledged
    assert has_pictures(interaction) or "restarting" in interaction.history[-1].content


def shows_a_failure(interaction: Interaction) -> bool:
    """Whether the progress was replaced by a text, which has no Cancel button."""
    assert interaction.message is not None
    return bool(interaction.message["content"]) and not interaction.message["components"]
