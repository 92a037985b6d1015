"""The commands are registered before anything else is done; a bot that cannot do it ends and harms no job."""

from __future__ import annotations

from pathlib import Path

import pytest

from .bot_process import BotProcess, running_bot, until_it_can_draw, wait_gone
from .handles import Interaction
from .loopback_discord import LoopbackDiscord
from .scene import DELIVERY_SECONDS, Scene, assert_next_start_delivers
from .seen import has_pictures, job_states, logged_errors, sentences

ELSEWHERE = "424242424242424242"
"""A server that the bot is not in."""


async def test_a_server_without_the_bot_is_one_sentence_that_says_how_to_invite_it(
    server: LoopbackDiscord, tmp_path: Path
) -> None:
    bot = await failing_start(server, tmp_path, 2, {"TRINART_GUILD_ID": ELSEWHERE})
    [sentence] = sentences(bot)
    assert "TRINART_GUILD_ID" in sentence
    assert f"https://discord.com/oauth2/authorize?client_id={server.world.app_id}&" in sentence
    assert [r.status for r in server.requests if r.method == "PUT"] == [403]
    assert server.identifies == 0


async def test_a_server_with_the_bot_gets_the_commands_for_itself(
    server: LoopbackDiscord, tmp_path: Path
) -> None:
    guild_id = server.guild["id"]
    async with running_bot(server, tmp_path, env={"TRINART_GUILD_ID": guild_id}) as bot:
        await server.commands_synced("trinart", guild_id=guild_id, timeout=DELIVERY_SECONDS)
        assert None not in server.world.commands
        bot.terminate()
        assert await bot.exit_code() == 0


@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"status": 403, "code": 50001, "message": "Missing Access"}]
)
async def test_old_jobs_survive_a_start_whose_commands_are_refused(
    server: LoopbackDiscord, tmp_path: Path, fault: dict[str, str | int]
) -> None:
    left, interaction = await leave_a_picture(server, tmp_path)
    server.fail_next("PUT", "/applications/*/commands", int(fault["status"]), code=int(fault.get("code", 0)))
    seen = len(server.requests)
    bot = await failing_start(server, tmp_path, 1)
    assert len(sentences(bot)) == 1
    assert [r.path for r in server.requests[seen:] if r.method in ("POST", "PATCH")] == []
    assert job_states(tmp_path) == ["succeeded"]
    await assert_next_start_delivers(Scene(server, left, tmp_path), interaction)


async def test_old_jobs_are_taken_up_once_the_commands_are_registered(
    server: LoopbackDiscord, tmp_path: Path
) -> None:
    """A picture that is drawn already would be sent at once; the engine's start is ages in comparison."""
    _, interaction = await leave_a_picture(server, tmp_path)
    held = server.hold_next("PUT", "/applications/*/commands")
    async with running_bot(server, tmp_path) as bot:
        await held.arrived(DELIVERY_SECONDS)
        await bot.said("is ready")
        assert not has_pictures(interaction)
        held.release()
        await interaction.wait(has_pictures, DELIVERY_SECONDS)
        bot.terminate()
        assert await bot.exit_code() == 0
    assert job_states(tmp_path) == ["delivered"]


async def leave_a_picture(server: LoopbackDiscord, data_dir: Path) -> tuple[BotProcess, Interaction]:
    """A bot is killed while it sends a picture: the next one has it on its disk."""
    async with running_bot(server, data_dir) as bot:
        await until_it_can_draw(server, bot)
        held = server.hold_next("PATCH", "/webhooks/*", uploads_only=True)
        interaction = await server.slash("trinart", {"prompt": "a lighthouse"})
        await held.arrived(DELIVERY_SECONDS)
        family = bot.family()
        bot.kill()
        await bot.exit_code()
        await wait_gone(family)
        held.lose()
    assert job_states(data_dir) == ["succeeded"]
    return bot, interaction


async def failing_start(
    server: LoopbackDiscord, data_dir: Path, code: int, env: dict[str, str] | None = None
) -> BotProcess:
    """A bot that ends by itself with this exit code, and for a reason that it knows."""
    async with running_bot(server, data_dir, env=env) as bot:
        await server.requested("PUT", "/applications/*/commands", timeout=DELIVERY_SECONDS)
        assert await bot.exit_code() == code
    assert logged_errors(bot) == []
    assert server.world.token not in "".join(bot.stderr)
    return bot
