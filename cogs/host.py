"""`/host`: what only the owner of the application, or its team, can do over all servers."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import aiohttp
import discord
from discord import app_commands
from discord.app_commands import locale_str

from bot.admin_errors import BlankText, NotAServer
from bot.audit import Admin, clean_text
from bot.client import TrinArtBot
from bot.host import Place
from bot.i18n import N_, translator
from cogs.admin_answer import Interaction, answer, language_of, serving
from cogs.admin_log import change_text, show_log
from cogs.host_appeals import HostRulingButton, show_appeals
from cogs.host_render import MAX_SERVERS, Server, engine_text, servers_csv, servers_text
from cogs.owners import check_host

log = logging.getLogger(__name__)

PACE_SECONDS = 0.2
"""Between two servers' announcements: answers to members come first."""
MAX_ANNOUNCEMENT = 1500


class HostGroup(app_commands.Group):
    """Offered to administrators only, as Discord cannot offer a command to the owner of an application."""

    def __init__(self) -> None:
        super().__init__(
            name=locale_str(N_("host")),
            description=locale_str(N_("For the host of this bot: servers, engine, maintenance")),
            default_permissions=discord.Permissions.none(),
            allowed_contexts=app_commands.AppCommandContext(
                guild=True, dm_channel=False, private_channel=False
            ),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        )

    @app_commands.command(
        name=locale_str(N_("servers")), description=locale_str(N_("The servers of this bot"))
    )
    async def servers(self, interaction: Interaction) -> None:
        """The busiest first; as a file too where there are many."""
        async with serving(interaction) as asker:
            host = await host_of(interaction, asker)
            t = language_of(interaction)
            counts = await interaction.client.services.administration.host.servers(host)
            servers = [
                Server(
                    id=guild.id,
                    name=guild.name,
                    members=guild.member_count or 0,
                    pictures=counts.pictures.get(guild.id, 0),
                    suspended=guild.id in counts.suspended,
                )
                for guild in interaction.client.guilds
            ]
            servers.sort(key=lambda server: (-server.pictures, server.name))
            files = [discord.File(io.BytesIO(servers_csv(servers)), "servers.csv")]
            await answer(
                interaction,
                servers_text(servers, t),
                attachments=files if len(servers) > MAX_SERVERS else [],
            )

    @app_commands.command(
        name=locale_str(N_("suspend")), description=locale_str(N_("Switch the bot off in a server"))
    )
    @app_commands.rename(server=locale_str(N_("server")))
    @app_commands.describe(server=locale_str(N_("The ID of the server, as the list of servers has it")))
    async def suspend(self, interaction: Interaction, server: str) -> None:
        """The admins there cannot switch it on again."""
        async with serving(interaction) as asker:
            host = await host_of(interaction, asker, server)
            change = await interaction.client.services.administration.host.suspend(host, suspended=True)
            await answer(interaction, change_text(change, language_of(interaction)))

    @app_commands.command(
        name=locale_str(N_("resume")),
        description=locale_str(N_("Switch the bot on again in a server, or take requests again")),
    )
    @app_commands.rename(server=locale_str(N_("server")))
    @app_commands.describe(server=locale_str(N_("The ID of the server; left out, a drain is ended")))
    async def resume(self, interaction: Interaction, server: str | None = None) -> None:
        """Undo `suspend` or `drain`."""
        if server is None:
            await self._set_taking(interaction, taking=True)
            return
        async with serving(interaction) as asker:
            host = await host_of(interaction, asker, server)
            change = await interaction.client.services.administration.host.suspend(host, suspended=False)
            await answer(interaction, change_text(change, language_of(interaction)))

    @app_commands.command(
        name=locale_str(N_("drain")),
        description=locale_str(N_("Take no new requests; finish those there are")),
    )
    async def drain(self, interaction: Interaction) -> None:
        """Before maintenance. A restart of the bot ends it, like `resume`."""
        await self._set_taking(interaction, taking=False)

    async def _set_taking(self, interaction: Interaction, *, taking: bool) -> None:
        async with serving(interaction) as asker:
            host = await host_of(interaction, asker)
            t = language_of(interaction)
            service, administration = interaction.client.service, interaction.client.services.administration
            before = {"taking": not service.paused}
            change = await administration.host.note(
                host, "host.drain", before=before, after={"taking": taking}
            )
            service.paused = not taking
            jobs = await administration.host.live_jobs(host)
            waiting = t(N_("Jobs that are not done: {count}"), count=sum(jobs.values()))
            await answer(interaction, f"{change_text(change, t)}\n{waiting}")

    @app_commands.command(
        name=locale_str(N_("announce")), description=locale_str(N_("Post a text in every server"))
    )
    @app_commands.rename(text=locale_str(N_("text")))
    @app_commands.describe(text=locale_str(N_("What to say; nobody is pinged")))
    async def announce(self, interaction: Interaction, text: str) -> None:
        """In the channel for results, or else where Discord posts its own messages."""
        async with serving(interaction) as asker:
            host = await host_of(interaction, asker)
            t = language_of(interaction)
            # Line breaks cannot be typed into an option; what was pasted comes as one line.
            text = clean_text("text", text, limit=MAX_ANNOUNCEMENT)
            if not text:
                raise BlankText(option="text")
            administration = interaction.client.services.administration
            places = await administration.host.places(host)
            total = len(interaction.client.guilds)
            # Before it: a restart in the middle must not leave a post that nobody is known to have made.
            await administration.host.note(host, "host.announce", after={"text": text, "servers": total})
            told = await announce(interaction.client.guilds, places, text)
            log.info("announced in %d of %d servers", told, total)
            summary = t(N_("Posted in {told} of {total} servers."), told=told, total=total)
            try:
                await answer(interaction, summary)
            except discord.HTTPException:
                # Very many servers take longer than the 15 minutes in which there can be an answer.
                log.warning("how many servers were told could not be answered")

    @app_commands.command(
        name=locale_str(N_("block")), description=locale_str(N_("Let somebody draw nothing, in any server"))
    )
    @app_commands.rename(
        member=locale_str(N_("member")), reason=locale_str(N_("reason")), hours=locale_str(N_("hours"))
    )
    @app_commands.describe(
        member=locale_str(N_("Who is blocked")),
        reason=locale_str(N_("Why; the member reads it")),
        hours=locale_str(N_("For how long; left out, until somebody lifts it")),
    )
    async def block(
        self, interaction: Interaction, member: discord.User, reason: str, hours: int | None = None
    ) -> None:
        """In every server and in direct messages; no server's admins can lift it."""
        async with serving(interaction) as asker:
            host = await host_of(interaction, asker)
            members = interaction.client.services.administration.members
            change = await members.block(host, member.id, hours=hours, reason=reason)
            await answer(interaction, change_text(change, language_of(interaction)))

    @app_commands.command(name=locale_str(N_("unblock")), description=locale_str(N_("Lift a member's block")))
    @app_commands.rename(member=locale_str(N_("member")))
    @app_commands.describe(member=locale_str(N_("Who may draw again")))
    async def unblock(self, interaction: Interaction, member: discord.User) -> None:
        """Undo `block`; blocks of a server's own admins stay."""
        async with serving(interaction) as asker:
            host = await host_of(interaction, asker)
            members = interaction.client.services.administration.members
            change = await members.unblock(host, member.id)
            await answer(interaction, change_text(change, language_of(interaction)))

    @app_commands.command(name=locale_str(N_("log")), description=locale_str(N_("What the host changed")))
    async def log(self, interaction: Interaction) -> None:
        """What concerns all servers; a server's own log has what was done to it."""
        async with serving(interaction) as asker:
            host = await host_of(interaction, asker)
            embed, view = await show_log(interaction.client, host, language_of(interaction))
            await interaction.edit_original_response(
                embed=embed, view=view, allowed_mentions=discord.AllowedMentions.none()
            )

    @app_commands.command(
        name=locale_str(N_("appeals")),
        description=locale_str(N_("Decide about appeals that no server can")),
    )
    async def appeals(self, interaction: Interaction) -> None:
        """The oldest first, one at a time."""
        async with serving(interaction) as asker:
            host = await host_of(interaction, asker)
            t = language_of(interaction)
            embed, view = await show_appeals(interaction.client, host, t)
            await interaction.edit_original_response(
                embed=embed, view=view, allowed_mentions=discord.AllowedMentions.none()
            )

    @app_commands.command(
        name=locale_str(N_("engine")), description=locale_str(N_("Devices, and how many jobs there are"))
    )
    async def engine(self, interaction: Interaction) -> None:
        """What the engine last said of itself."""
        async with serving(interaction) as asker:
            host = await host_of(interaction, asker)
            t = language_of(interaction)
            service = interaction.client.service
            jobs = await interaction.client.services.administration.host.live_jobs(host)
            await answer(interaction, engine_text(service.engine.status, jobs, t, paused=service.paused))


