"""Faults that a test asks the loopback Discord for arrive at the real discord.py as Discord's own would."""

from __future__ import annotations

import asyncio

import aiohttp
import discord
import pytest

from .tiny_bot import (
    PICTURE_HASH,
    assert_picture_intact,
    has_picture,
    meeting,
)


async def test_503_is_tried_again_with_the_file_intact(monkeypatch: pytest.MonkeyPatch) -> None:
    async with meeting(monkeypatch) as (server, _):
        server.fail_next("PATCH", "/webhooks/*/messages/@original", 503)
        interaction = await server.slash("trinart", {"prompt": "a lighthouse"})
        await interaction.wait(has_picture)
        assert_picture_intact(server, interaction)
        edits = [r for r in server.requests if r.method == "PATCH"]
        assert [r.status for r in edits] == [503, 200]
        assert [r.files for r in edits] == [[PICTURE_HASH], [PICTURE_HASH]]


async def test_429_is_tried_again_after_the_time_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    async with meeting(monkeypatch) as (server, _):
        server.fail_next("PATCH", "/webhooks/*/messages/@original", 429, retry_after=0.2)
        interaction = await server.slash("trinart", {"prompt": "a lighthouse"})
        await interaction.wait(has_picture)
        assert_picture_intact(server, interaction)
        first, second = (r for r in server.requests if r.method == "PATCH")
        assert (first.status, second.status) == (429, 200)
        assert second.at - first.at >= 0.2


async def test_429_without_via_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async with meeting(monkeypatch) as (server, bot):
        server.fail_next("PATCH", "/webhooks/*/messages/@original", 429, via=False)
        await server.slash("trinart", {"prompt": "a lighthouse"})
        error = await asyncio.wait_for(bot.errors.get(), 5)
        assert isinstance(error, discord.HTTPException)
        assert error.status == 429


async def test_dropped_connection_reaches_the_bot(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is lost although the edit was done: the library does not try that again."""
    async with meeting(monkeypatch) as (server, bot):
        server.fail_next("PATCH", "/webhooks/*", status=None, apply=True)
        interaction = await server.slash("trinart", {"prompt": "p"})
        await interaction.wait(has_picture)
        error = await asyncio.wait_for(bot.errors.get(), 5)
        assert isinstance(error, aiohttp.ServerDisconnectedError)


async def test_what_is_held_is_done_late_also_for_a_client_that_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with meeting(monkeypatch) as (server, bot):
        held = server.hold_next("PATCH", "/webhooks/*", uploads_only=True)
        interaction = await server.slash("trinart", {"prompt": "p"})
        await held.arrived(5)
        await bot.close()
        assert not has_picture(interaction)
        held.release()
        await interaction.wait(has_picture)
        assert_picture_intact(server, interaction)


async def test_what_is_lost_is_never_done(monkeypatch: pytest.MonkeyPatch) -> None:
    async with meeting(monkeypatch) as (server, bot):
        held = server.hold_next("PATCH", "/webhooks/*")
        interaction = await server.slash("trinart", {"prompt": "p"})
        record = await held.arrived(5)
        held.lose()
        error = await asyncio.wait_for(bot.errors.get(), 5)
        assert isinstance(error, aiohttp.ServerDisconnectedError)
        assert (record.status, has_picture(interaction)) == (None, False)


@pytest.mark.parametrize("status", [503, 429])
async def test_fault_before_the_body_was_read(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    async with meeting(monkeypatch) as (server, _):
        server.fail_next("PATCH", "/webhooks/*", status, after_body=False)
        interaction = await server.slash("trinart", {"prompt": "p"})
        await interaction.wait(has_picture)
        assert_picture_intact(server, interaction)
