"""`/admin moderation`: the moderators' channel, how many reports hide a picture, and members' strikes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import discord
import pytest
from sqlalchemy import select

from bot.database.models import AuditRow
from bot.database.people import StrikeRow
from tests.integration.simcord_admins import told
from tests.integration.simcord_moderators import (
    Court,
    audit_ids,
    hidden,
    refused,
)
from tests.integration.simcord_world import buttons, interactions_with, is_japanese, pictures

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])


async def test_the_channel_must_not_be_for_everybody(court: Court) -> None:
    result = await court.boss.slash(
        court.world.channel, "admin moderation settings", channel=court.world.channel
    )
    assert told(result).startswith("Everybody in the server can read <#")


@pytest.mark.parametrize("reports", [0, 101])
async def test_a_number_of_reports_that_cannot_be(court: Court, reports: int) -> None:
    result = await court.boss.slash(court.world.channel, "admin moderation settings", reports=reports)
    assert "`reports` must be between 1 and 100" in told(result)


@LOCALES
async def test_the_settings_are_shown(court: Court, locale: str) -> None:
    with interactions_with(locale=locale):
        result = await court.boss.slash(court.world.channel, "admin moderation settings")
    text = told(result)
    assert f"<#{court.queue.id}>" in text
    assert "3" in text
    assert is_japanese(text) == (locale == "ja")


@LOCALES
async def test_admins_see_and_clear_the_strikes_of_their_server(court: Court, locale: str) -> None:
    world, mika = court.world, court.world.mika
    now = datetime.now(UTC)
    async with world.database.session() as session:
        for guild_id, decision_id in ((world.guild.id, "a" * 32), (1, "b" * 32)):
            session.add(
                StrikeRow(
                    guild_id=guild_id, user_id=mika.id, weight=1, reason="report", decision_id=decision_id,
                    created_at=now,
                )
            )  # fmt: skip
    await refused(world, mika)
    with interactions_with(locale=locale):
        shown = await court.boss.slash(world.channel, "admin moderation strikes", member=mika)
        cleared = await court.boss.slash(world.channel, "admin moderation clear", member=mika)
    for result in (shown, cleared):
        assert is_japanese(told(result)) == (locale == "ja")
        assert f"<@{mika.id}>" in told(result)
    assert (await world.draw(prompt="1girl")).attachments
    async with world.database.session() as session:
        audit = await session.get_one(AuditRow, max(await audit_ids(world)))
    assert (audit.action, audit.before, audit.after) == ("strikes.clear", {"strikes": 1}, {"strikes": 0})


# --- a channel that everybody can read by now ---


@pytest.fixture
async def public(court: Court) -> AsyncIterator[None]:
    """Somebody let everybody into the moderators' channel."""
    await let_in(court, everybody=True)
    yield
    await let_in(court, everybody=False)


async def let_in(court: Court, *, everybody: bool) -> None:
    """Somebody with the permission changes in Discord who reads the moderators' channel."""
    channel = court.world.env.bot.get_channel(court.queue.id)  # pyright: ignore[reportOptionalMemberAccess]
    assert isinstance(channel, discord.TextChannel)
    with court.world.env.time_context():
        await channel.set_permissions(channel.guild.default_role, view_channel=everybody)
    await court.world.env.settle()


async def appeal_of(court: Court, locale: str = "en-US") -> str:
    """Mika appeals; what she is told."""
    await court.note(court.world.mika, "sexual")
    message = await court.decisions_of(court.world.mika)
    with interactions_with(locale=locale):
        result = await court.world.mika.click(message, label="Appeal number 1")
    return told(result)


@LOCALES
@pytest.mark.usefixtures("public")
async def test_an_appeal_waits_while_everybody_reads_the_channel(court: Court, locale: str) -> None:
    before = len(court.queue.history())
    text = await appeal_of(court, locale)
    assert is_japanese(text) == (locale == "ja")
    assert locale == "ja" or text.startswith("Your appeal is kept.")
    assert len(court.queue.history()) == before, "prompts are not for everybody"
    for command in ("admin safety show", "admin moderation settings"):
        with interactions_with(locale=locale):
            shown = told(await court.boss.slash(court.world.channel, command))
        assert "⚠️" in shown
        assert f"<#{court.queue.id}>" in shown
        assert "1" in shown.splitlines()[-1]
    await let_in(court, everybody=False)
    assert court.posted().embeds[0].description == "1girl, \\*secret\\*", "as soon as it is private"
    assert "⚠️" not in told(await court.boss.slash(court.world.channel, "admin safety show"))
    await court.judge.click(court.posted(), label="Uphold")
    assert "TrinArt" in court.direct_messages(court.world.mika)[-1]


@pytest.mark.usefixtures("public")
async def test_the_log_says_once_that_everybody_reads_the_channel(court: Court) -> None:
    for _ in range(2):
        await appeal_of(court)
    await let_in(court, everybody=False)
    async with court.world.database.session() as session:
        rows = await session.scalars(
            select(AuditRow)
            .where(AuditRow.action == "moderation.readers")
            .order_by(AuditRow.id.desc())
            .limit(2)
        )
        found = [(row.before, row.after, row.target) for row in rows]
    no, yes, target = {"everybody_reads": False}, {"everybody_reads": True}, f"channel:{court.queue.id}"
    assert found == [(yes, no, target), (no, yes, target)]
    text = told(await court.boss.slash(court.world.channel, "admin log"))
    assert "Readers of the moderators’ channel changed" in text
    assert "everybody can read it: no → yes" in text


@pytest.mark.usefixtures("public")
async def test_another_channel_gets_what_waited(court: Court) -> None:
    await appeal_of(court)
    world = court.world
    guild, see = world.guild, discord.PermissionOverwrite(view_channel=True)
    assert guild.me is not None
    hide = discord.PermissionOverwrite(view_channel=False)
    readers = {guild.default_role: hide, guild.me: see, court.boss: see}
    other = guild.create_text_channel("court", overwrites=readers)
    await world.env.settle()
    await court.boss.slash(world.channel, "admin moderation settings", channel=other)
    assert other.last_message is not None
    assert other.last_message.embeds[0].description == "1girl, \\*secret\\*"


@pytest.mark.usefixtures("public")
async def test_a_reported_picture_is_not_shown_to_everybody_again(court: Court) -> None:
    """It is hidden, and moderators find the buttons at its place."""
    before = len(court.queue.history())
    message, files = await hidden(court)
    assert len(court.queue.history()) == before
    assert buttons(message) == ["Show again", "Remove for good"]
    await court.judge.click(message, label="Show again")
    assert await pictures(message) == files
