"""The terms of use as members see them, and the button that accepts them and goes on with the command."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from bot.client import GoOn, TrinArtBot
from bot.i18n import Translate, translator
from bot.safety.use_terms import CONCLUSION, INTRODUCTION, LICENCE_URL, RESTRICTIONS, TERMS_VERSION
from cogs.answers import told
from cogs.render import COLOUR, refusal

NO_COMMAND = "-"
"""In place of the key of a command, where none waits."""


class AcceptButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"trinart:accept:(?P<version>[0-9a-z.]{1,16}):(?P<key>[0-9a-f]{16}|-)",
):
    """Accepts the version of the terms that it stands under."""

    def __init__(self, key: str, label: str, version: str = TERMS_VERSION) -> None:
        self._key, self._version = key, version
        super().__init__(
            discord.ui.Button(
                label=label, style=discord.ButtonStyle.success, custom_id=f"trinart:accept:{version}:{key}"
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["key"], "", match["version"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Record it, and do what the member wanted, if that is still known."""
        bot: TrinArtBot = interaction.client
        go_on = bot.waiting.take(interaction.user.id, self._key)
        async with told(interaction):
            if self._version != TERMS_VERSION:  # another text: it has to be read first
                await show_terms(interaction, go_on)
                return
            await bot.services.use_terms.accept(interaction.user.id)
            text = self._accepted(interaction, goes_on=go_on is not None)
            await interaction.response.edit_message(content=text, embeds=[], view=None)
            if go_on is not None:
                await go_on(interaction)

    def _accepted(self, interaction: discord.Interaction[Any], *, goes_on: bool) -> str:
        t = translator(interaction.locale.value)
        if goes_on or self._key == NO_COMMAND:
            return t("You have accepted the terms of use.")
        text = t("You have accepted the terms of use. Please send your command again.")
        assert interaction.message is not None
        # The prompt stays below, to be copied.
        _, _, quote = interaction.message.content.partition("\n\n")
        return f"{text}\n\n{quote}" if quote else text


async def show_terms(
    interaction: discord.Interaction[TrinArtBot], go_on: GoOn | None = None, *, prompt: str = ""
) -> None:
    """Show the terms to a member alone, with the button, and `go_on` once it is pressed."""
    bot, t = interaction.client, translator(interaction.locale.value)
    key = bot.waiting.put(interaction.user.id, go_on) if go_on is not None else NO_COMMAND
    heading = t(
        "Before your first picture, please read these terms and accept them. Your command then goes on."
    )
    text, file = refusal(heading, prompt, t) if go_on is not None else (None, None)
    view = discord.ui.View(timeout=None)
    view.add_item(AcceptButton(key, t("Accept")))
    await interaction.response.send_message(
        text,
        embed=terms_embed(t),
        view=view,
        file=file if file is not None else discord.utils.MISSING,
        ephemeral=True,
        allowed_mentions=discord.AllowedMentions.none(),
    )


def terms_embed(t: Translate) -> discord.Embed:
    """The terms, with the version of their text."""
    lines = [t(INTRODUCTION), *(f"{number}. {t(text)}" for number, text in enumerate(RESTRICTIONS, 1))]
    embed = discord.Embed(title=t("Terms of use"), colour=COLOUR)
    # In brackets: Discord would take a Japanese full stop, and what follows it, for a part of the address.
    embed.description = "\n".join([*lines, "", t(CONCLUSION, url=f"<{LICENCE_URL}>")])
    return embed.set_footer(text=t("Version {version} of this text", version=TERMS_VERSION))
