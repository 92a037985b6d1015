"""`/appeals`, and the buttons of appeals and reports wherever they are."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import discord
from discord import app_commands
from discord.app_commands import locale_str
from discord.ext import commands

from bot.client import TrinArtBot
from bot.database.failures import RecordsUnavailable
from bot.i18n import N_, Translate, translator
from bot.safety.appeals import Appeal
from bot.safety.errors import QueueNotPrivate
from cogs.admin_render import stamp
from cogs.answers import told
from cogs.appeal import KINDS, STATES, AppealButton, RulingButton, post_waiting
from cogs.codes import reasons_text
from cogs.queue import check_readers
from cogs.render import COLOUR
from cogs.report import PictureRulingButton, ReportButton

log = logging.getLogger(__name__)

MOST_BUTTONS = 5


class Moderation(commands.Cog):
    """What members can see of decisions about them."""

    def __init__(self, bot: TrinArtBot) -> None:
        self.bot = bot

    async def cog_load(self) -> None:
        """Make old buttons work."""
        self.bot.add_dynamic_items(AppealButton, RulingButton, ReportButton, PictureRulingButton)

    @commands.Cog.listener()
    async def on_guild_channel_update(
        self, before: discord.abc.GuildChannel, after: discord.abc.GuildChannel
    ) -> None:
        """Somebody may have changed who reads the moderators' channel: what waited for that is posted."""
        if before.overwrites == after.overwrites:
            return
        try:
            moderation = self.bot.services.administration.moderation
            if await moderation.channel_of(after.guild.id) == after.id:
                await check_readers(self.bot, after.guild.id, after.id)
                await post_waiting(self.bot, after.guild.id)
        except QueueNotPrivate:
            log.info("what waits for the moderators of server %d goes on waiting", after.guild.id)
        except RecordsUnavailable:
            log.warning("server %d: what waits for its moderators could not be read", after.guild.id)

    @app_commands.command(
        name="appeals",
        description=locale_str(N_("What was decided against you, and what became of your appeals")),
        auto_locale_strings=False,
    )
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def appeals(self, interaction: discord.Interaction[TrinArtBot]) -> None:
        """The latest decisions, with buttons for those that can be appealed."""
        async with told(interaction):
            await interaction.response.defer(ephemeral=True, thinking=True)
            t = translator(interaction.locale.value)
            service, user_id = self.bot.services.appeals, interaction.user.id
            found = await service.of_member(user_id)
            await interaction.edit_original_response(
                embed=discord.Embed(description=decisions_text(found, t), colour=COLOUR),
                view=_buttons(found, t),
                allowed_mentions=discord.AllowedMentions.none(),
            )
            await service.was_told(user_id, [appeal.decision.decision_id for appeal in found])


def decisions_text(appeals: Sequence[Appeal], t: Translate) -> str:
    """The decisions about a member, one a line, numbered like their buttons."""
    if not appeals:
        return t("Nothing was decided against you.")
    return "\n".join(
        f"{number}. {stamp(appeal.created_at)} {t(KINDS[appeal.decision.kind])} "
        f"({reasons_text(appeal.decision.reasons, t)}): **{t(STATES[appeal.state])}**"
        for number, appeal in enumerate(appeals, 1)
    )


def _buttons(appeals: Sequence[Appeal], t: Translate) -> discord.ui.View | None:
    view = discord.ui.View(timeout=None)
    for number, appeal in enumerate(appeals, 1):
        if (appeal.state == "possible" or appeal.is_stranded) and len(view.children) < MOST_BUTTONS:
            label = t("Appeal number {number}", number=number)
            view.add_item(AppealButton(appeal.decision.decision_id, label))
    return view if view.children else None


async def setup(bot: TrinArtBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Moderation(bot))
