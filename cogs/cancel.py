"""The Cancel button under a picture in progress. It works after a restart too: its job is in its id."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from bot.client import TrinArtBot
from bot.errors import MemberError
from bot.i18n import N_, Translate, translator


class CancelButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"trinart:cancel:(?P<job_id>[0-9a-f]{32})",
):
    """Stops the job of the member who asked for it."""

    def __init__(self, job_id: str, label: str) -> None:
        self.job_id = job_id
        super().__init__(
            discord.ui.Button(
                label=label, style=discord.ButtonStyle.secondary, custom_id=f"trinart:cancel:{job_id}"
            )
        )

    @classmethod
    async def from_custom_id(
        cls,
        interaction: discord.Interaction[Any],
        item: discord.ui.Item[Any],
        match: re.Match[str],
        /,
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["job_id"], translator(interaction.locale.value)(N_("Cancel")))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Ask the service; the message itself changes when the job has ended."""
        bot: TrinArtBot = interaction.client
        try:
            await bot.services.own_jobs.cancel(self.job_id, interaction.user.id)
        except MemberError as error:
            await interaction.response.send_message(error.text(interaction.locale.value), ephemeral=True)
        else:
            await interaction.response.defer()


class CancelView(discord.ui.View):
    """The one button, for as long as the job runs."""

    def __init__(self, job_id: str, t: Translate) -> None:
        super().__init__(timeout=None)
        self.add_item(CancelButton(job_id, t("Cancel")))
