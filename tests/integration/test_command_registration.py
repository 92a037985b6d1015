"""All commands as Discord gets them, and what they say when the database fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from bot.client import EXTENSIONS
from tests.integration.simcord_world import World, interactions_with, is_japanese, open_world

SUBCOMMAND = 1
GUILD_INSTALL, USER_INSTALL = 0, 1
IN_GUILD, WITH_BOT, IN_PRIVATE_CHANNEL = 0, 1, 2
MEMBERS_OWN = ("quota", "jobs", "privacy")
TABLES = ("jobs", "presets", "refusals")


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One bot for all tests of this file."""
    async with open_world(tmp_path_factory.mktemp("registration")) as world:
        yield world


@pytest.fixture
def commands(world: World) -> dict[str, dict[str, Any]]:
    """What the bot registered, by name."""
    [request] = [entry for entry in world.env.http_requests if entry.method == "PUT"]
    assert request.json is not None
    return {command["name"]: command for command in request.json}


def parts(command: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A command, its subcommands and all their options."""
    yield command
    for option in command.get("options", []):
        yield from parts(option)


def test_there_is_a_command_for_each_extension(commands: dict[str, dict[str, Any]]) -> None:
    assert set(commands) >= {"trinart", *MEMBERS_OWN, "preset"}
    assert len(EXTENSIONS) >= 5


@pytest.mark.parametrize("name", [*MEMBERS_OWN, "preset"])
def test_everything_is_described_in_both_languages(commands: dict[str, dict[str, Any]], name: str) -> None:
    for part in parts(commands[name]):
        japanese = part["description_localizations"]["ja"]
        assert is_japanese(japanese)
        assert 1 <= len(part["description"]) <= 100
        assert 1 <= len(japanese) <= 100
        if part.get("type") not in (None, SUBCOMMAND):
            assert is_japanese(part["name_localizations"]["ja"])


@pytest.mark.parametrize("name", MEMBERS_OWN)
def test_a_members_own_commands_work_everywhere(commands: dict[str, dict[str, Any]], name: str) -> None:
    assert commands[name]["integration_types"] == [GUILD_INSTALL, USER_INSTALL]
    assert commands[name]["contexts"] == [IN_GUILD, WITH_BOT, IN_PRIVATE_CHANNEL]


def test_presets_are_for_servers(commands: dict[str, dict[str, Any]]) -> None:
    assert commands["preset"]["contexts"] == [IN_GUILD]
    assert [option["name"] for option in commands["preset"]["options"]] == [
        *("create", "edit", "delete", "list", "show")
    ]


def test_nobody_is_kept_from_looking(commands: dict[str, dict[str, Any]]) -> None:
    """What only some may do is checked when they do it."""
    for name in (*MEMBERS_OWN, "preset"):
        assert commands[name].get("default_member_permissions") is None


@pytest.mark.parametrize("locale", ["en-US", "ja"])
@pytest.mark.parametrize("command", ["quota", "jobs", "privacy export", "preset list"])
async def test_a_database_that_fails_is_told(world: World, command: str, locale: str) -> None:
    await rename(world, "{0} RENAME TO {0}_away")
    with interactions_with(locale=locale):
        result = await world.mika.slash(world.channel, command)
    await rename(world, "{0}_away RENAME TO {0}")
    assert result.response is not None
    assert result.response.ephemeral
    assert is_japanese(result.response.content) == (locale == "ja")
    if locale == "en-US":
        assert result.response.content.startswith("The bot's records cannot be reached just now")


async def rename(world: World, change: str) -> None:
    async with world.database.session() as session:
        for table in TABLES:
            await session.execute(text("ALTER TABLE " + change.format(table)))


async def test_suggestions_are_left_out_while_the_database_fails(world: World) -> None:
    await rename(world, "{0} RENAME TO {0}_away")
    own = await world.mika.autocomplete(world.channel, "preset show", "name", "")
    shipped = await world.mika.autocomplete(world.channel, "trinart", "preset", "", prompt="1girl")
    await rename(world, "{0}_away RENAME TO {0}")
    assert own == []
    assert len(shipped) == 4
