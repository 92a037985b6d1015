"""The loopback Discord proved against the real discord.py: what it claims to show, it shows."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import discord
import pytest
import yarl
from discord import app_commands, utils
from discord.gateway import DiscordWebSocket
from discord.http import Route

from .gateway import DropKind
from .handles import Interaction, Pulse, StoredFile
from .loopback_discord import LoopbackDiscord
from .payloads import group_channel, message, user
from .people import command_data
from .refusals import DiscordError, check_command
from .world import World

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 700
ALT_TEXT = "A lighthouse in the rain, 描かれた灯台"
PICTURE_HASH = hashlib.sha256(PICTURE).hexdigest()

PHOTO = StoredFile("photo.jpg", None, "image/jpeg", PICTURE)
OPTIONS = [{"name": "prompt", "type": 3, "required": True}, {"name": "base", "type": 11}]

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


async def test_defer_then_edit_with_a_file_over_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    async with meeting(monkeypatch) as (server, _):
        interaction = await server.slash("trinart", {"prompt": "a lighthouse"})
        await interaction.wait(has_picture)
        assert_picture_intact(server, interaction)
        assert server.compressions == ["zstd-stream"]
        assert interaction.deferred
        assert [s.loading for s in interaction.history] == [True, False]
        assert [s.content for s in interaction.history] == ["", "done"]
        assert server.messages(server.channel["id"]) == [interaction.message]


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


async def test_a_wait_in_vain_names_what_was_seen_last() -> None:
    shown = message("1", user()) | {"content": "is still starting"}
    interaction = Interaction({"id": "2"}, Pulse(), message=shown)

    def sees_something_else(interaction: Interaction) -> bool:
        interaction.record()
        return False

    with pytest.raises(TimeoutError, match="content='is still starting'"):
        await interaction.wait(sees_something_else, timeout=0)


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


async def test_the_bot_sees_locale_context_and_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async with meeting(monkeypatch, say_locale) as (server, _):
        interaction = await server.slash(
            "trinart", {"prompt": "灯台"}, locale="ja", attachment_size_limit=1234
        )
        await interaction.wait(lambda i: i.acknowledged)
        assert interaction.message is not None
        assert interaction.message["content"] == "ja True 1234"
        assert interaction.ephemeral
        assert server.messages(server.channel["id"]) == []


async def test_every_kind_of_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async def say_channel(interaction: discord.Interaction[TinyBot]) -> None:
        await interaction.response.send_message(type(interaction.channel).__name__)

    async with meeting(monkeypatch, say_channel) as (server, _):
        someone = user("someone")
        places = [
            await server.slash("trinart", {"prompt": "p"}),
            await server.slash("trinart", {"prompt": "p"}, channel=server.open_thread()),
            await server.slash("trinart", {"prompt": "p"}, guild_id=None, user=someone),
            await server.slash("trinart", {"prompt": "p"}, context=2, channel=group_channel(someone)),
            await server.slash("trinart", {"prompt": "p"}, guild_id="424242"),
        ]
        said = [(await i.wait(lambda i: i.message is not None)).history[-1].content for i in places]
        assert said == ["TextChannel", "Thread", "DMChannel", "GroupChannel", "TextChannel"]
        assert server.messages(server.dm(someone)["id"]) == [places[2].message]


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


async def test_click_and_autocomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    async def offer(interaction: discord.Interaction[TinyBot]) -> None:
        view = discord.ui.View(timeout=60)
        view.add_item(AgainButton())
        await interaction.response.send_message("press", view=view)

    async with meeting(monkeypatch, offer) as (server, _):
        typed = await server.autocomplete("trinart", {"prompt": "se"}, focused="prompt")
        await typed.wait(lambda i: i.choices is not None)
        assert typed.choices == [{"name": "se!", "value": "se!"}]
        shown = await server.slash("trinart", {"prompt": "p"})
        await shown.wait(lambda i: i.message is not None)
        assert shown.message is not None
        clicked = await server.click(shown.message, "again")
        await clicked.wait(lambda i: i.acknowledged)
        assert shown.history[-1].content == "clicked"
        with pytest.raises(ValueError, match="shows no 'again'"):
            await server.click(shown.message, "again")


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


async def test_modal(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(interaction: discord.Interaction[TinyBot]) -> None:
        await interaction.response.send_modal(WishModal())

    async with meeting(monkeypatch, ask) as (server, _):
        opened = await server.slash("trinart", {"prompt": "p"})
        await opened.wait(lambda i: i.modal is not None)
        sent = await server.submit(opened, {"wish": "a lighthouse"})
        await sent.wait(lambda i: i.message is not None)
        assert sent.history[-1].content == "a lighthouse"


async def test_messages_in_a_dm_and_in_a_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    async with meeting(monkeypatch) as (server, bot):
        person = server.world.default_user
        direct = await (await bot.fetch_user(int(person["id"]))).send("hello", file=picture())
        assert server.file(server.messages(server.dm()["id"])[0]["attachments"][0]).data == PICTURE
        assert await direct.attachments[0].read() == PICTURE
        channel = await bot.fetch_channel(int(server.channel["id"]))
        assert isinstance(channel, discord.TextChannel)
        sent = await channel.send("first <@1> @everyone", allowed_mentions=discord.AllowedMentions.none())
        assert server.messages(server.channel["id"])[0]["mention_everyone"] is False
        await sent.edit(content="second")
        assert [m.content async for m in channel.history()] == ["second"]
        await sent.delete()
        assert server.messages(server.channel["id"]) == []


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


class ZlibContext:
    """Undoes ``zlib-stream``: each message ends at a flush, the state goes on."""

    COMPRESSION_TYPE = "zlib-stream"

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj()

    def decompress(self, data: bytes, /) -> str | None:
        assert data.endswith(b"\x00\x00\xff\xff")
        return self._inflate.decompress(data).decode()
