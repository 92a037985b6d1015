"""Whether the bot can post in a channel that an admin chose for it."""

from __future__ import annotations

import discord

from bot.admin_errors import CannotPostThere

NEEDED = discord.Permissions(
    view_channel=True, send_messages=True, embed_links=True, attach_files=True, read_message_history=True
)
"""What the bot needs in the channel for results; after a crash it reads whether a picture is there."""


def check_can_post(channel: discord.TextChannel) -> None:
    """Raise `CannotPostThere` if the bot may not post pictures in a channel."""
    if not channel.permissions_for(channel.guild.me).is_superset(NEEDED):
        raise CannotPostThere(channel=channel.mention)
