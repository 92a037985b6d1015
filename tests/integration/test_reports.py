"""A picture is reported, hidden, and shown again or removed; nobody but moderators sees it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import discord
import pytest
import simcord
from simcord.actors import MemberActor
from sqlalchemy import delete, select

from bot.database.models import AuditRow, GuildSettingsRow
from bot.database.people import AppealRow, ReportedPictureRow, ReportRow, StrikeRow
from bot.safety.kept_files import KeptFiles
from bot.safety.reports import PictureMessage, Reports
from tests.integration.simcord_moderators import Court, open_court
from tests.integration.simcord_world import (
    World,
    buttons,
    interactions_with,
    is_japanese,
    open_world,
    pictures,
    sent_messages,
)

LOCALES = pytest.mark.parametrize(("locale", "report"), [("en-US", "Report"), ("ja", "報告")])


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(tmp_path_factory.mktemp("reports")) as world:
        yield world


@pytest.fixture(scope="module")
async def whole_court(world: World) -> Court:
    return await open_court(world)


@pytest.fixture
async def court(world: World, whole_court: Court) -> AsyncIterator[Court]:
    """A court with its channel; afterwards nothing is reported."""
    await whole_court.open_queue()
    yield whole_court
    async with world.database.session() as session:
        for table in (ReportedPictureRow, AppealRow, StrikeRow, GuildSettingsRow):
            await session.execute(delete(table))
    for file in kept(world):
        file.unlink()


@pytest.fixture(scope="module")
async def members(world: World) -> list[MemberActor]:
    """Three more members."""
    return [world.guild.add_member(world.env.create_user(f"member{number}")) for number in range(3)]


def kept(world: World) -> list[Path]:
    """The files that wait for a moderator."""
    return sorted(world.settings.reported_dir.glob("*"))


async def report(
    member: MemberActor, message: simcord.ResponseMessage, *, locale: str = "en-US", label: str = "Report"
) -> str:
    """A member presses the button; what the member alone is told."""
    with interactions_with(locale=locale):
        result = await member.click(message, label=label)
    [answer] = result.followups
    assert answer.ephemeral
    return answer.content


async def row_of(world: World, message: simcord.ResponseMessage) -> ReportedPictureRow:
    async with world.database.session() as session:
        return await session.get_one(ReportedPictureRow, message.id)


async def hidden(court: Court) -> tuple[simcord.ResponseMessage, list[bytes]]:
    """A picture of Mika's that a moderator reported, and what it was."""
    message = await court.world.draw(prompt="1girl", seed="7", images=2)
    before = await pictures(message)
    await report(court.judge, message)
    assert message.attachments == []
    return message, before


# --- reporting ---


@LOCALES
async def test_enough_members_hide_a_picture(
    court: Court, members: list[MemberActor], locale: str, report: str
) -> None:
    world = court.world
    with interactions_with(locale=locale):
        message = await world.draw(prompt="1girl", seed="7")
    assert buttons(message) == [report]
    png = (await pictures(message))[0]
    first = len(world.env.http_requests)
    for member in (members[0], members[0], members[1]):
        with interactions_with(locale=locale):
            result = await member.click(message, label=report)
        [answer] = result.followups
        assert answer.ephemeral
        assert is_japanese(answer.content) == (locale == "ja")
        assert len(message.attachments) == 1, "two different members are not enough"
    await members[2].click(message, label=report)
    assert (message.attachments, message.embeds, buttons(message)) == ([], [], [])
    assert message.content == "This picture was reported. It is hidden until a moderator has looked at it."
    assert [file.read_bytes() for file in kept(world)] == [png]

    posted = court.posted()
    assert f"/{world.channel.id}/{message.id}" in str(posted.embeds[0].description)
    [attachment] = posted.attachments
    assert attachment.is_spoiler()
    assert await attachment.read() == png
    assert all(body["allowed_mentions"] == {"parse": []} for body in sent_messages(world.env, first))
    row = await row_of(world, message)
    assert (row.state, row.author_id) == ("hidden", world.mika.id)


async def test_the_server_says_how_many_are_enough(court: Court, members: list[MemberActor]) -> None:
    await court.open_queue(reports=1)
    message = await court.world.draw(prompt="1girl")
    await report(members[0], message)
    assert message.attachments == []


async def test_who_asked_counts_like_everybody(court: Court, members: list[MemberActor]) -> None:
    await court.open_queue(reports=2)
    message = await court.world.draw(prompt="1girl")
    for _ in range(3):
        await report(court.world.mika, message)
    assert message.attachments
    await report(members[0], message)
    assert message.attachments == []


async def test_a_moderator_hides_at_once(court: Court) -> None:
    message, before = await hidden(court)
    assert len(kept(court.world)) == len(before) == 2
    assert (await row_of(court.world, message)).state == "hidden"


async def test_pictures_in_direct_messages_have_no_button(world: World) -> None:
    result = await world.mika.user.slash("trinart", prompt="1girl")
    message = await world.answer_to(result)
    assert message.attachments
    assert buttons(message) == []


async def test_a_picture_that_discord_does_not_give_is_hidden_all_the_same(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await court.world.draw(prompt="1girl")

    async def gone(*_: object, **__: object) -> bytes:
        raise discord.NotFound(Response(), "gone")  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(discord.Attachment, "read", gone)
    await report(court.judge, message)
    assert message.attachments == []
    assert kept(court.world) == []
    [answer] = (await court.judge.click(court.posted(), label="Show again")).followups
    assert answer.content.startswith("The picture is no longer kept")
    assert message.attachments == []


class Response:
    """What discord.py reads of an answer to make an error of it."""

    status, reason = 404, "Not Found"


async def test_without_a_channel_the_buttons_are_at_the_place_itself(court: Court) -> None:
    await court.boss.slash(court.world.channel, "admin moderation settings", close=True)
    message, before = await hidden(court)
    assert buttons(message) == ["Show again", "Remove for good"]
    [answer] = (await court.world.ren.click(message, label="Show again")).followups
    assert "Timeout Members" in answer.content
    assert message.attachments == []
    await court.judge.click(message, label="Show again")
    assert await pictures(message) == before
    assert buttons(message) == []


# --- what moderators decide ---


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


async def test_what_was_decided_cannot_be_reported_again(court: Court, members: list[MemberActor]) -> None:
    message = await court.world.draw(prompt="1girl")
    old = message.components
    await report(court.judge, message)
    await court.judge.click(court.posted(), label="Show again")
    court.world.env.backend.get_message(message.channel_id, message.id).components = old
    assert (await report(members[0], message)).startswith("This picture has been looked at by a moderator")
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


async def test_two_last_reports_at_once_hide_it_once(court: Court, members: list[MemberActor]) -> None:
    await court.open_queue(reports=2)
    message = await court.world.draw(prompt="1girl")
    before, posts = await pictures(message), len(court.queue.history())
    reports = court.world.services.reports
    picture = PictureMessage(
        message_id=message.id,
        guild_id=court.world.guild.id,
        channel_id=message.channel_id,
        job_id=(await court.world.last_job()).id,
    )
    outcomes = await asyncio.gather(
        *(reports.report(picture, member.id, is_moderator=False) for member in members)
    )
    assert sorted(outcome.count for outcome in outcomes) == [1, 2, 3]
    assert sum(outcome.is_hidden for outcome in outcomes) == 2
    # The bot ended before it could hide it; the next report makes up for that.
    await report(members[0], message)
    assert message.attachments == []
    assert len(court.queue.history()) == posts + 1
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
        assert "only if this channel is age-restricted" in str(court.posted().embeds[0].fields[0].value)
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
