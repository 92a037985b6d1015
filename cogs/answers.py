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
async def told_beside(interaction: discord.Interaction[TrinArtBot]) -> AsyncGenerator[None]:
    """Around a button under a message that others read too: that message stays as it is, and who pressed
    gets the reason alone. The press is acknowledged here."""
    await interaction.response.defer()
    try:
        yield
    except MemberError as error:
        await whisper(interaction, error.text(interaction.locale.value))
    except Exception:
        log.exception("interaction %s", interaction.id)
        await whisper(interaction, UnexpectedError().text(interaction.locale.value))


async def whisper(
    interaction: discord.Interaction[TrinArtBot], text: str, view: discord.ui.View | None = None
) -> None:
    """A message of its own, for who pressed a button alone."""
    await interaction.followup.send(
        text,
        ephemeral=True,
        view=view if view is not None else discord.utils.MISSING,
        allowed_mentions=discord.AllowedMentions.none(),
    )


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
