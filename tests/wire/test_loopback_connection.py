"""The loopback Discord's gateway and login against the real discord.py."""

from __future__ import annotations

import asyncio
import zlib

import discord
import pytest
from discord import utils
from discord.http import Route

from .gateway import DropKind
from .loopback_discord import LoopbackDiscord
from .tiny_bot import (
    TinyBot,
    has_picture,
    meeting,
    paint,
)


async def test_login_over_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library has this class only where it finds no zstd, so the test brings its like."""
    monkeypatch.setattr(utils, "_ActiveDecompressionContext", ZlibContext)
    async with meeting(monkeypatch) as (server, bot):
        interaction = await server.slash("trinart", {"prompt": "a lighthouse"})
        await interaction.wait(has_picture)
        assert server.compressions == ["zlib-stream"]
        assert [g.id for g in bot.guilds] == [int(server.guild["id"])]


async def test_no_task_outlives_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    before = asyncio.all_tasks()
    async with meeting(monkeypatch):
        pass
    assert {t for t in asyncio.all_tasks() - before if not t.done()} == set()


async def test_wrong_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with LoopbackDiscord() as server:
        monkeypatch.setattr(Route, "BASE", server.url)
        bot = TinyBot(paint)
        with pytest.raises(discord.LoginFailure):
            await bot.login("not-the-token")
        await bot.close()


@pytest.mark.parametrize("how", ["abort", "close", "reconnect"])
async def test_resume_loses_no_event(monkeypatch: pytest.MonkeyPatch, how: DropKind) -> None:
    async with meeting(monkeypatch) as (server, _):
        await server.drop_gateway(how=how)
        interaction = await server.slash("trinart", {"prompt": "sent while the line was down"})
        await interaction.wait(has_picture)
        assert (server.identifies, server.resumes) == (1, 1)


@pytest.mark.parametrize("how", ["abort", "invalidate"])
async def test_identify_again_when_the_session_is_gone(
    monkeypatch: pytest.MonkeyPatch, how: DropKind
) -> None:
    async with meeting(monkeypatch) as (server, _):
        await server.drop_gateway(resumable=False, how=how)
        await server.connected()
        assert (server.identifies, server.resumes) == (2, 0)
        interaction = await server.slash("trinart", {"prompt": "a lighthouse"})
        await interaction.wait(has_picture)


async def test_an_outage_hides_the_guild_and_not_what_people_do_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def say_guild(interaction: discord.Interaction[TinyBot]) -> None:
        assert interaction.guild is not None
        channels = [channel.name for channel in interaction.guild.channels]
        await interaction.response.send_message(f"{interaction.guild.unavailable} {channels}")

    async with meeting(monkeypatch, say_guild) as (server, _):
        server.begin_outage()
        await server.drop_gateway(resumable=False, how="invalidate")
        await server.connected()
        said: list[str] = []
        for _ in range(2):
            interaction = await server.slash("trinart", {"prompt": "p"})
            await interaction.wait(lambda i: i.acknowledged)
            said.append(interaction.history[-1].content)
            await server.end_outage()
        assert said == ["True []", "False ['general']"]


class ZlibContext:
    """Undoes ``zlib-stream``: each message ends at a flush, the state goes on."""

    COMPRESSION_TYPE = "zlib-stream"

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj()

    def decompress(self, data: bytes, /) -> str | None:
        assert data.endswith(b"\x00\x00\xff\xff")
        return self._inflate.decompress(data).decode()
