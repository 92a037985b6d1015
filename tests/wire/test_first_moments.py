"""Commands that come right behind READY, before Discord has told the bot of its servers."""

from __future__ import annotations

from pathlib import Path

from .bot_process import START_SECONDS, running_bot, until_it_can_draw
from .handles import Interaction
from .loopback_discord import LoopbackDiscord
from .scene import DELIVERY_SECONDS
from .seen import assert_log_is_json, has_pictures, is_answered


async def test_commands_are_answered_before_the_bot_knows_its_server(
    server: LoopbackDiscord, tmp_path: Path
) -> None:
    server.begin_outage()
    hold = tmp_path / "hold"
    hold.touch()
    async with running_bot(server, tmp_path) as bot:
        await server.connected(START_SECONDS)
        early = await server.slash("trinart", {"prompt": "a lighthouse"})
        assert "still starting" in await private_answer(early)
        hold.unlink()
        await until_it_can_draw(server, bot)
        for place in (server.channel, server.open_thread()):
            interaction = await server.slash("trinart", {"prompt": "a lighthouse"}, channel=place)
            await interaction.wait(has_pictures, DELIVERY_SECONDS)
        settings = {"result_channel": server.channel}
        too_early = await server.slash("admin settings", settings, locale="ja")
        assert f"<#{server.channel['id']}> の情報がまだ" in await private_answer(too_early)
        await server.end_outage()
        changed = await server.slash("admin settings", settings)
        await changed.wait(lambda i: i.history[-1:] != [] and not i.history[-1].loading, DELIVERY_SECONDS)
        assert changed.message is not None
        assert "Settings changed" in changed.message["embeds"][0]["description"]
        bot.terminate()
        assert await bot.exit_code() == 0
    assert_log_is_json(bot, server.world.token)


async def private_answer(interaction: Interaction) -> str:
    """What the bot says to the member alone, in the 3 s that Discord waits for a first answer."""
    await interaction.wait(is_answered, DELIVERY_SECONDS)
    assert interaction.ephemeral
    return interaction.history[-1].content
