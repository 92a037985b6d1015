"""The Show button of a kept picture, while the bot or another press of it is delivering it."""

from __future__ import annotations

from pathlib import Path

import pytest
import simcord

import cogs.reply
from bot.errors import JobAlreadyEnded, OnItsWay
from tests.integration.simcord_world import World, open_world, until


async def draw_in_an_outage(world: World, patch: pytest.MonkeyPatch) -> simcord.InteractionResult:
    """A picture that waits for Discord."""
    patch.setattr(cogs.reply, "DELIVERY_ATTEMPTS", 1)
    world.env.inject_error("PATCH", "/webhooks/*/messages/*", status=503, times=None)
    result = await world.ask(prompt="1girl", seed="9")
    await world.finish()
    return result


async def test_a_picture_that_is_on_its_way_is_not_handed_out_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be there twice, and one of the two would be paid for by nobody."""
    with monkeypatch.context() as patch:
        async with open_world(tmp_path / "data") as before:
            result = await draw_in_an_outage(before, patch)
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


async def test_a_picture_that_is_just_handed_out_is_in_no_other_hands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path / "data") as world:
        await draw_in_an_outage(world, monkeypatch)
        job, own_jobs = await world.last_job(), world.services.own_jobs
        sent = len(world.env.http_requests)

        async with own_jobs.fetching(job.id, world.mika.id):
            with pytest.raises(OnItsWay):
                async with own_jobs.fetching(job.id, world.mika.id):
                    pass
            await world.service.take_up()
            await world.finish()
            assert world.env.http_requests[sent:] == []
            assert (await world.last_job()).state == "succeeded"

        assert (await world.last_job()).state == "delivered"
        with pytest.raises(JobAlreadyEnded):
            async with own_jobs.fetching(job.id, world.mika.id):
                pass


async def test_what_could_not_be_handed_out_can_be_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path / "data") as world:
        await draw_in_an_outage(world, monkeypatch)
        job, own_jobs = await world.last_job(), world.services.own_jobs
        with pytest.raises(ConnectionError):
            async with own_jobs.fetching(job.id, world.mika.id):
                raise ConnectionError

        async with own_jobs.fetching(job.id, world.mika.id) as delivery:
            assert delivery.job.id == job.id
