"""`/quota`, and the cost of a picture before and after it is drawn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from discord.utils import format_dt

from bot.database.models import BlockRow
from tests.integration.simcord_limits import COST_TOLD, Place, new_place, next_reset, told
from tests.integration.simcord_world import (
    World,
    embed_fields,
    interactions_with,
    is_japanese,
    open_world,
    progress_edits,
)

FULL, EMPTY = "▰" * 12, "▱" * 12


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One bot for all servers of this file."""
    async with open_world(tmp_path_factory.mktemp("quota"), rate="1000/h", concurrent_jobs=7) as world:
        yield world


@pytest.fixture
async def place(world: World) -> Place:
    return await new_place(world)


async def summary(place: Place, locale: str = "en-US") -> str:
    """What is above the bars."""
    [embed] = (await place.says("quota", locale)).embeds
    return embed.description or ""


async def bars(place: Place, locale: str = "en-US") -> dict[str, str]:
    """What is beside each name."""
    return embed_fields(await place.says("quota", locale))


# --- /quota ---


async def test_where_nobody_limits_anything(place: Place) -> None:
    text = await summary(place)
    assert text.splitlines() == [
        f"One more picture with the usual settings costs {COST_TOLD}.",
        "There is no limit to how many you may draw.",
        "-# 1 is a picture of 512×512 with 30 steps.",
    ]
    fields = await bars(place)
    assert fields["Requests at a time"] == "0 of 7 wait or are being drawn, over all servers"
    assert fields["Requests in a row"].endswith("of 1000 left in 3600 s, over all servers")


async def test_what_is_left_goes_down_with_each_picture(place: Place) -> None:
    await place.quota("default", 9, window="week")
    resets = format_dt(next_reset("week"), "R")
    assert (await bars(place))["You, here"] == f"{FULL} 0.01 of 0.01 left this week · resets {resets}"
    await place.drawn()
    assert "You have 0.01 left this week: 2 of those." in await summary(place)
    await place.drawn()
    await place.drawn()
    assert (await bars(place))["You, here"] == f"{EMPTY} 0 of 0.01 left this week · resets {resets}"
    text = await summary(place)
    assert "You have 0 left this week: 0 of those." in text
    assert f"⚠️ This costs {COST_TOLD} pictures, and you have 0 of 0.01 left this week (" in text


async def test_every_limit_that_applies_has_a_bar(place: Place) -> None:
    await place.quota("default", 30_000, window="24h")
    await place.quota("channel", 20_000, subject_id=place.channel.id)
    await place.quota("server", 60_000, window="month")
    at = datetime.now(UTC)
    await place.spend(15_000, at=at)
    fields = await bars(place)
    day = timedelta(hours=24, microseconds=1)
    assert fields["You, here"] == (
        f"▰▰▰▰▰▰▱▱▱▱▱▱ 15 of 30 left in 24 hours · all of it comes back {told(at + day)}"
    )
    assert fields["This channel, everybody together"].startswith("▰▰▰▱▱▱▱▱▱▱▱▱ 5 of 20 left today")
    assert fields["This server, everybody together"].startswith("▰▰▰▰▰▰▰▰▰▱▱▱ 45 of 60 left this month")
    assert "You have 5 left today: 1666 of those." in await summary(place)


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("en-US", "more comes back {when}, all of it {until}"),
        ("ja", "次の分は{when}、全部は{until}に戻ります"),
    ],
)
async def test_a_window_that_rolls_says_when_more_comes_back_and_when_all(
    place: Place, locale: str, text: str
) -> None:
    now, day = datetime.now(UTC), timedelta(hours=24, microseconds=1)
    await place.quota("default", 30_000, window="24h")
    assert "·" not in next(iter((await bars(place, locale)).values())), "nothing is used"
    first, last = now - timedelta(hours=20), now - timedelta(hours=2)
    for at in (last, now - timedelta(hours=5), first):
        await place.spend(2_000, at=at)
    bar = next(iter((await bars(place, locale)).values()))
    assert bar.endswith(" · " + text.format(when=told(first + day), until=told(last + day)))


