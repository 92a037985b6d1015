"""What a preset does to a picture, and what Discord suggests while a member types."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import simcord

from bot.database.models import GuildSettingsRow
from tests.integration.simcord_world import (
    World,
    embed_fields,
    interactions_with,
    is_japanese,
    negative_prompt,
    open_world,
    parameters,
)

RETRO = (
    "retro style, 1980s, 1990s, 2000s, "
    "2005 2006 2007 2008 2009 2010 2011 2012 2013 2014 2015 2016 2017 2018 2019"
)
FLAT = "flat color, flat shading"
ANATOMY = "bad hands, fewer digits, bad anatomy, extra digit, missing fingers"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One bot and one engine for all tests of this file."""
    async with open_world(tmp_path_factory.mktemp("presets")) as world:
        yield world


async def negative_of(world: World, **options: Any) -> str:
    """The negative prompt in the file that a command gives."""
    [text] = await parameters(await world.draw(prompt="1girl", **options))
    return negative_prompt(text)


# --- the shipped presets, to the letter of the model's card ---


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("None", ANATOMY),
        ("2022 Artstyle", f"{RETRO}, {ANATOMY}"),
        ("More Details", f"{FLAT}, {ANATOMY}"),
        ("2022 Artstyle + More Details", f"{RETRO}, {FLAT}, {ANATOMY}"),
    ],
)
async def test_a_preset_says_what_to_keep_out_of_the_picture(
    world: World, preset: str, expected: str
) -> None:
    message = await world.draw(prompt="1girl, smile", preset=preset)
    [text] = await parameters(message)
    assert negative_prompt(text) == expected
    assert text.startswith("1girl, smile\n"), "the shipped presets add nothing to the prompt"
    assert text.endswith(f"Preset: {preset}")
    assert embed_fields(message)["Preset"] == preset
    assert embed_fields(message)["Negative prompt"] == expected


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("None", ""),
        ("2022 Artstyle", RETRO),
        ("More Details", FLAT),
        ("2022 Artstyle + More Details", f"{RETRO}, {FLAT}"),
    ],
)
async def test_anatomy_can_be_switched_off(world: World, preset: str, expected: str) -> None:
    assert await negative_of(world, preset=preset, anatomy=False) == expected


async def test_without_any_negative_prompt_none_is_shown(world: World) -> None:
    message = await world.draw(prompt="1girl", anatomy=False)
    assert "Negative prompt" not in embed_fields(message)
    [text] = await parameters(message)
    assert "Negative prompt" not in text


async def test_a_members_own_words_come_last_and_are_not_repeated(world: World) -> None:
    """Whatever the case or the spaces, a word that is there already is not added again."""
    negative = await negative_of(
        world, preset="More Details", negative="Flat  Color, blurry, BAD HANDS, (red, blue:1.2), blurry"
    )
    assert negative == f"{FLAT}, {ANATOMY}, blurry, (red, blue:1.2)"


async def test_a_presets_name_can_be_typed_in_any_case(world: World) -> None:
    message = await world.draw(prompt="1girl", preset=" more details ")
    assert embed_fields(message)["Preset"] == "More Details"


# --- the default of a server ---


@pytest.fixture
async def other_channel(world: World) -> simcord.ChannelHandle:
    """A channel of a second server, whose admins chose More Details; Mika is a member there, too."""
    guild = world.env.create_guild("More Details, please")
    guild.add_member(world.mika.user)
    channel = guild.create_text_channel("pictures")
    await world.env.settle()
    async with world.database.session() as session:
        session.add(
            GuildSettingsRow(guild_id=guild.id, default_preset="More Details", updated_at=datetime.now(UTC))
        )
    return channel


async def preset_used_in(world: World, channel: simcord.ChannelHandle, **options: Any) -> str:
    """The preset of a picture that Mika asks for in a channel."""
    assert channel.guild is not None
    member = simcord.MemberActor(world.env, channel.guild, world.mika.user)
    message = await world.answer_to(await member.slash(channel, "trinart", prompt="1girl", **options))
    return embed_fields(message)["Preset"]


async def test_a_server_can_have_a_default(world: World, other_channel: simcord.ChannelHandle) -> None:
    """It is for members who name no preset, and for that server alone."""
    assert await preset_used_in(world, other_channel) == "More Details"
    assert await preset_used_in(world, other_channel, preset="2022 Artstyle") == "2022 Artstyle"
    assert await preset_used_in(world, other_channel, preset="None") == "None"
    assert await preset_used_in(world, world.channel) == "None"


# --- suggestions while typing ---


async def suggestions(world: World, option: str, typed: str) -> dict[str, str]:
    """What Discord shows under an option, and what each choice would fill in."""
    choices = await world.mika.autocomplete(world.channel, "trinart", option, typed, prompt="1girl")
    return {choice["name"]: choice["value"] for choice in choices}


async def test_presets_are_suggested_with_what_they_do(world: World) -> None:
    assert await suggestions(world, "preset", "") == {
        "None — your words alone": "None",
        "2022 Artstyle — a modern look, nothing retro": "2022 Artstyle",
        "More Details — rich shading, nothing flat": "More Details",
        "2022 Artstyle + More Details — a modern look with rich shading": "2022 Artstyle + More Details",
    }


async def test_presets_are_described_in_the_members_language(world: World) -> None:
    """Their names stay as they are: they are what the command takes."""
    with interactions_with(locale="ja"):
        japanese = await suggestions(world, "preset", "")
    assert list(japanese.values()) == list((await suggestions(world, "preset", "")).values())
    for name, value in japanese.items():
        own_name, _, description = name.partition(" — ")
        assert own_name == value
        assert is_japanese(description)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("more", ["More Details", "2022 Artstyle + More Details"]),
        (" 2022 ARTSTYLE +", ["2022 Artstyle + More Details"]),
        ("watercolour", []),
    ],
)
async def test_typing_narrows_the_presets_down(world: World, typed: str, expected: list[str]) -> None:
    assert list((await suggestions(world, "preset", typed)).values()) == expected


async def test_sizes_are_suggested_as_the_model_offers_them(world: World) -> None:
    assert await suggestions(world, "size", "") == {
        "square — 64×64": "square",
        "portrait — 64×96": "portrait",
        "landscape — 96×64": "landscape",
    }
    assert list((await suggestions(world, "size", "96x")).values()) == ["landscape"]
    assert list((await suggestions(world, "size", "Port")).values()) == ["portrait"]


async def test_sizes_have_japanese_names(world: World) -> None:
    with interactions_with(locale="ja"):
        japanese = await suggestions(world, "size", "")
    assert list(japanese.values()) == ["square", "portrait", "landscape"]
    assert all(is_japanese(name) for name in japanese)


async def test_a_suggestion_can_be_sent_as_it_is(world: World) -> None:
    for value in (await suggestions(world, "preset", "")).values():
        assert embed_fields(await world.draw(prompt="1girl", preset=value))["Preset"] == value
    for value in (await suggestions(world, "size", "")).values():
        assert (await world.draw(prompt="1girl", size=value)).attachments
