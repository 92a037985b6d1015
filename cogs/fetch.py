"""The Show button in `/jobs`: pictures that Discord took nowhere, for the member alone."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Self

import discord

from bot.client import TrinArtBot
from bot.content_credentials import SigningFailed
from bot.database.failures import RecordsUnavailable
from bot.errors import NotSigned
from bot.i18n import translator
from bot.pictures import pack_uploads
from bot.reply import Undeliverable
from bot.safety.delivery import PendingDelivery
from cogs.answers import told
from cogs.places import look_at
from cogs.render import files, settings_embed, withheld_text
from cogs.reply import usable


class FetchButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"trinart:fetch:(?P<job_id>[0-9a-f]{32})",
):
    """Hands the pictures of a kept job to the member who asked for them."""

    def __init__(self, job_id: str, label: str) -> None:
        self.job_id = job_id
        super().__init__(
            discord.ui.Button(
                label=label, style=discord.ButtonStyle.success, custom_id=f"trinart:fetch:{job_id}"
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["job_id"], "")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Answer with the pictures; only when Discord has them is the job delivered."""
        bot: TrinArtBot = interaction.client
        async with told(interaction):
            await interaction.response.defer(ephemeral=True, thinking=True)
            async with bot.services.own_jobs.fetching(self.job_id, interaction.user.id) as delivery:
                await self._show(interaction, delivery)

    async def _show(self, interaction: discord.Interaction[TrinArtBot], delivery: PendingDelivery) -> None:
        bot = interaction.client
        place = await look_at(bot, interaction.guild_id, interaction.channel_id)
        limit = usable(interaction.filesize_limit)
        try:
            release = await delivery.release(place)
            uploads = await asyncio.to_thread(pack_uploads, release.images, limit, bot.services.signer)
        except SigningFailed as error:
            raise NotSigned from error
        except Undeliverable as error:
            raise RecordsUnavailable from error
        t = translator(interaction.locale.value)
        await interaction.edit_original_response(
            content=withheld_text(release, t),
            embeds=[settings_embed(release, t)],
            attachments=files(release, uploads, t),
            allowed_mentions=discord.AllowedMentions.none(),
        )
