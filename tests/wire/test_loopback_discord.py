"""The loopback Discord proved against the real discord.py: what it claims to show, it shows."""

from __future__ import annotations

import discord
import pytest

from .handles import Interaction, Pulse
from .payloads import group_channel, message, user
from .tiny_bot import (
    PICTURE,
    AgainButton,
    TinyBot,
    WishModal,
    assert_picture_intact,
    has_picture,
    meeting,
    picture,
    say_locale,
)


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


async def test_a_wait_in_vain_names_what_was_seen_last() -> None:
    shown = message("1", user()) | {"content": "is still starting"}
    interaction = Interaction({"id": "2"}, Pulse(), message=shown)

    def sees_something_else(interaction: Interaction) -> bool:
        interaction.record()
        return False

    with pytest.raises(TimeoutError, match="content='is still starting'"):
        await interaction.wait(sees_something_else, timeout=0)
