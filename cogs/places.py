"""Where pictures go, as Discord describes it: what is age-restricted, and which channel a thread is of."""

from __future__ import annotations

from typing import Any

import discord

from bot.client import TrinArtBot
from bot.safety.places import Place, unknown_place


def place_now(bot: TrinArtBot, guild_id: int, channel_id: int) -> Place:
    """A place as Discord has told of it so far; what it has not told of is unknown."""
    return _place(bot.get_channel(channel_id) if guild_id else None, guild_id, channel_id)


async def look_at(bot: TrinArtBot, guild_id: int | None, channel_id: int | None) -> Place:
    """A place as it is now, asked for where Discord has not told of it.

    Raises:
        discord.HTTPException | aiohttp.ClientError | OSError: Discord is away or busy.
    """
    if not guild_id or not channel_id:
        return Place(channel_id=channel_id or 0)
    channel: Any = bot.get_channel(channel_id)
    if channel is None:
        try:
            channel = await bot.fetch_channel(channel_id)
            if isinstance(channel, discord.Thread) and channel.parent is None:
                channel = await bot.fetch_channel(channel.parent_id)
        except (discord.Forbidden, discord.NotFound, discord.InvalidData):
            return unknown_place(guild_id, channel_id)
    return _place(channel, guild_id, channel_id)


def _place(channel: Any, guild_id: int, channel_id: int) -> Place:
    if not guild_id:
        return Place(channel_id=channel_id)  # direct messages
    if isinstance(channel, discord.Thread):
        channel = channel.parent
    if not isinstance(channel, discord.abc.GuildChannel) or channel.guild.id != guild_id:
        return unknown_place(guild_id, channel_id)
    is_nsfw = getattr(channel, "is_nsfw", None)
    return Place(
        guild_id=guild_id,
        channel_id=channel.id,
        is_age_restricted=is_nsfw is not None and bool(is_nsfw()),
    )
