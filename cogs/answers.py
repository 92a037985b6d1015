"""What goes wrong while an interaction is answered, told to the member in private."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import discord

from bot.client import TrinArtBot
from bot.errors import MemberError, UnexpectedError
from bot.i18n import N_, translator

log = logging.getLogger(__name__)


@asynccontextmanager
async def told(
    interaction: discord.Interaction[TrinArtBot], written: discord.File | None = None
) -> AsyncGenerator[None]:
    """Around a command, a button or a form that was sent: each error becomes its answer.

    With it, the member gets back what was `written` in a form, whose answer is private.
    """
    try:
        yield
    except MemberError as error:
        await _tell(interaction, error, written)
    except Exception:
        log.exception("interaction %s", interaction.id)
        await _tell(interaction, UnexpectedError(), written)


async def _tell(
    interaction: discord.Interaction[TrinArtBot], error: MemberError, written: discord.File | None
) -> None:
    locale = interaction.locale.value
    text = error.text(locale)
    if written is None:
        await interaction.client.refuse(interaction, text)
        return
    hint = translator(locale)(N_("What you wrote is in the file, so that nothing has to be typed again."))
    await interaction.edit_original_response(content=f"{text}\n{hint}", attachments=[written])
