"""`/admin limits`, `settings`, `block` and `unblock`, and what they do to the next request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest
from sqlalchemy import delete

from bot.database.models import BlockRow, GuildSettingsRow
from tests.integration.simcord_admins import Office, open_office
from tests.integration.simcord_world import embed_fields, interactions_with, is_japanese, open_world


@pytest.fixture(scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """One bot and one engine for all tests of this file."""
    async with open_world(tmp_path_factory.mktemp("settings")) as world:
        yield open_office(world)


@pytest.fixture(autouse=True)
async def _nothing_chosen(office: Office) -> None:
    async with office.world.database.session() as session:
        await session.execute(delete(GuildSettingsRow))
        await session.execute(delete(BlockRow))


async def answer(office: Office) -> str:
    """What Mika is told when she asks for a picture."""
    return (await office.world.draw(prompt="1girl")).content


# --- limits ---


async def test_limits_are_shown(office: Office) -> None:
    assert (await office.do("admin limits")).splitlines() == [
        "**Limits**",
        "bot switched on: yes",
        "requests of a member: no limit",
        "requests at a time: no limit",
        "exempt roles: —",
    ]
    assert is_japanese(await office.do("admin limits", locale="ja"))


async def test_how_often_members_may_ask(office: Office) -> None:
    text = await office.do("admin limits", rate="1/h")
    assert text.splitlines() == ["✅ **Limits changed**", "requests of a member: — → 1 in 3600 s"]
    assert await office.last_change() == ("limits", "", {"rate": None}, {"rate": "1/3600s"})
    assert await answer(office) == ""
    assert "too fast" in await answer(office)
    assert "1 in 3600 s → —" in await office.do("admin limits", rate="off")
    assert await answer(office) == ""


async def test_the_bot_can_be_switched_off(office: Office) -> None:
    await office.do("admin limits", enabled=False, at_once=3)
    changed = {"enabled": True, "concurrent_jobs": None}, {"enabled": False, "concurrent_jobs": 3}
    assert (await office.last_change())[2:] == changed
    assert "switched the bot off" in await answer(office)
    await office.do("admin limits", enabled=True, at_once=0)
    assert await answer(office) == ""
    assert "requests at a time: no limit" in await office.do("admin limits")


async def test_exempt_roles(office: Office) -> None:
    role = office.world.guild.create_role("friends")
    assert f"exempt roles: — → <@&{role.id}>" in await office.do("admin limits", exempt=role)
    assert "Nothing changed" in await office.do("admin limits", exempt=role)
    await office.do("admin limits", not_exempt=role)
    assert (await office.last_change())[2:] == ({"exempt_roles": [role.id]}, {"exempt_roles": []})


# --- settings ---


async def test_settings_are_shown(office: Office) -> None:
    assert (await office.do("admin settings")).splitlines() == [
        "**Settings**",
        "channels for pictures: all",
        "preset if none is named: the bot's own",
        "language: each member's own",
        "channel for results: where they were asked for",
        "time zone: UTC",
    ]
    assert is_japanese(await office.do("admin settings", locale="ja"))


async def test_channels_for_pictures(office: Office) -> None:
    world = office.world
    other = world.guild.create_text_channel("gallery")
    await office.do("admin settings", allow_channel=other)
    assert f"Pictures are drawn in other channels of this server: <#{other.id}>" in await answer(office)
    await office.do("admin settings", allow_channel=world.channel)
    assert await answer(office) == ""
    await office.do("admin settings", forbid_channel=other)
    both = sorted([other.id, world.channel.id])
    assert (await office.last_change())[2:] == (
        {"allowed_channels": both},
        {"allowed_channels": [world.channel.id]},
    )
    await office.do("admin settings", clear="allowed_channels")
    assert "channels for pictures: all" in await office.do("admin settings")


async def test_the_preset_of_those_who_name_none(office: Office) -> None:
    await office.do("admin settings", preset="more details")
    assert (await office.last_change())[3] == {"default_preset": "More Details"}
    message = await office.world.draw(prompt="1girl")
    assert embed_fields(message)["Preset"] == "More Details"
    choices = await office.boss.autocomplete(office.world.channel, "admin settings", "preset", "more")
    assert [choice["value"] for choice in choices] == ["More Details", "2022 Artstyle + More Details"]


async def test_the_servers_language_is_that_of_public_answers(office: Office) -> None:
    assert "language: — → 日本語" in await office.do("admin settings", language="ja")
    assert "シード" in embed_fields(await office.world.draw(prompt="1girl"))
    await office.do("admin settings", language="en")
    with interactions_with(locale="ja"):
        assert "Seed" in embed_fields(await office.world.draw(prompt="1girl"))
        assert is_japanese((await office.world.draw(prompt="1girl", steps=0)).content), "private: her own"
    await office.do("admin settings", clear="language")
    with interactions_with(locale="ja"):
        assert "シード" in embed_fields(await office.world.draw(prompt="1girl"))


async def test_time_zones(office: Office) -> None:
    assert "time zone: UTC → Asia/Tokyo" in await office.do("admin settings", timezone="asia/tokyo")
    assert (await office.last_change())[2:] == ({"timezone": "UTC"}, {"timezone": "Asia/Tokyo"})
    choices = await office.boss.autocomplete(office.world.channel, "admin settings", "timezone", "asia/tok")
    assert [choice["value"] for choice in choices] == ["Asia/Tokyo"]
    everything = await office.boss.autocomplete(office.world.channel, "admin settings", "timezone", "")
    assert len(everything) == 25


async def test_the_channel_for_results(office: Office) -> None:
    world = office.world
    results = world.guild.create_text_channel("results")
    await office.do("admin settings", result_channel=results)
    assert f"channel for results: <#{results.id}>" in await office.do("admin settings")
    silent = discord.PermissionOverwrite(send_messages=False)
    closed = world.guild.create_text_channel("news", overwrites={world.guild.default_role: silent})
    changes = len(await office.audit())
    text = await office.do("admin settings", result_channel=closed)
    assert text.startswith(f"Pictures cannot be posted in <#{closed.id}>")
    assert len(await office.audit()) == changes


@pytest.mark.parametrize(
    ("command", "options", "says"),
    [
        ("admin limits", {"rate": "often"}, "“often” is no rate"),
        ("admin limits", {"rate": "0/h"}, "“0/h” is no rate"),
        ("admin limits", {"at_once": -1}, "`at_once` must be between 0 and 1000; you gave -1"),
        ("admin settings", {"timezone": "Atlantis"}, "no time zone “Atlantis”"),
        ("admin settings", {"timezone": "../../etc/passwd"}, "no time zone"),
        ("admin settings", {"preset": "Watercolour"}, "no preset “watercolour”"),
        ("admin settings", {"preset": "a\x00"}, "`preset` contains invisible"),
    ],
)
@pytest.mark.parametrize("locale", ["en-US", "ja"])
async def test_a_mistake_is_answered_and_changes_nothing(
    office: Office, command: str, options: dict[str, Any], says: str, locale: str
) -> None:
    changes = len(await office.audit())
    text = await office.do(command, locale=locale, **options)
    assert is_japanese(text) == (locale == "ja")
    assert locale == "ja" or says in text
    assert len(await office.audit()) == changes


# --- blocks ---


async def test_a_blocked_member_is_told_why(office: Office) -> None:
    mika = office.world.mika
    text = await office.do("admin block", member=mika, reason="spam", hours=24)
    assert text.startswith(f"✅ **Member blocked** · <@{mika.id}>\nuntil: <t:")
    assert "The moderators of this server have blocked you: spam (ends <t:" in await answer(office)
    assert "Blocked: spam (until <t:" in await office.do("admin quota show", member=mika)
    assert f"<@{mika.id}>: spam (until <t:" in await office.do("admin quota show")
    await office.do("admin block", member=mika, reason="more spam")
    _, _, before, after = await office.last_change()
    assert (before["reason"], after) == ("spam", {"until": None, "reason": "more spam"})
    assert "Block lifted" in await office.do("admin unblock", member=mika)
    assert await answer(office) == ""
    assert "Nothing changed" in await office.do("admin unblock", member=mika)
    assert "`hours` must be" in await office.do("admin block", member=mika, reason="x", hours=0)


async def test_blocks_in_japanese(office: Office) -> None:
    mika = office.world.mika
    assert is_japanese(await office.do("admin block", locale="ja", member=mika, reason="spam"))
    assert is_japanese(await office.do("admin unblock", locale="ja", member=mika))
