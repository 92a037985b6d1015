"""Who asks, and where, as Discord says: what decides which limits somebody meets."""

from __future__ import annotations

from typing import Any

import discord

from bot.quotas import Asker


def asker_of(interaction: discord.Interaction[Any]) -> Asker:
    """The member, the server and the channel whose limits count."""
    return Asker(
        user_id=interaction.user.id,
        guild_id=interaction.guild_id or 0,
        channel_id=limits_channel_id(interaction) or 0,
        role_ids=role_ids(interaction),
    )


def limits_channel_id(interaction: discord.Interaction[Any]) -> int | None:
    """The channel, or the one that a thread belongs to."""
    channel = interaction.channel
    return channel.parent_id if isinstance(channel, discord.Thread) else interaction.channel_id


def role_ids(interaction: discord.Interaction[Any]) -> frozenset[int]:
    """The member's roles with the one that everybody has; none in direct messages."""
    if interaction.guild_id is None or not isinstance(interaction.user, discord.Member):
        return frozenset()
    # `Member.roles` has only those that the bot knows: none in a server where it is not installed itself.
    return frozenset({*interaction.user._roles, interaction.guild_id})
