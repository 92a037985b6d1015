"""Each limit's refusal says which one it is, how much is left and when to try again, in both languages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import discord
import pytest
from sqlalchemy import delete

from bot.client import TrinArtBot
from bot.database.models import BlockRow, JobRow
from bot.limits import EVERYWHERE
from tests.integration.simcord_limits import COST, COST_TOLD, Place, check, new_place, next_reset, told
from tests.integration.simcord_world import World, open_world

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])
THIRTY = 30_000
LEFT = 2
"""Less than a picture costs."""


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One bot for all servers of this file."""
    async with open_world(tmp_path_factory.mktemp("limits")) as world:
        yield world


@pytest.fixture
async def place(world: World) -> Place:
    return await new_place(world)


# --- quotas ---


@LOCALES
async def test_the_quota_of_a_member(place: Place, locale: str) -> None:
    await place.quota("default", 1000 * THIRTY)
    await place.quota("member", THIRTY, subject_id=place.mika.id)
    await place.spend(THIRTY - LEFT)
    when = told(next_reset())
    await check(
        place,
        locale,
        "member_quota_used_up",
        f"This costs {COST_TOLD} pictures, and you have 0.002 of 30 left today (your own quota in "
        f"this server). Try again {when}, or ask for fewer images or steps or a smaller size. "
        "Nothing was charged.",
        COST_TOLD,
        "0.002",
        "30",
        when,
    )


async def test_a_window_ends_at_the_servers_own_midnight(place: Place) -> None:
    await place.settings(timezone="Asia/Tokyo")
    await place.quota("default", THIRTY, window="week")
    await place.spend(THIRTY)
    text = await place.refused()
    assert "0 of 30 left this week (this server's quota for each member)" in text
    assert told(next_reset("week", "Asia/Tokyo")) in text


@LOCALES
async def test_a_window_that_rolls_says_when_enough_has_left_it(place: Place, locale: str) -> None:
    now = datetime.now(UTC)
    await place.quota("default", 10, window="24h")
    await place.spend(1, at=now - timedelta(hours=23))
    oldest_that_helps = now - timedelta(hours=20)
    await place.spend(4, at=oldest_that_helps)
    await place.spend(5, at=now - timedelta(hours=1))
    when = told(oldest_that_helps + timedelta(hours=24, microseconds=1))
    await check(
        place,
        locale,
        "member_quota_used_up",
        f"This costs {COST_TOLD} pictures, and you have 0 of 0.01 left in 24 hours (this server's "
        f"quota for each member). Try again {when}, or ask for fewer images or steps or a smaller size. "
        "Nothing was charged.",
        when,
    )


async def test_the_best_of_a_members_roles_counts(place: Place) -> None:
    other = place.guild.create_role("others")
    await place.quota("default", 0)
    await place.quota("role", THIRTY, subject_id=place.role.id)
    await place.quota("role", None, subject_id=other.id)
    assert "0.003, 30 left today" in str(await _cost(place))
    await place.quota("role", 2 * THIRTY, window="day", subject_id=place.guild.id)
    assert "59.99 left today" in await _cost(place), "the role that everybody has is one of them"


async def _cost(place: Place) -> str:
    [embed] = (await place.drawn()).embeds
    return str(next(field.value for field in embed.fields if field.name == "Cost"))


@LOCALES
async def test_the_quota_of_a_channel(place: Place, locale: str) -> None:
    await place.quota("channel", THIRTY, subject_id=place.channel.id)
    await place.spend(THIRTY - LEFT, user_id=1)
    when = told(next_reset())
    await check(
        place,
        locale,
        "channel_quota_used_up",
        f"This costs {COST_TOLD} pictures, and this channel has 0.002 of 30 left today, for everybody "
        f"together. Try again {when}, or in another channel. Nothing was charged.",
        when,
    )


async def test_a_thread_has_the_quota_of_its_channel(place: Place) -> None:
    assert isinstance(place.world.env.bot, TrinArtBot)
    channel = place.world.env.bot.get_channel(place.channel.id)
    assert isinstance(channel, discord.TextChannel)
    with place.world.env.time_context():
        await channel.create_thread(name="drawings", type=discord.ChannelType.public_thread)
    await place.world.env.settle()
    await place.quota("channel", 0, subject_id=place.channel.id)
    result = await place.mika.slash(place.channel.threads[0], "trinart", prompt="1girl")
    message = await place.world.answer_to(result)
    assert message.content.startswith(
        "Nothing is allowed here: this channel's quota for everybody together is 0"
    )


@LOCALES
async def test_the_quota_of_a_server(place: Place, locale: str) -> None:
    await place.quota("server", THIRTY)
    await place.spend(THIRTY - LEFT, user_id=1, channel_id=2)
    when = told(next_reset())
    await check(
        place,
        locale,
        "server_quota_used_up",
        f"This costs {COST_TOLD} pictures, and this server has 0.002 of 30 left today, for everybody "
        f"together. Try again {when}. Nothing was charged.",
        when,
    )


@LOCALES
async def test_what_costs_more_than_there_ever_is(place: Place, locale: str) -> None:
    await place.quota("default", LEFT, window="month")
    await check(
        place,
        locale,
        "costs_too_much",
        f"This costs {COST_TOLD} pictures, more than this server's quota for each member allows in all: "
        "0.002 this month, 0.002 of them left. Ask for fewer images or steps or a smaller size. "
        "Nothing was charged.",
        "0.002",
    )


