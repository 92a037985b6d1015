"""The Show button of a kept picture, while the bot is trying to deliver it by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

import cogs.reply
from bot.errors import OnItsWay
from tests.integration.simcord_world import open_world, until


async def test_a_picture_that_is_on_its_way_is_not_handed_out_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be there twice, and one of the two would be paid for by nobody."""
    with monkeypatch.context() as patch:
        patch.setattr(cogs.reply, "DELIVERY_ATTEMPTS", 1)
        async with open_world(tmp_path / "data") as before:
            before.env.inject_error("PATCH", "/webhooks/*/messages/*", status=503, times=None)
            result = await before.ask(prompt="1girl", seed="9")
            await before.finish()
    assert result.response is not None
    before.env.backend.faults.clear()
    away = f"/webhooks/*/messages/{result.response.id}"
    before.env.inject_error("PATCH", away, status=503, times=None)

    async with open_world(tmp_path / "data", after=before) as world:
        await until(world.env, lambda: world.service.runs.job_ids)
        listed = await world.mika.slash(world.channel, "jobs")
        assert listed.response is not None
        click = await world.mika.click(listed.response, label="Show 1")
        assert click.response is not None
        assert (click.response.content, click.response.attachments) == (OnItsWay().text("en-US"), [])
        assert (await world.last_job()).state == "succeeded"
        world.env.backend.faults.clear()
        await world.finish()
        message = await world.answer_to(result)
        assert [attachment.filename for attachment in message.attachments] == ["trinart-9.png"]
        assert (await world.last_job()).state == "delivered"
