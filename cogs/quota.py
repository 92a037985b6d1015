"""`/quota`: what a member may still draw."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.app_commands import locale_str
from discord.ext import commands

from bot.client import TrinArtBot
from bot.errors import MemberError
from bot.i18n import N_
from bot.quotas import PICTURE, cost_of_usual
from cogs.answers import told
from cogs.asker import asker_of
from cogs.render_quota import quota_embed


class Quota(commands.Cog):
    """The command about the limits; the limits themselves are in `bot/`."""

    def __init__(self, bot: TrinArtBot) -> None:
        self.bot = bot

    @app_commands.command(
        name="quota",
        description=locale_str(N_("What you may still draw, what a picture costs, and when it resets")),
        auto_locale_strings=False,
    )
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def quota(self, interaction: discord.Interaction[TrinArtBot]) -> None:
        """Read the limits that apply here, and show them to the member alone."""
        async with told(interaction):
            await interaction.response.defer(ephemeral=True)
            cost = self._usual_cost()
            allowance = await self.bot.services.allowances.of(asker_of(interaction), cost)
            locale = interaction.locale.value
            await interaction.edit_original_response(embed=quota_embed(allowance, cost, locale))

    def _usual_cost(self) -> int:
        try:
            return cost_of_usual(self.bot.service.model_card())
        except MemberError:  # the model is not loaded yet
            return PICTURE


async def setup(bot: TrinArtBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Quota(bot))
