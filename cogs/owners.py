"""Who hosts the bot, as Discord knows it: the owner of the application or its team; how they are told."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import discord

from bot.admin_errors import NotTheHost
from bot.audit import Admin
from bot.client import TrinArtBot
from bot.i18n import TRANSLATED, translator
from bot.limits import EVERYWHERE
from cogs.queue import tell

log = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""While Discord does not say who the host is."""


def hosts(application: discord.AppInfo) -> set[int]:
    """The owner, or those of the team who have joined it and can do more than look."""
    if application.team is None:
        return {application.owner.id}
    return {
        member.id
        for member in application.team.members
        if member.membership_state is discord.TeamMembershipState.accepted
        and member.role is not discord.TeamMemberRole.read_only
    }


async def check_host(bot: TrinArtBot, user_id: int) -> Admin:
    """The host over all servers. Looked up anew each time: who leaves the team is no host any more.

    Raises:
        NotTheHost: somebody else asks.
    """
    if user_id not in hosts(await bot.application_info()):
        raise NotTheHost
    return Admin(actor_id=user_id, guild_id=EVERYWHERE, may_manage=True)


async def tell_hosts(bot: TrinArtBot, text: str, **fields: object) -> None:
    """Send all of them a message of the catalogue. Nobody's language is known here, so it comes in each."""
    content = "\n\n".join(translator(locale)(text, **fields) for locale in ("en", *TRANSLATED))
    assert bot.user is not None
    others = await _find_hosts(bot) - {bot.user.id}  # an offline Discord lets the bot own itself
    if not any([await tell(bot, user_id, content) for user_id in others]):
        log.error("no host takes direct messages")


async def _find_hosts(bot: TrinArtBot) -> set[int]:
    while True:
        try:
            application = await bot.application_info()
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.warning("who hosts the bot could not be looked up: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return hosts(application)
