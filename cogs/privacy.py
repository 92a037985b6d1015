"""`/privacy`: a member's own data, as a file or deleted."""

from __future__ import annotations

import io
import re
from typing import Any, Self

import discord
from discord import app_commands
from discord.app_commands import locale_str
from discord.ext import commands

from bot.client import TrinArtBot
from bot.i18n import N_, translator
from cogs.answers import told
from cogs.reply import usable

KEPT = N_(
    "What is kept, and why: amounts and times of what you drew, without words, for deleting must not give a "
    "new allowance; pictures that admins gave you, limits that they set for you, blocks and strikes; a "
    "reported picture until a moderator looked at it, a day at most; the log of what you changed as an "
    "admin, with the texts of presets; what the safety checks decided, without your prompts and your ID. "
    "Messages in Discord stay until deleted there."
)


class ForgetButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]], template=r"trinart:forget:(?P<user_id>[0-9]+)"
):
    """The second word of a member who wants to be forgotten."""

    def __init__(self, user_id: int, label: str) -> None:
        self._user_id = user_id
        super().__init__(
            discord.ui.Button(
                label=label, style=discord.ButtonStyle.danger, custom_id=f"trinart:forget:{user_id}"
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(int(match["user_id"]), "")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Delete what belongs to the presser; nobody else can see the button."""
        bot: TrinArtBot = interaction.client
        async with told(interaction):
            await interaction.response.defer()
            deleted = await bot.services.privacy.delete(interaction.user.id)
            t = translator(interaction.locale.value)
            text = t(
                "Deleted: requests with their prompts ({jobs}), notes of refusals by a limit ({refusals}).",
                jobs=deleted.jobs,
                refusals=deleted.refusals,
            )
            await interaction.edit_original_response(content=f"{text}\n\n{t(KEPT)}", view=None)


class Privacy(commands.Cog):
    """The command group and its button."""

    privacy = app_commands.Group(
        name="privacy",
        description=locale_str(N_("What this bot has stored about you")),
        auto_locale_strings=False,
        allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True),
    )

    def __init__(self, bot: TrinArtBot) -> None:
        self.bot = bot

    async def cog_load(self) -> None:
        """Make old buttons work."""
        self.bot.add_dynamic_items(ForgetButton)

    @privacy.command(
        name="export",
        description=locale_str(N_("Everything this bot has stored about you, as a file")),
        auto_locale_strings=False,
    )
    async def export(self, interaction: discord.Interaction[TrinArtBot]) -> None:
        """Send the file to the member alone."""
        async with told(interaction):
            await interaction.response.defer(ephemeral=True)
            limit = usable(interaction.filesize_limit)
            export = await self.bot.services.privacy.export(interaction.user.id, limit)
            t = translator(interaction.locale.value)
            text = t("This is everything that is stored about you.")
            if export.unreadable:
                text += "\n" + t("⚠️ Values in it that could not be read: {count}", count=export.unreadable)
            await interaction.edit_original_response(
                content=text,
                attachments=[discord.File(io.BytesIO(export.data), export.file_name)],
            )

    @privacy.command(
        name="delete",
        description=locale_str(N_("Delete what this bot has stored about you")),
        auto_locale_strings=False,
    )
    async def delete(self, interaction: discord.Interaction[TrinArtBot]) -> None:
        """Ask first."""
        t = translator(interaction.locale.value)
        text = t(
            "This deletes all your requests with prompts and settings, your appeals and reports, your "
            "acceptance of the terms of use, and your name from presets you wrote. It cannot be undone."
        )
        view = discord.ui.View(timeout=None)
        view.add_item(ForgetButton(interaction.user.id, t("Delete my data")))
        async with told(interaction):
            await interaction.response.send_message(f"{text}\n\n{t(KEPT)}", view=view, ephemeral=True)


async def setup(bot: TrinArtBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Privacy(bot))
