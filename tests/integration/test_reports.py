"""A picture is reported, hidden, and shown again or removed; nobody but moderators sees it meanwhile."""

from __future__ import annotations

import asyncio

import discord
import pytest
import simcord
from simcord.actors import MemberActor

from bot.database.people import ReportedPictureRow
from bot.safety.reports import PictureMessage
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
    sent_messages,
)

LOCALES = pytest.mark.parametrize(("locale", "report"), [("en-US", "Report"), ("ja", "報告")])


@pytest.fixture(scope="module")
async def members(world: World) -> list[MemberActor]:
    """Three more members."""
    return [world.guild.add_member(world.env.create_user(f"member{number}")) for number in range(3)]


async def row_of(world: World, message: simcord.ResponseMessage) -> ReportedPictureRow:
    async with world.database.session() as session:
        return await session.get_one(ReportedPictureRow, message.id)


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
