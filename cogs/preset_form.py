"""The form in which a server's preset is written, and what was written in one that was sent.

All that is known of a form is in its id and its texts: one that was left open while the bot restarted is as
good as any other.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import discord

from bot.i18n import Translate
from bot.presets import MAX_TEXT
from bot.server_presets import MAX_DESCRIPTION, MAX_NAME, PresetDraft

FORM_ID = "trinart:preset:"
"""Then the name of the preset that is changed; nothing for a new one."""


class PresetForm(discord.ui.Modal):
    """A new preset with its name, or the texts of one that is there."""

    def __init__(self, title: str, t: Translate, *, name: str = "", old: PresetDraft | None = None) -> None:
        super().__init__(title=title[:45], custom_id=FORM_ID + name)
        if old is None:
            self._ask(t("Name"), "", _input("name", MAX_NAME, required=True))
        self._ask(
            t("Description"),
            t("What members see beside the name"),
            _input("description", MAX_DESCRIPTION, old.description if old else ""),
        )
        self._ask(
            t("Added to the prompt"),
            t("Words with commas between them; may be empty"),
            _input("prompt", MAX_TEXT, old.prompt if old else "", is_long=True),
        )
        self._ask(
            t("Kept out of the picture"),
            t("Added to the negative prompt; may be empty"),
            _input("negative", MAX_TEXT, old.negative if old else "", is_long=True),
        )
        # discord.py need not remember it: `read_form` is for all that are sent.
        self.stop()

    def _ask(self, text: str, description: str, component: discord.ui.TextInput[PresetForm]) -> None:
        self.add_item(discord.ui.Label(text=text, description=description or None, component=component))


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


@dataclass(frozen=True, kw_only=True)
class Written:
    """A form that was sent."""

    changes: str
    """The preset that is to be changed; empty for a new one."""
    name: str
    """What a new one is to be called."""
    draft: PresetDraft

    def file(self, t: Translate) -> discord.File:
        """All that was typed, to be copied from."""
        texts = {
            t("Name"): self.changes or self.name,
            t("Description"): self.draft.description,
            t("Added to the prompt"): self.draft.prompt,
            t("Kept out of the picture"): self.draft.negative,
        }
        content = "\n\n".join(f"{heading}:\n{text}" for heading, text in texts.items())
        return discord.File(io.BytesIO(content.encode()), "preset.txt")


def read_form(interaction: discord.Interaction[Any]) -> Written | None:
    """What was written; None if the interaction is no form of this kind."""
    if interaction.type is not discord.InteractionType.modal_submit:
        return None
    data: Any = interaction.data
    if not data["custom_id"].startswith(FORM_ID):
        return None
    inputs = [label["component"] for label in data["components"] if "component" in label]
    texts: Mapping[str, str] = {each["custom_id"]: each.get("value") or "" for each in inputs}
    return Written(
        changes=data["custom_id"].removeprefix(FORM_ID),
        name=texts.get("name", ""),
        draft=PresetDraft(
            description=texts.get("description", ""),
            prompt=texts.get("prompt", ""),
            negative=texts.get("negative", ""),
        ),
    )
