"""What goes wrong while an interaction is answered, told to the member in private."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import discord

from bot.client import TrinArtBot
from bot.errors import MemberError, UnexpectedError

log = logging.getLogger(__name__)


@asynccontextmanager
async def told(interaction: discord.Interaction[TrinArtBot]) -> AsyncGenerator[None]:
    """Around a command, a button or a submitted form: each error becomes its answer."""
    try:
        yield
    except MemberError as error:
        await interaction.client.refuse(interaction, error.text(interaction.locale.value))
    except Exception:
        log.exception("interaction %s", interaction.id)
        await interaction.client.refuse(interaction, UnexpectedError().text(interaction.locale.value))