async def test_it_is_as_impossible_once_something_was_drawn(place: Place) -> None:
    """Waiting for the next window would not help."""
    await place.quota("default", LEFT)
    await place.spend(1)
    assert "allows in all: 0.002 today, 0.001 of them left." in await place.refused()
    await place.grant(1)
    told = await place.refused()
    assert "0.002 of 0.003 left today (this server's quota for each member with what you were given)" in told


async def test_grants_pay_what_the_quota_does_not(place: Place) -> None:
    await place.quota("default", LEFT)
    await place.grant(COST)
    assert "0.002 left today" in await _cost(place)
    assert "0.002 of 0.004 left" in await place.refused()


async def test_a_roles_quota_is_named_with_the_role(place: Place) -> None:
    await place.quota("role", THIRTY, subject_id=place.role.id)
    await place.spend(THIRTY)
    assert f"0 of 30 left today (the quota of your role <@&{place.role.id}>)" in await place.refused()


@LOCALES
async def test_where_nothing_is_allowed_nobody_is_told_to_come_back(place: Place, locale: str) -> None:
    await place.quota("member", 0, subject_id=place.mika.id)
    await check(
        place,
        locale,
        "nothing_allowed",
        "Nothing is allowed here: your own quota in this server is 0. Nothing was charged.",
    )


@LOCALES
async def test_where_only_what_was_given_is_left(place: Place, locale: str) -> None:
    await place.quota("role", 0, subject_id=place.role.id)
    await place.grant(LEFT)
    role = f"<@&{place.role.id}>"
    await check(
        place,
        locale,
        "grants_used_up",
        f"This costs {COST_TOLD} pictures, and 0.002 are left of what you were given. Beside that nothing is "
        f"allowed here: the quota of your role {role} is 0. Ask for fewer images or steps or a smaller size. "
        "Nothing was charged.",
        role,
        "0.002",
    )


# --- how often, how many, where and who ---


@LOCALES
async def test_too_many_requests_in_a_row(place: Place, locale: str) -> None:
    await place.settings(rate_count=2, rate_seconds=3600)
    full_at = datetime.now(UTC) + timedelta(seconds=3599)
    await place.bucket(full_at)
    when = told(full_at - timedelta(minutes=30))
    await check(
        place,
        locale,
        "too_often",
        "That was too fast: this server's limit for each member is 2 requests in 3600 seconds, and none of "
        f"them is left. Try again {when}. Nothing was charged.",
        when,
    )


@LOCALES
async def test_too_many_requests_at_a_time(place: Place, locale: str) -> None:
    await place.settings(concurrent_jobs=1)
    await place.add(a_job(place))
    await check(
        place,
        locale,
        "too_many_jobs",
        "Requests of yours that wait or are being drawn: 1; this server's limit for each member is 1 at a "
        "time. Try again when one is done; /jobs shows them. Nothing was charged.",
        "/jobs",
    )


def a_job(place: Place) -> JobRow:
    """A job that another process of the bot has in hand."""
    return JobRow(
        id=f"{place.guild.id:032x}",
        state="running",
        request=b"",
        cost=COST,
        preset="None",
        created_at=datetime.now(UTC),
        guild_id=place.guild.id,
        user_id=place.mika.id,
        locale="en-US",
        attachment_size_limit=1,
    )


@LOCALES
@pytest.mark.parametrize("by_host", [False, True])
@pytest.mark.parametrize("hours", [None, 3])
async def test_a_member_who_is_blocked(place: Place, locale: str, hours: int | None, by_host: bool) -> None:
    whose, code = ("The moderators of this server have blocked you", "member_blocked")
    if by_host:
        whose, code = ("The host of this bot has blocked you everywhere", "blocked_by_host")
    now = datetime.now(UTC)
    until = now + timedelta(hours=hours) if hours else None
    await place.add(
        BlockRow(
            guild_id=EVERYWHERE if by_host else place.guild.id,
            user_id=place.mika.id,
            until=until,
            reason="spam @everyone",
            actor_id=1,
            created_at=now,
        )
    )
    ends = told(until) if until else "when it is lifted"
    await check(
        place,
        locale,
        code,
        f"{whose}: spam @everyone (ends {ends}). Nothing was charged.",
        "spam",
        *([ends] if until else []),
    )
    if by_host:  # it would hold for the other servers of these tests, too
        async with place.world.database.session() as session:
            await session.execute(delete(BlockRow).where(BlockRow.guild_id == EVERYWHERE))


async def test_a_block_that_is_over_blocks_nobody(place: Place) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    await place.add(
        BlockRow(
            guild_id=place.guild.id,
            user_id=place.mika.id,
            until=past,
            reason="",
            actor_id=1,
            created_at=past,
        )
    )
    await place.drawn()


@LOCALES
async def test_a_server_whose_admins_switched_it_off(place: Place, locale: str) -> None:
    await place.settings(enabled=False)
    await check(
        place,
        locale,
        "server_switched_off",
        "The admins of this server have switched the bot off here. Nothing was charged.",
    )


@LOCALES
async def test_a_server_that_the_host_switched_off(place: Place, locale: str) -> None:
    await place.settings(suspended=True)
    await check(
        place,
        locale,
        "server_suspended",
        "The host of this bot has switched it off for this server. Nothing was charged.",
    )


@LOCALES
async def test_a_channel_that_is_not_for_pictures(place: Place, locale: str) -> None:
    await place.settings(allowed_channels=[77])
    await check(
        place,
        locale,
        "channel_not_allowed",
        "Pictures are drawn in other channels of this server: <#77>. Nothing was charged.",
        "<#77>",
    )