async def host_of(interaction: Interaction, asker: Admin, server: str | None = None) -> Admin:
    """The host of the bot, whatever Discord let through; `server` is the id of the one that it is about.

    Raises:
        NotTheHost: somebody else asks.
        NotAServer: the bot is not in that server.
    """
    host = await check_host(interaction.client, asker.actor_id)
    return host if server is None else replace(host, guild_id=find_server(interaction.client, server))


def find_server(bot: TrinArtBot, text: str) -> int:
    """The id of a server that the bot is in.

    Raises:
        NotAServer: it is none.
    """
    named = text.strip()
    is_id = named.isascii() and named.isdigit() and len(named) <= 20
    guild = bot.get_guild(int(named)) if is_id else None
    if guild is None:
        raise NotAServer(value=named[:60])
    return guild.id


async def announce(guilds: Sequence[discord.Guild], places: Mapping[int, Place], text: str) -> int:
    """Post a text in each server that has a place for it; returns in how many."""
    told = 0
    for guild in guilds:
        place = places.get(guild.id, Place())
        channel = channel_for(guild, place)
        if channel is None:
            continue
        if told:
            await asyncio.sleep(PACE_SECONDS)
        t = translator(place.language or guild.preferred_locale.value)
        try:
            await channel.send(
                t(N_("📣 **From the host of this bot**\n{text}"), text=text),
                allowed_mentions=discord.AllowedMentions.none(),
            )
            told += 1
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.warning("server %d could not be told: %s", guild.id, error)
    return told


def channel_for(guild: discord.Guild, place: Place) -> discord.TextChannel | None:
    """The server's channel for results, or else its system channel: the first in which the bot may write."""
    chosen = guild.get_channel(place.channel_id) if place.channel_id else None
    for channel in (chosen, guild.system_channel):
        if isinstance(channel, discord.TextChannel):
            allowed = channel.permissions_for(guild.me)
            if allowed.view_channel and allowed.send_messages:
                return channel
    return None


async def setup(bot: TrinArtBot) -> None:
    """Called by discord.py when the extension is loaded."""
    bot.tree.add_command(HostGroup())
    bot.add_dynamic_items(HostRulingButton)
