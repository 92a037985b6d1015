"""`/admin`: what those who manage a server decide. A method defers, calls the service, and renders."""

from __future__ import annotations

import asyncio
import io

import discord
from discord import app_commands
from discord.app_commands import Choice, locale_str

from bot.admin_rules import LimitChanges, SettingChanges, timezones
from bot.client import TrinArtBot
from bot.i18n import N_
from bot.usage import Usage
from cogs.admin_answer import Interaction, answer, language_of, serving
from cogs.admin_log import LogPage, change_text, show_log
from cogs.admin_moderation import ModerationGroup
from cogs.admin_post import check_can_post
from cogs.admin_quota import QuotaGroup
from cogs.admin_render import limits_text, settings_text
from cogs.admin_safety import SafetyGroup
from cogs.codes import FACTS, LANGUAGES
from cogs.usage_plot import plot
from cogs.usage_text import usage_embed

MAX_CHOICES = 25
USAGE_DAYS = 30

LANGUAGE_CHOICES = [Choice(name=name, value=value) for value, name in LANGUAGES.items()]
CLEARABLE = ("allowed_channels", "default_preset", "language", "result_channel_id", "timezone")
CLEAR_CHOICES = [Choice(name=locale_str(FACTS[name]), value=name) for name in CLEARABLE]

PictureChannel = discord.TextChannel | discord.VoiceChannel | discord.ForumChannel


