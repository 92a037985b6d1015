"""The documentation says what the slash commands beside `/trinart` are, and what they allow and cost."""

from __future__ import annotations

import importlib
import inspect
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from discord import app_commands
from discord.ext import commands
from msgspec.structs import replace

from bot.client import EXTENSIONS
from bot.errors import pictures
from bot.history import MOST_ENDED, MOST_LIVE
from bot.presets import GenerationOptions, PresetBook
from bot.quotas import cost_of
from bot.server_presets import MAX_NAME, MAX_PRESETS
from engine.models import SD1_SIZES
from engine.protocol import ModelCard
from tests.unit.test_docs import COMMANDS, MEMBERS, MEMBERS_JA, table_with, tables


def slash_commands() -> Iterator[app_commands.Command[Any, ..., Any]]:
    """Every command of every extension, with its groups' names in front."""
    for extension in EXTENSIONS:
        for cog in vars(importlib.import_module(extension)).values():
            if inspect.isclass(cog) and issubclass(cog, commands.Cog) and cog.__module__ == extension:
                for command in cog.__cog_app_commands__:
                    children = (
                        command.walk_commands() if isinstance(command, app_commands.Group) else [command]
                    )
                    yield from (each for each in children if isinstance(each, app_commands.Command))


SLASH_COMMANDS = {f"`/{command.qualified_name}`": command for command in slash_commands()}


def test_the_commands_page_has_every_slash_command_once() -> None:
    documented = [row[0] for table in tables(COMMANDS) for row in table if row[0].startswith("`/")]
    members = [name for name in documented if not name.startswith(("`/admin", "`/host"))]  # see test_docs
    assert sorted(members) == sorted(set(SLASH_COMMANDS) - {"`/trinart`"})


@pytest.mark.parametrize(
    "name", ["`/quota`", "`/jobs`", *(name for name in SLASH_COMMANDS if name[2:5] == "pre")]
)
def test_a_documented_slash_command_has_its_options(name: str) -> None:
    (row,) = [row for row in table_with(COMMANDS, "`/quota`") if row[0] == name]
    assert row[1].split() == [f"`{option.display_name}`" for option in SLASH_COMMANDS[name].parameters]


def test_the_documented_numbers_of_presets_and_jobs_are_the_real_ones() -> None:
    text = COMMANDS.read_text(encoding="utf-8")
    assert f"at most {MAX_PRESETS} presets" in text
    assert f"1 to {MAX_NAME} characters" in text
    assert f"up to {MOST_LIVE} that wait" in text
    assert f"the latest {MOST_ENDED}" in text
    guide = MEMBERS.read_text(encoding="utf-8")
    assert f"up to {MAX_PRESETS}, with" in guide
    assert f"of up to {MAX_NAME} characters" in guide


def test_the_costs_in_the_members_guide_are_the_real_ones() -> None:
    options = GenerationOptions(prompt="1girl", size="512x768", steps=28)
    request = PresetBook.load().resolve(options, ModelCard(name="any", sizes=SD1_SIZES), random.Random(1))
    text = MEMBERS.read_text(encoding="utf-8")
    assert f"512×768 with 28 steps is\n{pictures(cost_of(request))}," in text
    four = replace(request, num_images_per_prompt=4)
    assert f"four of them {pictures(cost_of(four))}." in text


@pytest.mark.parametrize("page", [MEMBERS, MEMBERS_JA], ids=lambda page: page.name)
def test_the_guides_name_every_command_for_members(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for command in ("/quota", "/jobs", "/preset list", "/preset show", "/preset create", "/privacy export"):
        assert f"`{command}`" in text
