"""A tiny bot made with the real discord.py, which meets the loopback Discord in the tests of the latter."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import discord
import pytest
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from .handles import Interaction
from .loopback_discord import LoopbackDiscord

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 700
ALT_TEXT = "A lighthouse in the rain, 描かれた灯台"
PICTURE_HASH = hashlib.sha256(PICTURE).hexdigest()


Behaviour = Callable[["discord.Interaction[TinyBot]"], Awaitable[None]]


class TinyBot(discord.Client):
    """A bot with one command, whose behaviour each test chooses."""

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(intents=discord.Intents(guilds=True))
        self.tree = app_commands.CommandTree(self)
        self.errors: asyncio.Queue[BaseException] = asyncio.Queue()

        @self.tree.command(name="trinart", description="Paint a picture")
        async def trinart(interaction: discord.Interaction[TinyBot], prompt: str, steps: int = 20) -> None:
            try:
                await behaviour(interaction)
            except (discord.DiscordException, aiohttp.ClientError) as error:
                self.errors.put_nowait(error)

        @trinart.autocomplete("prompt")
        async def suggest(
            interaction: discord.Interaction[TinyBot], current: str
        ) -> list[app_commands.Choice[str]]:
            return [app_commands.Choice(name=current + "!", value=current + "!")]

    async def setup_hook(self) -> None:
        await self.tree.sync()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Identify again at once: the five seconds that the library waits prove nothing here."""


class AgainButton(discord.ui.Button[discord.ui.View]):
    """A button that says so when it was pressed, and goes away."""

    def __init__(self) -> None:
        super().__init__(label="Again", custom_id="again")

    async def callback(self, interaction: discord.Interaction) -> None:
        await interaction.response.edit_message(content="clicked", view=None)


class WishModal(discord.ui.Modal, title="A wish"):
    """A modal with one line, whose answer is that line."""

    wish = discord.ui.TextInput["WishModal"](label="Wish", custom_id="wish")

    async def on_submit(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_message(self.wish.value)


def picture() -> discord.File:
    return discord.File(io.BytesIO(PICTURE), "picture.png", description=ALT_TEXT)


async def paint(interaction: discord.Interaction[TinyBot]) -> None:
    """What a painting bot does: promise, then put the picture where the promise stood."""
    await interaction.response.defer(thinking=True)
    await interaction.edit_original_response(content="done", attachments=[picture()])


async def say_locale(interaction: discord.Interaction[TinyBot]) -> None:
    text = f"{interaction.locale.value} {interaction.context.guild} {interaction.filesize_limit}"
    await interaction.response.send_message(text, ephemeral=True)


@asynccontextmanager
async def meeting(
    monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour = paint, callback_window: float = 3.0
) -> AsyncIterator[tuple[LoopbackDiscord, TinyBot]]:
    """A server and a bot that is connected to it, both gone afterwards."""
    async with LoopbackDiscord(callback_window=callback_window) as server:
        monkeypatch.setattr(Route, "BASE", server.env()["TRINART_DISCORD_API_URL"])
        gateway = yarl.URL(server.env()["TRINART_DISCORD_GATEWAY_URL"])
        monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", gateway)
        bot = TinyBot(behaviour)
        running = asyncio.create_task(bot.start(server.env()["DISCORD_TOKEN"]))
        try:
            await server.commands_synced("trinart")
            yield server, bot
        finally:
            await bot.close()
            await running
    assert server.unexpected == []


def has_picture(interaction: Interaction) -> bool:
    return interaction.message is not None and len(interaction.message["attachments"]) == 1


def assert_picture_intact(server: LoopbackDiscord, interaction: Interaction) -> None:
    assert interaction.message is not None
    attachment = interaction.message["attachments"][0]
    stored = server.file(attachment)
    assert (stored.data, stored.description, stored.filename) == (PICTURE, ALT_TEXT, "picture.png")
    assert (attachment["description"], attachment["content_type"]) == (ALT_TEXT, "image/png")
