"""What was decided on pictures outlives the bot that decided it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.database.models import ImageRow
from tests.integration.simcord_channels import taken
from tests.integration.simcord_world import World, open_world, pictures


async def withhold_all(world: World) -> None:
    """What a bot has written down when it dies before the job has its end."""

    async def change(session: AsyncSession) -> None:
        await session.execute(update(ImageRow).values(is_withheld=True))

    await world.database.write(change)


async def test_a_bot_that_died_after_it_withheld_brings_the_job_to_its_end(tmp_path: Path) -> None:
    async with open_world(tmp_path) as before:
        before.env.inject_error("PATCH", "/webhooks/*/messages/*", status=404, code=10008, times=None)
        result = await before.ask(prompt="1girl", seed="9")
        await before.finish()
        [kept] = before.picture_files()
        await withhold_all(before)
        assert kept.exists()
    before.env.backend.faults.clear()
    async with open_world(tmp_path, after=before) as world:
        message = await world.answer_to(result)
        assert message.attachments == []
        assert (await world.last_job()).error_code == "withheld"
        assert not kept.exists()
        assert await taken(world) == 0


async def test_kept_pictures_keep_their_verdicts(tmp_path: Path) -> None:
    async with open_world(tmp_path) as before:
        before.env.inject_error("PATCH", "/webhooks/*/messages/*", status=503, times=None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cogs.reply.DELIVERY_ATTEMPTS", 1)
            result = await before.ask(prompt="1girl daring", seed="9")
            await before.finish()
        assert len(before.picture_files()) == 1
    before.env.backend.faults.clear()
    async with open_world(tmp_path, after=before) as world:
        message = await world.answer_to(result)
        assert [file.filename for file in message.attachments] == ["SPOILER_trinart-9.png"]
        assert len(await pictures(message)) == 1
