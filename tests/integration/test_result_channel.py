"""A server's admins can have all pictures in one channel."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.database.models import GuildSettingsRow
from tests.integration.simcord_world import World, interactions_with, is_japanese, open_world


async def choose(world: World, channel_id: int) -> None:
    async with world.database.session() as session:
        session.add(
            GuildSettingsRow(
                guild_id=world.guild.id, result_channel_id=channel_id, updated_at=datetime.now(UTC)
            )
        )


@pytest.mark.parametrize("locale", ["en-US", "ja"])
async def test_pictures_go_to_the_result_channel_and_the_answer_says_so(tmp_path: Path, locale: str) -> None:
    async with open_world(tmp_path) as world:
        gallery = world.guild.create_text_channel("gallery")
        await choose(world, gallery.id)
        with interactions_with(locale=locale):
            result = await world.ask(prompt="1girl")
        answer = await world.answer_to(result)
        assert f"<#{gallery.id}>" in answer.content
        assert is_japanese(answer.content) == (locale == "ja")
        assert answer.attachments == []
        [shown] = gallery.history()
        assert [file.filename.startswith("trinart-") for file in shown.attachments] == [True]
        assert f"<@{world.mika.id}>" in shown.content
        assert (await world.last_job()).state == "delivered"


async def test_where_the_result_channel_is_gone_they_come_where_they_were_asked_for(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await choose(world, 424242)
        answer = await world.draw(prompt="1girl")
        assert len(answer.attachments) == 1
        assert (await world.last_job()).state == "delivered"
