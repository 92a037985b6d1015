"""The command as Discord gets it, and where it can be used: servers, threads, private messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import discord
import pytest
import simcord

from bot.client import TrinArtBot
from tests.integration.simcord_world import World, interactions_with, open_world, refusal

GUILD_INSTALL, USER_INSTALL = 0, 1
IN_GUILD, WITH_BOT, IN_PRIVATE_CHANNEL = 0, 1, 2


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One bot and one engine for all tests of this file."""
    async with open_world(tmp_path_factory.mktemp("places")) as world:
        yield world


# --- the command ---


@pytest.fixture
def command(world: World) -> dict[str, Any]:
    """What the bot registered with Discord for the pictures."""
    [request] = [entry for entry in world.env.http_requests if entry.method == "PUT"]
    assert request.path.endswith("/commands"), "for all servers"
    assert request.json is not None
    [command] = [command for command in request.json if command["name"] == "trinart"]
    return command


def parts(command: dict[str, Any]) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """The names and the descriptions of a command and its options, each by language."""
    for part in (command, *command["options"]):
        names = {"en": part["name"], **part["name_localizations"]}
        yield names, {"en": part["description"], **part["description_localizations"]}


async def test_the_command_can_be_installed_and_used_everywhere(command: dict[str, Any]) -> None:
    assert command["integration_types"] == [GUILD_INSTALL, USER_INSTALL]
    assert command["contexts"] == [IN_GUILD, WITH_BOT, IN_PRIVATE_CHANNEL]


async def test_the_command_keeps_discords_limits_in_every_language(command: dict[str, Any]) -> None:
    """https://discord.com/developers/docs/interactions/application-commands"""
    assert len(command["options"]) <= 25
    total = {"en": 0, "ja": 0}
    for names, descriptions in parts(command):
        for language in total:
            name, description = names[language], descriptions[language]
            assert 1 <= len(name) <= 32
            assert all(letter.isalnum() or letter in "-_'" for letter in name)
            assert name == name.lower()
            assert 1 <= len(description) <= 100
            total[language] += len(name) + len(description)
    assert max(total.values()) <= 8000


async def test_names_are_unique_in_every_language(command: dict[str, Any]) -> None:
    for language in ("en", "ja"):
        names = [
            option.get("name_localizations", {}).get(language, option["name"])
            for option in command["options"]
        ]
        assert len(set(names)) == len(names)


async def test_the_options_are_those_of_the_manual(command: dict[str, Any]) -> None:
    options = {option["name"]: option for option in command["options"]}
    assert list(options) == [
        *("prompt", "preset", "negative", "size", "steps", "cfg", "seed", "sampler", "images", "anatomy")
    ]
    assert [name for name, option in options.items() if option["required"]] == ["prompt"]
    assert [name for name, option in options.items() if option.get("autocomplete")] == ["preset", "size"]
    assert 1 <= len(options["sampler"]["choices"]) <= 25


async def test_the_member_meets_our_limits_not_discords(command: dict[str, Any]) -> None:
    """Discord would refuse a number or a text in its own words, and keep the prompt to itself."""
    bounds = {"min_value", "max_value", "min_length", "max_length"}
    assert not [option["name"] for option in command["options"] if bounds & set(option)]


# --- where it is used ---


async def test_in_a_private_message_to_the_bot(world: World) -> None:
    user = world.mika.user
    message = await world.answer_to(await user.slash("trinart", prompt="1girl"))
    assert message.attachments
    assert message.channel_id == user.dm_channel.id
    row = await world.last_job()
    assert (row.guild_id, row.channel_id, row.user_id) == (None, user.dm_channel.id, user.id)


async def test_a_mistake_in_a_private_message(world: World) -> None:
    jobs = len(await world.jobs())
    result = await world.mika.user.slash("trinart", prompt="1girl", steps=0)
    assert result.response is not None
    assert result.response.content.endswith(">>> 1girl")
    assert len(await world.jobs()) == jobs


async def test_in_a_private_message_presets_are_suggested(world: World) -> None:
    choices = await world.mika.user.autocomplete("trinart", "preset", "", prompt="1girl")
    assert len(choices) == 4


async def test_in_a_thread(world: World) -> None:
    thread = await open_thread(world)
    message = await world.answer_to(await world.mika.slash(thread, "trinart", prompt="1girl"))
    assert message.attachments
    assert message.channel_id == thread.id
    row = await world.last_job()
    assert (row.guild_id, row.channel_id) == (world.guild.id, thread.id)


async def open_thread(world: World) -> simcord.ChannelHandle:
    """A public thread in the channel."""
    assert isinstance(world.env.bot, TrinArtBot)
    channel = world.env.bot.get_channel(world.channel.id)
    assert isinstance(channel, discord.TextChannel)
    with world.env.time_context():
        await channel.create_thread(name="drawings", type=discord.ChannelType.public_thread)
    await world.env.settle()
    return world.channel.threads[0]


async def test_in_a_server_that_has_not_installed_the_bot(world: World) -> None:
    """A member may bring the bot along; it can answer there, and do nothing else."""
    owners = {str(USER_INSTALL): str(world.mika.id)}
    with interactions_with(authorizing_integration_owners=owners, app_permissions="0"):
        message = await world.draw(prompt="1girl")
    assert message.attachments
    assert not message.ephemeral


async def test_in_a_private_message_between_two_others(world: World) -> None:
    owners = {str(USER_INSTALL): str(world.mika.id)}
    with interactions_with(authorizing_integration_owners=owners, context=IN_PRIVATE_CHANNEL):
        message = await world.answer_to(await world.mika.user.slash("trinart", prompt="1girl"))
    assert message.attachments


async def test_a_language_that_the_bot_does_not_speak_is_answered_in_english(world: World) -> None:
    text = await refusal(world, "1girl", "de", steps=0)
    assert text.startswith("`steps` must be between 1 and 60")
