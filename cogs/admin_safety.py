"""`/admin safety`: how much may be shown in a server, and which words its admins refuse or hold harmless."""

from __future__ import annotations

from typing import cast

import discord
from discord import app_commands
from discord.app_commands import Choice, locale_str

from bot.admin_safety import SafetyOverview, WordChanges
from bot.i18n import N_, Translate
from bot.safety.levels import Level
from bot.safety.places import Place, effective_level
from cogs.admin_answer import Interaction, answer, language_of, serving
from cogs.admin_log import change_text
from cogs.codes import LEVEL_NAMES
from cogs.places import look_at
from cogs.queue import queue_warning
from cogs.render import plain

NO_LEVEL = "none"
LEVEL_CHOICES = [Choice(name=locale_str(name), value=level) for level, name in LEVEL_NAMES.items()]
CHANNEL_CHOICES = [*LEVEL_CHOICES, Choice(name=locale_str(N_("none of its own")), value=NO_LEVEL)]

SafetyChannel = discord.TextChannel | discord.VoiceChannel | discord.ForumChannel


class SafetyGroup(app_commands.Group):
    """The subcommands; their parent is `/admin`."""

    def __init__(self) -> None:
        super().__init__(
            name=locale_str(N_("safety")), description=locale_str(N_("How much may be shown in this server"))
        )

    @app_commands.command(
        name=locale_str(N_("show")), description=locale_str(N_("What counts here, and who decided it"))
    )
    async def show(self, interaction: Interaction) -> None:
        """The host's cap, the server's levels, and what they come to in this channel."""
        async with serving(interaction) as admin:
            safety = interaction.client.services.administration.safety
            overview = await safety.overview(admin)
            place = await look_at(interaction.client, interaction.guild_id, interaction.channel_id)
            t = language_of(interaction)
            warning = await queue_warning(interaction.client, admin, t)
            await answer(interaction, "\n".join(filter(None, [safety_text(overview, place, t), warning])))

    @app_commands.command(
        name=locale_str(N_("level")), description=locale_str(N_("Choose the most that may be shown here"))
    )
    @app_commands.rename(level=locale_str(N_("level")))
    @app_commands.describe(level=locale_str(N_("For the whole server; not above what the host allows")))
    @app_commands.choices(level=LEVEL_CHOICES)
    async def level(self, interaction: Interaction, level: str) -> None:
        """For all channels; those that are not age-restricted stay at the default level at most."""
        async with serving(interaction) as admin:
            safety = interaction.client.services.administration.safety
            change = await safety.set_level(admin, cast("Level", level))
            await answer(interaction, change_text(change, language_of(interaction)))

    @app_commands.command(
        name=locale_str(N_("channel")), description=locale_str(N_("Show less in one channel"))
    )
    @app_commands.rename(channel=locale_str(N_("channel")), level=locale_str(N_("level")))
    @app_commands.describe(
        channel=locale_str(N_("The channel; its threads go with it")),
        level=locale_str(N_("Counts where it is lower than the server's")),
    )
    @app_commands.choices(level=CHANNEL_CHOICES)
    async def channel(self, interaction: Interaction, channel: SafetyChannel, level: str) -> None:
        """A level of a channel's own; the lowest counts."""
        async with serving(interaction) as admin:
            safety = interaction.client.services.administration.safety
            chosen = None if level == NO_LEVEL else cast("Level", level)
            change = await safety.set_channel(admin, channel.id, chosen)
            await answer(interaction, change_text(change, language_of(interaction)))

    @app_commands.command(
        name=locale_str(N_("lists")), description=locale_str(N_("Show or change this server's own words"))
    )
    @app_commands.rename(
        block=locale_str(N_("block")),
        unblock=locale_str(N_("unblock")),
        allow=locale_str(N_("allow")),
        disallow=locale_str(N_("disallow")),
    )
    @app_commands.describe(
        block=locale_str(N_("A word or phrase that requests are refused for")),
        unblock=locale_str(N_("One to take off the refused ones")),
        allow=locale_str(N_("A word or phrase that is harmless here, whatever the check says")),
        disallow=locale_str(N_("One to take off the harmless ones")),
    )
    async def lists(
        self,
        interaction: Interaction,
        block: str | None = None,
        unblock: str | None = None,
        allow: str | None = None,
        disallow: str | None = None,
    ) -> None:
        """Without options they are shown."""
        async with serving(interaction) as admin:
            t = language_of(interaction)
            safety = interaction.client.services.administration.safety
            changes = WordChanges(block=block, unblock=unblock, allow=allow, disallow=disallow)
            if changes == WordChanges():
                text = lists_text(await safety.overview(admin), t)
            else:
                text = change_text(await safety.change_words(admin, changes), t)
            await answer(interaction, text)


def safety_text(overview: SafetyOverview, place: Place, t: Translate) -> str:
    """Who allows how much, and the lowest of it in this channel."""
    server, cap = overview.server, overview.cap
    here = effective_level(cap, server, place)
    heading = t("In this channel: {level}", level=t(LEVEL_NAMES[here]))
    by_discord = t("yes") if place.is_age_restricted else t("no")
    lines = [
        f"**{heading}**",
        t("The host allows at most: {level}", level=t(LEVEL_NAMES[cap])),
        t("This server: {level}", level=t(LEVEL_NAMES[server.level])),
        t("This channel is age-restricted in Discord: {answer}", answer=by_discord),
        *(
            t("Own level of {channel}: {level}", channel=f"<#{channel}>", level=t(LEVEL_NAMES[level]))
            for channel, level in sorted(server.channels.items())
        ),
        t("The lowest of them counts."),
    ]
    return "\n".join(lines)


def lists_text(overview: SafetyOverview, t: Translate) -> str:
    """The server's own words."""
    return "\n".join(
        f"{t(name)}: {', '.join(plain(word) for word in words) or '—'}"
        for name, words in (
            (N_("refused words"), overview.server.block),
            (N_("harmless words"), overview.server.allow),
        )
    )
