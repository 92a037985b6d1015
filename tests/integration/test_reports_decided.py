"""What moderators say to a hidden picture: show it again, if its place still may, or remove it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import discord
import pytest
from sqlalchemy import delete, select

from bot.database.models import AuditRow, ImageRow
from bot.database.people import ReportRow, StrikeRow
from bot.safety.kept_files import KeptFiles
from bot.safety.reports import Reports
from tests.integration.simcord_channels import choose, decisions_of, rename_table
from tests.integration.simcord_moderators import (
    Court,
    hidden,
    kept,
    report,
)
from tests.integration.simcord_world import (
    World,
    buttons,
    interactions_with,
    is_japanese,
    pictures,
)

LOCALES = pytest.mark.parametrize(("locale", "report"), [("en-US", "Report"), ("ja", "報告")])


async def test_a_picture_is_shown_again_as_it_was(court: Court) -> None:
    message, before = await hidden(court)
    result = await court.clerk.click(court.posted(), label="Show again")
    assert "Timeout Members" in result.followups[0].content
    assert message.attachments == []
    await court.judge.click(court.posted(), label="Show again")
    assert await pictures(message) == before
    assert [attachment.filename for attachment in message.attachments] == ["trinart-7.png", "trinart-8.png"]
    assert all("1girl" in str(attachment.description) for attachment in message.attachments)
    assert message.embeds[0].description == "1girl"
    assert (message.content, buttons(message)) == ("", []), "a moderator has looked at it"
    assert kept(court.world) == []
    posted = court.posted()
    assert (posted.attachments, posted.components) == ([], [])
    assert f"shown again, by <@{court.judge.id}>" in str(posted.embeds[0].description)
    assert await strikes(court.world) == []


@LOCALES
async def test_a_removed_picture_counts_against_who_asked_for_it(
    court: Court, locale: str, report: str
) -> None:
    world = court.world
    with interactions_with(locale=locale):
        message = await world.draw(prompt="1girl")
    await court.judge.click(message, label=report)
    await court.judge.click(court.posted(), label="Remove for good")
    assert message.attachments == []
    assert message.content == "A moderator has removed this picture."
    assert kept(world) == []
    assert court.posted().attachments == []
    [strike] = await strikes(world)
    assert (strike.user_id, strike.guild_id, strike.reason) == (world.mika.id, world.guild.id, "report")
    letter = world.mika.user.dm_channel.last_message
    assert letter is not None
    assert is_japanese(letter.content) == (locale == "ja")
    appeal = f"trinart:appeal:{strike.decision_id}"
    assert appeal in str(letter.components[0].to_dict())
    result = await world.mika.slash(world.channel, "trinart", prompt="1girl")
    assert "The pause ends" in (await world.answer_to(result)).content
    async with world.database.session() as session:
        audit = list(await session.scalars(select(AuditRow).order_by(AuditRow.id)))[-1]
    assert (audit.action, audit.actor_id) == ("report.remove", court.judge.id)
    assert audit.after == {"message": str(message.id), "picture": "removed"}

    # From the letter to the moderators, who find that they were wrong.
    await world.mika.user.click(letter, custom_id=appeal)
    assert court.posted().embeds[0].description == "1girl"
    await court.boss.click(court.posted(), label="Overturn")
    assert await strikes(world) == []
    assert (await world.draw(prompt="1girl")).attachments


async def strikes(world: World) -> list[StrikeRow]:
    async with world.database.session() as session:
        return list(await session.scalars(select(StrikeRow)))


async def test_what_was_decided_cannot_be_reported_again(court: Court) -> None:
    message = await court.world.draw(prompt="1girl")
    old = message.components
    await report(court.judge, message)
    await court.judge.click(court.posted(), label="Show again")
    court.world.env.backend.get_message(message.channel_id, message.id).components = old
    text = await report(court.world.ren, message)
    assert text.startswith("This picture has been looked at by a moderator")
    assert message.attachments


async def test_a_change_that_discord_does_not_take_can_be_tried_again(court: Court) -> None:
    message, before = await hidden(court)
    world = court.world
    world.env.inject_error("PATCH", f"/channels/{world.channel.id}/messages/*", status=503, times=None)
    result = await court.judge.click(court.posted(), label="Show again")
    world.env.backend.faults.clear()
    assert result.followups[0].content.startswith("Discord did not take the change")
    assert len(kept(world)) == 2
    await court.judge.click(court.posted(), label="Show again")
    assert await pictures(message) == before


async def test_age_restricted_pictures_stay_in_such_channels(court: Court) -> None:
    """simcord has no such channels; what the bot knows of them is what discord.py keeps."""
    bot = court.world.env.bot
    place, queue = (bot.get_channel(channel.id) for channel in (court.world.channel, court.queue))
    assert isinstance(place, discord.TextChannel)
    assert isinstance(queue, discord.TextChannel)
    try:
        place.nsfw = True
        await hidden(court)
        assert court.posted().attachments == []
        assert "less is allowed in this channel" in str(court.posted().embeds[0].fields[-1].value)
        queue.nsfw = True
        message, before = await hidden(court)
        assert len(court.posted().attachments) == 2
        place.nsfw = False
        [answer] = (await court.judge.click(court.posted(), label="Show again")).followups
        assert answer.content.startswith("The channel of the picture is no longer age-restricted.")
        assert message.attachments == []
        place.nsfw = True
        await court.judge.click(court.posted(), label="Show again")
        assert await pictures(message) == before
    finally:
        place.nsfw = queue.nsfw = False


@pytest.mark.parametrize(
    ("locale", "says"), [("en-US", "What may be shown in"), ("ja", "見せてよい範囲が狭くなった")]
)
async def test_a_place_that_allows_less_by_now_does_not_get_its_picture_back(
    court: Court, locale: str, says: str
) -> None:
    """The door is the same as for a new picture: the level that counts now, and a row for each decision."""
    world = court.world
    await choose(world, "default")
    message, before = await hidden(court, prompt="1girl daring")
    assert all(file.is_spoiler() for file in court.posted().attachments)
    await choose(world, "default", {str(world.channel.id): "strict"})
    with interactions_with(locale=locale):
        [answer] = (await court.judge.click(court.posted(), label="Show again")).followups
    assert answer.ephemeral
    assert says in answer.content
    assert f"<#{world.channel.id}>" in answer.content
    assert (message.attachments, len(kept(world))) == ([], 2)
    rows = await decisions_of(world, (await world.last_job()).id)
    assert [(row.decision, row.level, row.channel_id) for row in rows][-2:] == [
        ("withhold", "strict", world.channel.id)
    ] * 2

    await choose(world, "default")
    await court.judge.click(court.posted(), label="Show again")
    assert await pictures(message) == before
    assert [file.filename for file in message.attachments] == [
        "SPOILER_trinart-7.png",
        "SPOILER_trinart-8.png",
    ]


async def test_moderators_see_no_more_in_their_channel_than_may_be_shown_there(court: Court) -> None:
    world = court.world
    await choose(world, "default", {str(court.queue.id): "strict"})
    message, _ = await hidden(court, prompt="1girl daring")
    posted = court.posted()
    assert posted.attachments == []
    assert "less is allowed in this channel than in that one" in str(posted.embeds[0].fields[-1].value)
    await court.judge.click(posted, label="Show again")
    assert len(message.attachments) == 2, "it is allowed where it was"


async def test_a_picture_whose_record_is_gone_stays_hidden(court: Court) -> None:
    """Nobody knows any more what the image check found in it."""
    message, _ = await hidden(court)
    async with court.world.database.session() as session:
        await session.execute(delete(ImageRow))
    [answer] = (await court.judge.click(court.posted(), label="Show again")).followups
    assert answer.content.startswith("What may be shown in")
    assert message.attachments == []


async def test_while_the_decision_cannot_be_recorded_nothing_is_shown_again(court: Court) -> None:
    message, before = await hidden(court)
    await rename_table(court.world, "safety_decisions", "decisions_away")
    [answer] = (await court.judge.click(court.posted(), label="Show again")).followups
    assert "records" in answer.content
    assert message.attachments == []
    await rename_table(court.world, "decisions_away", "safety_decisions")
    await court.judge.click(court.posted(), label="Show again")
    assert await pictures(message) == before


# --- time ---


async def test_a_picture_waits_for_a_day(court: Court) -> None:
    message, _ = await hidden(court)
    reports = court.world.services.reports
    await reports.expire()
    assert len(kept(court.world)) == 2
    later = Reports(
        court.world.database,
        KeptFiles(court.world.settings.reported_dir),
        clock=lambda: datetime.now(UTC) + timedelta(days=1, minutes=1),
    )
    await later.expire()
    assert kept(court.world) == []
    [answer] = (await court.judge.click(court.posted(), label="Show again")).followups
    assert answer.content == "The picture is no longer kept, so it cannot be shown again. It stays hidden."
    await court.judge.click(court.posted(), label="Remove for good")
    assert message.content == "A moderator has removed this picture."
    async with court.world.database.session() as session:
        assert len(list(await session.scalars(select(ReportRow)))) == 1
