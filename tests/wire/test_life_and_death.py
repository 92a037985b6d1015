"""The bot's process: how it starts, how it ends, and what the next one makes of what it left.

Nothing in here looks into the bot: these tests see the requests that it makes, the lines that it logs, the
processes that it leaves.
"""

from __future__ import annotations

from pathlib import Path

from .bot_process import BotProcess, gate, running_bot, until_it_can_draw, wait_gone
from .loopback_discord import LoopbackDiscord
from .scene import DELIVERY_SECONDS, Scene, assert_next_start_delivers, cancel, stop
from .seen import assert_log_is_json, button_labels, has_pictures, job_states, sentences, shows_progress


async def test_a_refused_token_is_one_sentence_and_exit_code_2(
    server: LoopbackDiscord, tmp_path: Path
) -> None:
    token = "not.the.token"
    bot = await BotProcess.start({**server.env(), "DISCORD_TOKEN": token}, tmp_path)
    try:
        assert await bot.exit_code() == 2
    finally:
        await bot.clean_up()
    [sentence] = sentences(bot)
    assert "DISCORD_TOKEN" in sentence
    assert token not in "".join(bot.stdout + bot.stderr)


async def test_a_missing_token_is_one_sentence_that_says_where_to_get_one(
    server: LoopbackDiscord, tmp_path: Path
) -> None:
    bot = await BotProcess.start({**server.env(), "DISCORD_TOKEN": ""}, tmp_path)
    try:
        assert await bot.exit_code() == 2
    finally:
        await bot.clean_up()
    [sentence] = bot.stderr
    assert "https://discord.com/developers/applications" in sentence
    assert server.requests == []


async def test_an_idle_bot_ends_in_order_and_leaves_nothing(scene: Scene) -> None:
    family = scene.bot.family()
    assert len(family) == 3
    await stop(scene)
    await wait_gone(family)
    records = scene.bot.records()
    assert all(record.keys() >= {"event", "level", "logger", "timestamp"} for record in records)
    assert {record["logger"] for record in records} >= {"bot.serve", "engine.core.server"}


async def test_a_job_is_finished_before_the_bot_ends(scene: Scene) -> None:
    family = scene.bot.family()
    interaction = await scene.server.slash("trinart", {"prompt": "slow"})
    await interaction.wait(shows_progress, DELIVERY_SECONDS)
    scene.bot.terminate()
    await scene.bot.said("stopping")
    latecomer = await scene.server.slash("trinart", {"prompt": "another"})
    await latecomer.wait(lambda i: i.message is not None, DELIVERY_SECONDS)
    gate(scene.data_dir).touch()
    assert await scene.bot.exit_code() == 0
    await wait_gone(family)
    assert has_pictures(interaction)
    assert interaction.message is not None
    assert (interaction.message["content"], button_labels(interaction.message)) == ("", ["Report"])
    assert "restarting" in latecomer.history[-1].content
    assert job_states(scene.data_dir) == ["delivered"]


async def test_a_bot_told_to_end_while_it_starts_ends(server: LoopbackDiscord, tmp_path: Path) -> None:
    async with running_bot(server, tmp_path) as bot:
        await bot.said("logging in")
        family = bot.family()
        bot.terminate()
        assert await bot.exit_code() == 0
        await wait_gone(family)
    assert_log_is_json(bot, server.world.token)


async def test_a_bot_told_to_end_while_it_connects_ends(server: LoopbackDiscord, tmp_path: Path) -> None:
    held = server.hold_next("GET", "/gateway*")
    async with running_bot(server, tmp_path) as bot:
        await held.arrived(DELIVERY_SECONDS)
        family = bot.family()
        bot.terminate()
        assert await bot.exit_code() == 0
        await wait_gone(family)
        held.lose()
    assert_log_is_json(bot, server.world.token)


async def test_the_cancel_button_of_a_killed_bot_works_in_the_next(scene: Scene) -> None:
    interaction = await scene.server.slash("trinart", {"prompt": "slow"})
    await interaction.wait(shows_progress, DELIVERY_SECONDS)
    scene.bot.kill()
    await scene.bot.exit_code()
    async with running_bot(scene.server, scene.data_dir) as successor:
        await until_it_can_draw(scene.server, successor)
        await cancel(scene.server, interaction)
        await interaction.wait(lambda i: "Cancelled" in i.history[-1].content, DELIVERY_SECONDS)
        successor.terminate()
        assert await successor.exit_code() == 0
    assert interaction.message is not None
    assert interaction.message["components"] == []
    assert job_states(scene.data_dir) == ["cancelled"]


async def test_a_job_too_slow_for_the_end_is_delivered_by_the_next_start(scene: Scene) -> None:
    family = scene.bot.family()
    interaction = await scene.server.slash("trinart", {"prompt": "slow"})
    await interaction.wait(shows_progress, DELIVERY_SECONDS)
    await stop(scene)
    await wait_gone(family)
    assert not has_pictures(interaction)
    await assert_next_start_delivers(scene, interaction)


async def test_a_killed_bot_leaves_nothing_running_and_loses_no_job(scene: Scene) -> None:
    family = scene.bot.family()
    interaction = await scene.server.slash("trinart", {"prompt": "slow"})
    await interaction.wait(shows_progress, DELIVERY_SECONDS)
    scene.bot.kill()
    await wait_gone(family)
    assert await scene.bot.exit_code() == -9
    assert not has_pictures(interaction)
    await assert_next_start_delivers(scene, interaction)