async def test_grants_and_when_they_end(place: Place) -> None:
    await place.quota("default", 0)
    ends = datetime.now(UTC) + timedelta(days=3)
    await place.grant(5_000, ends)
    await place.grant(2_500)
    assert (await bars(place))["Given to you"].splitlines() == [
        f"5 left, until {format_dt(ends, 'f')}",
        "2.5 left, for as long as you like",
    ]
    assert "You have 7.5 left today" in await summary(place)


async def test_a_role_without_limits_is_told_so(place: Place) -> None:
    await place.settings(exempt_roles=[place.role.id], concurrent_jobs=1)
    await place.quota("default", 0)
    assert "A role of yours frees you from this server's limits for members." in await summary(place)
    assert "You, here" not in await bars(place)
    await place.drawn()


async def test_a_servers_own_rate_and_number_of_jobs(place: Place) -> None:
    await place.settings(rate_count=7, rate_seconds=60, concurrent_jobs=2)
    fields = await bars(place)
    assert fields["Requests at a time"].splitlines()[1] == "0 of 2 wait or are being drawn, in this server"
    assert fields["Requests in a row"].splitlines()[1] == "7 of 7 left in 60 s, in this server"


async def test_who_is_blocked_reads_it_here_too(place: Place) -> None:
    await place.add(
        BlockRow(
            guild_id=place.guild.id,
            user_id=place.mika.id,
            until=None,
            reason="spam",
            actor_id=1,
            created_at=datetime.now(UTC),
        )
    )
    assert "⚠️ The moderators of this server have blocked you: spam" in await summary(place)


async def test_in_japanese(place: Place) -> None:
    await place.quota("default", 30_000)
    await place.grant(1_000)
    text = await summary(place, "ja")
    assert all(is_japanese(line) for line in text.splitlines())
    for name, value in (await bars(place, "ja")).items():
        assert is_japanese(name)
        assert is_japanese(value)


async def test_in_a_private_message(world: World) -> None:
    result = await world.mika.user.slash("quota")
    assert result.response is not None
    assert "There is no limit" in (result.response.embeds[0].description or "")


async def test_in_a_server_where_the_bot_is_not_installed(place: Place) -> None:
    """The member brings it along; roles still count, though the bot does not know that server's."""
    await place.quota("role", 2_000, subject_id=4711)
    member = {
        "user": {"id": str(place.mika.id), "username": "mika", "discriminator": "0", "avatar": None},
        "roles": ["4711"],
        "joined_at": "2026-01-01T00:00:00+00:00",
        "permissions": "0",
        "deaf": False,
        "mute": False,
        "flags": 0,
    }
    with interactions_with(authorizing_integration_owners={"1": str(place.mika.id)}, member=member):
        result = await place.mika.slash(place.channel, "quota")
    assert result.response is not None
    assert embed_fields(result.response)["You, here"].startswith(f"{FULL} 2 of 2 left today")


# --- before and after a picture ---


@pytest.mark.parametrize(
    ("locale", "before", "after"),
    [
        ("en-US", f"-# costs {COST_TOLD}, 29.99 left today", f"{COST_TOLD}, 29.99 left today"),
        ("ja", f"-# {COST_TOLD}枚分、残り29.99枚分（今日）", f"{COST_TOLD}枚分、残り29.99枚分（今日）"),
    ],
)
async def test_the_cost_is_told_before_and_after(place: Place, locale: str, before: str, after: str) -> None:
    await place.quota("default", 29_993)
    first = len(place.world.env.http_requests)
    message = await place.drawn(locale)
    edits = progress_edits(place.world.env, first)
    assert all(text.endswith(f"\n{before}") for text in edits)
    assert edits
    assert list(embed_fields(message).values())[-1] == after


async def test_the_cost_of_more_images_and_steps(place: Place) -> None:
    message = await place.drawn(images=4, steps=60)
    assert embed_fields(message)["Cost"] == "0.12"
