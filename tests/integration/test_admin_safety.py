"""`/admin safety`: what a server may be shown, within what the host allows, and who changed it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import simcord
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from bot.admin_safety import MAX_WORDS
from bot.database.safety import ServerSafetyRow
from bot.safety.places import Place
from cogs.places import look_at, place_now
from tests.integration.simcord_admins import Office, open_office
from tests.integration.simcord_channels import (
    AgeRestrictions,
    age_restrictions,
    check_withheld,
    choose,
    open_thread,
)
from tests.integration.simcord_world import is_japanese, open_world


@pytest.fixture(scope="module")
def restrictions() -> Iterator[AgeRestrictions]:
    with age_restrictions() as restrictions:
        yield restrictions


@pytest.fixture(scope="module")
async def office(
    restrictions: AgeRestrictions, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Office]:
    async with open_world(tmp_path_factory.mktemp("safety"), safety_level="age-restricted") as world:
        yield open_office(world)


@pytest.fixture(autouse=True)
async def _nothing_chosen(office: Office, restrictions: AgeRestrictions) -> None:
    async def forget(session: AsyncSession) -> None:
        await session.execute(delete(ServerSafetyRow))

    await office.world.database.write(forget)
    await restrictions.change(office.world, office.world.channel, restricted=False)


async def test_who_decided_what_is_shown(office: Office, restrictions: AgeRestrictions) -> None:
    assert (await office.do("admin safety show")).splitlines() == [
        "**In this channel: default**",
        "The host allows at most: age-restricted",
        "This server: default",
        "This channel is age-restricted in Discord: no",
        "The lowest of them counts.",
    ]
    assert is_japanese(await office.do("admin safety show", locale="ja"))
    await restrictions.change(office.world, office.world.channel, restricted=True)
    await office.do("admin safety level", level="age-restricted")
    await office.do("admin safety channel", channel=office.world.channel, level="strict")
    lines = (await office.do("admin safety show")).splitlines()
    assert lines[0] == "**In this channel: strict**"
    assert lines[3] == "This channel is age-restricted in Discord: yes"
    assert lines[4] == f"Own level of <#{office.world.channel.id}>: strict"


async def test_a_servers_level_counts_from_the_next_request_on(office: Office) -> None:
    assert (await office.world.draw(prompt="1girl daring")).attachments
    text = await office.do("admin safety level", level="strict")
    assert text.splitlines() == ["✅ **Safety level changed**", "level: default → strict"]
    assert await office.last_change() == ("safety.level", "", {"level": "default"}, {"level": "strict"})
    await check_withheld(office.world, await office.world.draw(prompt="1girl daring"))


async def test_a_channel_can_show_less(office: Office) -> None:
    channel = office.world.channel
    text = await office.do("admin safety channel", channel=channel, level="strict")
    assert text.splitlines() == [
        f"✅ **Safety level of a channel changed** · <#{channel.id}>",
        "level: — → strict",
    ]
    await check_withheld(office.world, await office.world.draw(prompt="1girl daring"))
    await office.do("admin safety channel", channel=channel, level="none")
    assert await office.last_change() == (
        "safety.channel",
        f"channel:{channel.id}",
        {"level": "strict"},
        {"level": None},
    )
    assert (await office.world.draw(prompt="1girl daring")).attachments


async def test_a_servers_own_words(office: Office) -> None:
    world = office.world
    text = await office.do("admin safety lists", block="Gundam", allow="nude lipstick")
    assert text.splitlines() == [
        "✅ **Lists of words changed**",
        "refused words: — → gundam",
        "harmless words: — → nude lipstick",
    ]
    refused = await world.ask(prompt="a GUNDAM in the rain")
    assert refused.response is not None
    assert refused.response.content.startswith("The admins of this server do not want a word")
    assert (await world.draw(prompt="1girl, nude lipstick")).attachments
    assert (await office.do("admin safety lists")).splitlines() == [
        "refused words: gundam",
        "harmless words: nude lipstick",
    ]
    await office.do("admin safety lists", unblock="GUNDAM", disallow="nude lipstick")
    assert (await world.draw(prompt="a gundam")).attachments
    assert is_japanese(await office.do("admin safety lists", locale="ja"))


async def test_no_list_can_allow_what_is_about_minors(office: Office) -> None:
    await office.do("admin safety lists", allow="nude")
    await office.do("admin safety lists", allow="child")
    refused = await office.world.ask(prompt="a nude child")
    assert refused.response is not None
    assert refused.response.content.startswith("Sexual content together with anything that points to a minor")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"block": "   "}, "`block` is empty. Write something there."),
        ({"allow": "x" * 61}, "`allow` has 61 characters; at most 60 are allowed. Please shorten it."),
    ],
)
async def test_words_that_cannot_be_kept(office: Office, options: dict[str, str], told: str) -> None:
    rows = len(await office.audit())
    assert await office.do("admin safety lists", **options) == told
    assert len(await office.audit()) == rows


async def test_a_list_ends_somewhere(office: Office) -> None:
    await choose(office.world, "default", block=[f"word{number}" for number in range(MAX_WORDS)])
    assert await office.do("admin safety lists", block="one more") == (
        f"At most {MAX_WORDS} can be named. Take one away first."
    )


async def test_a_servers_preset_is_read_when_it_is_saved(office: Office) -> None:
    form = await office.boss.slash(office.world.channel, "preset create")
    texts = {"name": "Foggy", "description": "", "prompt": "nude", "negative": ""}
    answer = await office.boss.submit_modal(form, texts)
    assert answer.response is not None
    assert answer.response.content.startswith("Sexual content is not drawn here.")
    assert not (await office.world.service.presets_in(office.world.guild.id)).has("Foggy")


# --- places ---


async def test_what_discord_says_of_a_place(office: Office, restrictions: AgeRestrictions) -> None:
    world, bot = office.world, office.world.env.bot
    guild, channel = world.guild.id, world.channel.id
    assert bot is not None
    await restrictions.change(world, world.channel, restricted=True)
    expected = Place(guild_id=guild, channel_id=channel, is_age_restricted=True)
    thread = await open_thread(world, world.channel)
    for place in (channel, thread.id):
        assert place_now(bot, guild, place) == expected  # pyright: ignore[reportArgumentType]
        assert await look_at(bot, guild, place) == expected  # pyright: ignore[reportArgumentType]
    gone = Place(guild_id=guild, channel_id=424242, is_known=False)
    assert await look_at(bot, guild, 424242) == gone  # pyright: ignore[reportArgumentType]
    assert place_now(bot, guild, 424242) == gone  # pyright: ignore[reportArgumentType]
    private = await look_at(bot, None, channel)  # pyright: ignore[reportArgumentType]
    assert private == Place(channel_id=channel), "a direct message is nothing else"


async def test_a_channel_of_another_server_is_not_believed(office: Office) -> None:
    world, bot = office.world, office.world.env.bot
    assert bot is not None
    other: simcord.GuildHandle = world.env.create_guild("Other")
    channel = other.create_text_channel("elsewhere")
    await world.env.settle()
    assert not place_now(bot, world.guild.id, channel.id).is_known  # pyright: ignore[reportArgumentType]