class AdminGroup(app_commands.Group):
    """The command, offered to those with Manage Server, or to whom the server's admins allow it."""

    def __init__(self) -> None:
        super().__init__(
            name=locale_str(N_("admin")),
            description=locale_str(N_("Limits, quotas and settings of this server")),
            default_permissions=discord.Permissions(manage_guild=True),
            allowed_contexts=app_commands.AppCommandContext(
                guild=True, dm_channel=False, private_channel=False
            ),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        )
        self.add_command(QuotaGroup())
        self.add_command(SafetyGroup())
        self.add_command(ModerationGroup())

    @app_commands.command(
        name=locale_str(N_("limits")), description=locale_str(N_("Show or change how fast members may ask"))
    )
    @app_commands.rename(
        rate=locale_str(N_("rate")),
        at_once=locale_str(N_("at_once")),
        enabled=locale_str(N_("enabled")),
        exempt=locale_str(N_("exempt")),
        not_exempt=locale_str(N_("not_exempt")),
    )
    @app_commands.describe(
        rate=locale_str(N_("Requests of one member, such as 5/min or 20/h; off for none")),
        at_once=locale_str(N_("Requests of one member that wait or run at a time; 0 leaves it to the host")),
        enabled=locale_str(N_("Whether the bot draws in this server")),
        exempt=locale_str(N_("A role that this server's limits of members leave alone")),
        not_exempt=locale_str(N_("A role that is no longer exempt")),
    )
    async def limits(
        self,
        interaction: Interaction,
        rate: str | None = None,
        at_once: int | None = None,
        enabled: bool | None = None,
        exempt: discord.Role | None = None,
        not_exempt: discord.Role | None = None,
    ) -> None:
        """Without options they are shown."""
        async with serving(interaction) as admin:
            t = language_of(interaction)
            administration = interaction.client.services.administration
            changes = LimitChanges(
                rate=rate,
                jobs=at_once,
                enabled=enabled,
                exempt=exempt.id if exempt else None,
                not_exempt=not_exempt.id if not_exempt else None,
            )
            if changes == LimitChanges():
                text = limits_text(await administration.reports.overview(admin), t)
            else:
                text = change_text(await administration.rules.change_limits(admin, changes), t)
            await answer(interaction, text)

    @app_commands.command(
        name=locale_str(N_("settings")),
        description=locale_str(N_("Show or change where and how the bot draws")),
    )
    @app_commands.rename(
        allow_channel=locale_str(N_("allow_channel")),
        forbid_channel=locale_str(N_("forbid_channel")),
        preset=locale_str(N_("preset")),
        language=locale_str(N_("language")),
        result_channel=locale_str(N_("result_channel")),
        timezone=locale_str(N_("timezone")),
        clear=locale_str(N_("clear")),
    )
    @app_commands.describe(
        allow_channel=locale_str(N_("Pictures are drawn here, and only in channels that were allowed")),
        forbid_channel=locale_str(N_("A channel to take off the allowed ones; without any, all are allowed")),
        preset=locale_str(N_("The preset of members who name none")),
        language=locale_str(N_("The language of answers that everybody reads")),
        result_channel=locale_str(N_("Where pictures and announcements are posted")),
        timezone=locale_str(N_("Where this server's days begin, such as Asia/Tokyo")),
        clear=locale_str(N_("A setting that nobody shall have chosen")),
    )
    @app_commands.choices(language=LANGUAGE_CHOICES, clear=CLEAR_CHOICES)
    async def settings(
        self,
        interaction: Interaction,
        allow_channel: PictureChannel | None = None,
        forbid_channel: PictureChannel | None = None,
        preset: str | None = None,
        language: str | None = None,
        result_channel: discord.TextChannel | None = None,
        timezone: str | None = None,
        clear: str | None = None,
    ) -> None:
        """Without options they are shown."""
        async with serving(interaction) as admin:
            t = language_of(interaction)
            administration = interaction.client.services.administration
            if result_channel is not None:
                check_can_post(result_channel)
            changes = SettingChanges(
                allow_channel=allow_channel.id if allow_channel else None,
                forbid_channel=forbid_channel.id if forbid_channel else None,
                preset=preset,
                language=language,
                result_channel=result_channel.id if result_channel else None,
                timezone=timezone,
                clear=clear,
            )
            if changes == SettingChanges():
                text = settings_text(await administration.reports.overview(admin), t)
            else:
                text = change_text(await administration.rules.change_settings(admin, changes), t)
            await answer(interaction, text)

    @settings.autocomplete("preset")
    async def complete_preset(self, interaction: Interaction, current: str) -> list[Choice[str]]:
        """Names of presets."""
        book = await interaction.client.service.presets_in(interaction.guild_id)
        found = book.search(current)
        return [Choice(name=preset.name, value=preset.name) for preset in found][:MAX_CHOICES]

    @settings.autocomplete("timezone")
    async def complete_timezone(self, _interaction: Interaction, current: str) -> list[Choice[str]]:
        """Names of time zones."""
        typed = current.strip().casefold().replace(" ", "_")
        found = [name for name in timezones() if typed in name.casefold()]
        return [Choice(name=name, value=name) for name in found][:MAX_CHOICES]

    @app_commands.command(
        name=locale_str(N_("block")), description=locale_str(N_("Let a member draw nothing here"))
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
        """For some hours, or until it is lifted."""
        async with serving(interaction) as admin:
            members = interaction.client.services.administration.members
            change = await members.block(admin, member.id, hours=hours, reason=reason)
            await answer(interaction, change_text(change, language_of(interaction)))

    @app_commands.command(name=locale_str(N_("unblock")), description=locale_str(N_("Lift a member's block")))
    @app_commands.rename(member=locale_str(N_("member")))
    @app_commands.describe(member=locale_str(N_("Who may draw again")))
    async def unblock(self, interaction: Interaction, member: discord.User) -> None:
        """Before its time is over."""
        async with serving(interaction) as admin:
            change = await interaction.client.services.administration.members.unblock(admin, member.id)
            await answer(interaction, change_text(change, language_of(interaction)))

    @app_commands.command(
        name=locale_str(N_("usage")), description=locale_str(N_("What was drawn and refused, as a plot"))
    )
    @app_commands.rename(days=locale_str(N_("days")))
    @app_commands.describe(days=locale_str(N_("How many days, 1 to 90; 30 if left out")))
    async def usage(self, interaction: Interaction, days: int = USAGE_DAYS) -> None:
        """Words in the reader's language, curves in a picture."""
        async with serving(interaction) as admin:
            t = language_of(interaction)
            usage = await interaction.client.services.administration.reports.usage(admin, days=days)
            names, png = await asyncio.gather(names_of(interaction, usage), asyncio.to_thread(plot, usage))
            embed = usage_embed(usage, names, t)
            embed.set_image(url="attachment://usage.png")
            await interaction.edit_original_response(
                embed=embed, attachments=[discord.File(io.BytesIO(png), "usage.png")]
            )

    @app_commands.command(name=locale_str(N_("log")), description=locale_str(N_("Who changed what")))
    async def log(self, interaction: Interaction) -> None:
        """The newest changes, and buttons to older ones."""
        async with serving(interaction) as admin:
            t = language_of(interaction)
            embed, view = await show_log(interaction.client, admin, t)
            await interaction.edit_original_response(embed=embed, view=view)


async def names_of(interaction: Interaction, usage: Usage) -> dict[int, str]:
    """What the busiest members are called here; who has left keeps the number."""
    guild = interaction.guild
    if guild is None:
        return {}

    async def name(user_id: int) -> str:
        try:
            member = guild.get_member(user_id) or await guild.fetch_member(user_id)
        except discord.HTTPException:
            return str(user_id)
        return member.display_name

    users = [user_id for user_id, _ in usage.top_users]
    return dict(zip(users, await asyncio.gather(*map(name, users)), strict=True))


async def setup(bot: TrinArtBot) -> None:
    """Called by discord.py when the extension is loaded."""
    bot.tree.add_command(AdminGroup())
    bot.add_dynamic_items(LogPage)
