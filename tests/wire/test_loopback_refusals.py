"""What Discord refuses, the loopback Discord refuses, with the same codes."""

from __future__ import annotations

import asyncio

import discord
import pytest

from .handles import StoredFile
from .people import command_data
from .refusals import DiscordError, check_command
from .tiny_bot import (
    PICTURE,
    TinyBot,
    has_picture,
    meeting,
    say_locale,
)
from .world import World

PHOTO = StoredFile("photo.jpg", None, "image/jpeg", PICTURE)
OPTIONS = [{"name": "prompt", "type": 3, "required": True}, {"name": "base", "type": 11}]


async def test_expired_token(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()

    async def late(interaction: discord.Interaction[TinyBot]) -> None:
        await interaction.response.defer()
        await gate.wait()
        await interaction.edit_original_response(content="too late")

    async with meeting(monkeypatch, late) as (server, bot):
        interaction = await server.slash("trinart", {"prompt": "a lighthouse"})
        await interaction.wait(lambda i: i.deferred)
        interaction.expire()
        gate.set()
        error = await asyncio.wait_for(bot.errors.get(), 5)
        assert isinstance(error, discord.HTTPException)
        assert (error.status, error.code) == (401, 50027)


async def test_late_first_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with meeting(monkeypatch, callback_window=-1.0) as (server, bot):
        interaction = await server.slash("trinart", {"prompt": "a lighthouse"})
        error = await asyncio.wait_for(bot.errors.get(), 5)
        assert isinstance(error, discord.NotFound)
        assert error.code == 10062
        assert not interaction.acknowledged


async def test_the_same_interaction_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    async with meeting(monkeypatch, say_locale) as (server, bot):
        interaction = await server.slash("trinart", {"prompt": "a lighthouse"})
        await interaction.wait(lambda i: i.acknowledged)
        await server.slash("trinart", repeat_of=interaction)
        error = await asyncio.wait_for(bot.errors.get(), 5)
        assert isinstance(error, discord.HTTPException)
        assert (error.status, error.code) == (400, 40060)


async def test_attachment_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async with meeting(monkeypatch) as (server, bot):
        interaction = await server.slash("trinart", {"prompt": "p"}, attachment_size_limit=len(PICTURE) // 2)
        error = await asyncio.wait_for(bot.errors.get(), 5)
        assert isinstance(error, discord.HTTPException)
        assert (error.status, error.code) == (413, 40005)
        assert not has_picture(interaction)


async def test_content_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def shout(interaction: discord.Interaction[TinyBot]) -> None:
        await interaction.response.send_message("a" * 2001)

    async with meeting(monkeypatch, shout) as (server, bot):
        await server.slash("trinart", {"prompt": "p"})
        error = await asyncio.wait_for(bot.errors.get(), 5)
        assert isinstance(error, discord.HTTPException)
        assert (error.status, error.code) == (400, 50035)


def test_the_limits_of_commands_and_options_are_kept() -> None:
    server = World("token", [])
    server.commands[None] = {"1": {"id": "1", "name": "trinart", "options": OPTIONS}}
    data = command_data(server, "trinart", {"prompt": "p", "base": PHOTO}, None)
    assert [o["type"] for o in data["options"]] == [3, 11]
    assert data["resolved"]["attachments"][data["options"][1]["value"]]["size"] == len(PICTURE)
    with pytest.raises(ValueError, match="prompt"):
        command_data(server, "trinart", {}, None)
    with pytest.raises(DiscordError, match="50035"):
        check_command({"name": "Trin Art", "description": "no such name can be registered"})
