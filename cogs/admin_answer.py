"""The frame of every command for admins: who asks, the private "thinking", and the private answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import discord

from bot.audit import Admin
from bot.client import TrinArtBot
from bot.errors import MemberError
from bot.i18n import Translate, translator
from cogs.render import COLOUR, MAX_DESCRIPTION, clip

BUTTON_TIME = timedelta(minutes=15)
"""How long buttons go on the permission that their command had: as long as the answer can be edited."""

Interaction = discord.Interaction[TrinArtBot]


def admin_of(interaction: Interaction) -> Admin:
    """Who asks, and whether Discord says that they may manage the server.

    The commands are registered with Manage Server as their default permission. Discord checks it, or the
    override for a role, member or channel that the server's admins made in Integrations, before it sends a
    command on behalf of the server's own installation. So such a command is proof enough, and to ask for
    Manage Server again would break the overrides. What did not come this way needs Manage Server itself:
    Discord checks no command permission for buttons, and what a member's own installation sends was never
    subject to the server's rules, so that is not trusted at all. Nor is anything outside a server.
    """
    installed_here = interaction.is_guild_integration()
    brought_along = interaction.is_user_integration() and not installed_here
    checked = installed_here and interaction.type is discord.InteractionType.application_command
    manages = interaction.permissions.manage_guild
    return Admin(
        actor_id=interaction.user.id,
        guild_id=interaction.guild_id or 0,
        may_manage=bool(interaction.guild_id) and not brought_along and (checked or manages),
    )


def manager_of(interaction: Interaction) -> Admin:
    """Like `admin_of`, for commands that everybody is offered: only Manage Server itself is proof."""
    return Admin(
        actor_id=interaction.user.id,
        guild_id=interaction.guild_id or 0,
        may_manage=bool(interaction.guild_id) and interaction.permissions.manage_guild,
    )


def presser_of(interaction: Interaction, invoker_id: int) -> Admin:
    """Like `admin_of`, for the buttons under an answer: only who got the answer may press them.

    Who has the command by an override does so for a while, because of the command that made the answer.
    """
    assert interaction.message is not None
    is_invoker = interaction.user.id == invoker_id
    is_fresh = interaction.created_at - interaction.message.created_at < BUTTON_TIME
    admin = admin_of(interaction)
    may = is_invoker and bool(admin.guild_id) and (is_fresh or admin.may_manage)
    return Admin(actor_id=admin.actor_id, guild_id=admin.guild_id, may_manage=may)


def language_of(interaction: discord.Interaction[Any]) -> Translate:
    """Private answers are in the language of who asks."""
    return translator(interaction.locale.value)


@asynccontextmanager
async def serving(interaction: Interaction) -> AsyncGenerator[Admin]:
    """Around what an admin asked for: "thinking" for them alone, as the records may take longer than Discord
    waits, and the reason in its place where it cannot be done."""
    await interaction.response.defer(ephemeral=True, thinking=True)
    try:
        yield admin_of(interaction)
    except MemberError as error:
        await interaction.edit_original_response(content=error.text(interaction.locale.value))


async def answer(interaction: Interaction, text: str, **more: Any) -> None:
    """Put the answer where "thinking" was. In an embed, where a mention shows a name and calls nobody."""
    embed = discord.Embed(description=clip(text, MAX_DESCRIPTION), colour=COLOUR)
    await interaction.edit_original_response(embed=embed, **more)
