"""The moderators' channel, and direct messages about what was decided there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import aiohttp
import discord

from bot.audit import Admin
from bot.client import TrinArtBot
from bot.i18n import Translate, translator
from bot.safety.errors import QueueNotPrivate
from cogs.admin_answer import Interaction

log = logging.getLogger(__name__)


def moderator_of(interaction: Interaction) -> Admin:
    """Who pressed a button, and whether Discord says that they moderate the server.

    The permissions are the presser's own, whoever installed the bot whose message it is: a picture that a
    member's own installation brought here is a matter of the server's moderators too.
    """
    may = interaction.permissions.manage_guild or interaction.permissions.moderate_members
    return Admin(
        actor_id=interaction.user.id,
        guild_id=interaction.guild_id or 0,
        may_manage=bool(interaction.guild_id) and may,
    )


async def language_of_server(bot: TrinArtBot, guild_id: int) -> Translate:
    """The language that a server's admins chose for the bot, or else for the server."""
    chosen = await bot.services.administration.language(guild_id)
    guild = bot.get_guild(guild_id)
    return translator(chosen or (guild.preferred_locale.value if guild is not None else "en-US"))


def everybody_reads(channel: discord.abc.GuildChannel) -> bool:
    """Whether a channel is no moderators' own."""
    return channel.permissions_for(channel.guild.default_role).view_channel


async def check_readers(bot: TrinArtBot, guild_id: int, channel_id: int) -> None:
    """Look who can read the moderators' channel now; admins may have changed it since they chose it.

    Raises:
        QueueNotPrivate: everybody can, which is in the server's log then, or Discord does not say.
        RecordsUnavailable: it could not be written into the log.
    """
    channel = bot.get_channel(channel_id)
    if not isinstance(channel, discord.abc.GuildChannel) or channel.guild.id != guild_id:
        log.warning("channel %d of moderators cannot be seen", channel_id)
        raise QueueNotPrivate
    is_public = everybody_reads(channel)
    assert bot.user is not None
    watcher = Admin(actor_id=bot.user.id, guild_id=guild_id, may_manage=True)
    await bot.services.administration.moderation.note_readers(watcher, channel_id, everybody=is_public)
    if is_public:
        log.warning("server %d: everybody can read channel %d of moderators", guild_id, channel_id)
        raise QueueNotPrivate


async def queue_warning(bot: TrinArtBot, admin: Admin, t: Translate) -> str:
    """For admins: that nothing reaches their moderators, and why; empty where all is well."""
    channel_id = await bot.services.administration.moderation.channel_of(admin.guild_id)
    channel = bot.get_channel(channel_id) if channel_id is not None else None
    if channel_id is None or (isinstance(channel, discord.abc.GuildChannel) and not everybody_reads(channel)):
        return ""
    waiting = len(await bot.services.appeals.waiting(admin.guild_id))
    problem = t(
        "⚠️ The moderators’ channel {channel} can be read by everybody, or not be seen by the bot: no appeals "
        "and reported pictures are posted there. Make it private, or choose another one with "
        "`/admin moderation settings`.",
        channel=f"<#{channel_id}>",
    )
    return "\n".join([problem, t("Appeals that wait for it: {count}", count=waiting)])


async def post(
    bot: TrinArtBot,
    guild_id: int,
    channel_id: int,
    embed: discord.Embed,
    view: discord.ui.View,
    files: Sequence[discord.File] = (),
) -> int | None:
    """Post in the moderators' channel; the message's id, or None if Discord did not take it.

    Raises:
        QueueNotPrivate: others than moderators would read it.
        RecordsUnavailable: that could not be written into the log.
    """
    await check_readers(bot, guild_id, channel_id)
    channel = bot.get_partial_messageable(channel_id)
    try:
        message = await channel.send(
            embed=embed, view=view, files=files, allowed_mentions=discord.AllowedMentions.none()
        )
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        log.warning("channel %d of moderators: %s", channel_id, error)
        return None
    return message.id


async def tell(bot: TrinArtBot, user_id: int, text: str, view: discord.ui.View | None = None) -> bool:
    """Send a direct message; False if the member takes none."""
    try:
        user = bot.get_user(user_id) or await bot.fetch_user(user_id)
        none = discord.AllowedMentions.none()
        if view is None:
            await user.send(text, allowed_mentions=none)
        else:
            await user.send(text, view=view, allowed_mentions=none)
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        log.info("a member could not be told by direct message: %s", error)
        return False
    return True


def is_age_restricted(bot: TrinArtBot, channel_id: int) -> bool | None:
    """What Discord says of a channel, a thread's parent included; None for one that is not known here."""
    channel = bot.get_channel(channel_id)
    if isinstance(channel, discord.abc.GuildChannel | discord.Thread):
        return bool(getattr(channel, "is_nsfw", bool)())
    return None
