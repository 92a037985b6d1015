"""The form in which a server's preset is written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import discord

from bot.client import TrinArtBot
from bot.i18n import Translate
from bot.presets import MAX_TEXT
from bot.server_presets import MAX_DESCRIPTION, MAX_NAME, PresetDraft
from cogs.answers import told

Submitted = Callable[[discord.Interaction[TrinArtBot], str, PresetDraft], Awaitable[None]]


class PresetForm(discord.ui.Modal):
    """A new preset with its name, or the texts of one that is there."""

    def __init__(
        self, title: str, t: Translate, on_submitted: Submitted, *, old: PresetDraft | None = None
    ) -> None:
        super().__init__(title=title[:45], timeout=3600)
        self._on_submitted = on_submitted
        self._name = _input("name", MAX_NAME, required=True)
        self._description = _input("description", MAX_DESCRIPTION, old.description if old else "")
        self._prompt = _input("prompt", MAX_TEXT, old.prompt if old else "", is_long=True)
        self._negative = _input("negative", MAX_TEXT, old.negative if old else "", is_long=True)
        if old is None:
            self.add_item(discord.ui.Label(text=t("Name"), component=self._name))
        self.add_item(
            discord.ui.Label(
                text=t("Description"),
                description=t("What members see beside the name"),
                component=self._description,
            )
        )
        self.add_item(
            discord.ui.Label(
                text=t("Added to the prompt"),
                description=t("Words with commas between them; may be empty"),
                component=self._prompt,
            )
        )
        self.add_item(
            discord.ui.Label(
                text=t("Kept out of the picture"),
                description=t("Added to the negative prompt; may be empty"),
                component=self._negative,
            )
        )

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Hand over what was written."""
        draft = PresetDraft(
            description=self._description.value, prompt=self._prompt.value, negative=self._negative.value
        )
        async with told(interaction):
            await interaction.response.defer(ephemeral=True, thinking=True)
            await self._on_submitted(interaction, self._name.value, draft)


def _input(
    name: str, limit: int, old: str = "", *, is_long: bool = False, required: bool = False
) -> discord.ui.TextInput[PresetForm]:
    return discord.ui.TextInput(
        custom_id=name,
        style=discord.TextStyle.paragraph if is_long else discord.TextStyle.short,
        default=old or None,
        max_length=limit,
        required=required,
    )
