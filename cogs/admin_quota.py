"""`/admin quota`: how much may be drawn, by whom."""

from __future__ import annotations

import io

import discord
from discord import app_commands
from discord.app_commands import Choice, locale_str

from bot.admin_errors import OneSubjectOnly, ServerNotKnownYet
from bot.admin_rules import Subject, make_quota
from bot.i18n import N_
from bot.quotas import Asker
from cogs.admin_answer import Interaction, answer, language_of, serving
from cogs.admin_log import change_text
from cogs.admin_render import WINDOW_NAMES, allowance_text, quota_lines, rules_text
from cogs.reply import usable

EXPORT_DAYS = 30

WINDOW_CHOICES = [Choice(name=locale_str(name), value=window) for window, name in WINDOW_NAMES.items()]


class QuotaGroup(app_commands.Group):
    """The subcommands; their parent is `/admin`."""

    def __init__(self) -> None:
        super().__init__(
            name=locale_str(N_("quota")), description=locale_str(N_("How much may be drawn, and by whom"))
        )

    @app_commands.command(name=locale_str(N_("set")), description=locale_str(N_("Set or remove a quota")))
    @app_commands.rename(
        window=locale_str(N_("window")),
        amount=locale_str(N_("amount")),
        member=locale_str(N_("member")),
        role=locale_str(N_("role")),
        channel=locale_str(N_("channel")),
        together=locale_str(N_("together")),
    )
    @app_commands.describe(
        window=locale_str(N_("For how long the amount is, or unlimited, or no rule")),
        amount=locale_str(N_("Pictures of 512x512 and 30 steps, such as 30 or 2.5")),
        member=locale_str(N_("For this member alone")),
        role=locale_str(N_("For each member with this role; the best of a member's roles counts")),
        channel=locale_str(N_("For this channel, everybody together")),
        together=locale_str(N_("For the whole server, everybody together")),
    )
    @app_commands.choices(window=WINDOW_CHOICES)
    async def set(
        self,
        interaction: Interaction,
        window: str,
        amount: float | None = None,
        member: discord.User | None = None,
        role: discord.Role | None = None,
        channel: discord.TextChannel | discord.VoiceChannel | discord.ForumChannel | None = None,
        together: bool = False,
    ) -> None:
        """A quota for whom is named, or the default of each member."""
        async with serving(interaction) as admin:
            subject = subject_of(member=member, role=role, channel=channel, together=together)
            rules = interaction.client.services.administration.rules
            change = await rules.set_quota(admin, subject, make_quota(amount, window))
            await answer(interaction, change_text(change, language_of(interaction)))

    @app_commands.command(
        name=locale_str(N_("show")), description=locale_str(N_("All limits, or what a member has left"))
    )
    @app_commands.rename(member=locale_str(N_("member")))
    @app_commands.describe(member=locale_str(N_("Whose allowance to show")))
    async def show(self, interaction: Interaction, member: discord.User | None = None) -> None:
        """The rules of the server, or what they leave one member."""
        async with serving(interaction) as admin:
            t = language_of(interaction)
            administration = interaction.client.services.administration
            if member is None:
                text = rules_text(await administration.reports.overview(admin), t)
            else:
                allowance = await administration.members.allowance(admin, asker_for(interaction, member))
                text = allowance_text(member.id, allowance, t)
            await answer(interaction, text)

    @app_commands.command(
        name=locale_str(N_("grant")), description=locale_str(N_("Give a member pictures beside the quota"))
    )
    @app_commands.rename(
        member=locale_str(N_("member")),
        amount=locale_str(N_("amount")),
        days=locale_str(N_("days")),
        reason=locale_str(N_("reason")),
    )
    @app_commands.describe(
        member=locale_str(N_("Who gets them")),
        amount=locale_str(N_("Pictures of 512x512 and 30 steps, such as 30 or 2.5")),
        days=locale_str(N_("Days until they expire; left out, they never do")),
        reason=locale_str(N_("Why; it is kept in the log")),
    )
    async def grant(
        self,
        interaction: Interaction,
        member: discord.User,
        amount: float,
        days: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Pictures that are used once the quota is."""
        async with serving(interaction) as admin:
            members = interaction.client.services.administration.members
            change = await members.grant(admin, member.id, amount, days=days, reason=reason)
            await answer(interaction, change_text(change, language_of(interaction)))

    @app_commands.command(
        name=locale_str(N_("revoke")),
        description=locale_str(N_("Take back what is left of pictures given beside the quota")),
    )
    @app_commands.rename(member=locale_str(N_("member")), reason=locale_str(N_("reason")))
    @app_commands.describe(
        member=locale_str(N_("Who loses what is left of them")),
        reason=locale_str(N_("Why; it is kept in the log")),
    )
    async def revoke(self, interaction: Interaction, member: discord.User, reason: str | None = None) -> None:
        """The undoing of `grant`."""
        async with serving(interaction) as admin:
            members = interaction.client.services.administration.members
            change = await members.revoke(admin, member.id, reason=reason)
            await answer(interaction, change_text(change, language_of(interaction)))

    @app_commands.command(
        name=locale_str(N_("reset")), description=locale_str(N_("Let a member's window begin anew"))
    )
    @app_commands.rename(member=locale_str(N_("member")), reason=locale_str(N_("reason")))
    @app_commands.describe(
        member=locale_str(N_("Who gets back what the window has used")),
        reason=locale_str(N_("Why; it is kept in the log")),
    )
    async def reset(self, interaction: Interaction, member: discord.User, reason: str | None = None) -> None:
        """What was used in the window that runs comes back."""
        async with serving(interaction) as admin:
            members = interaction.client.services.administration.members
            change = await members.reset(admin, asker_for(interaction, member), reason=reason)
            await answer(interaction, change_text(change, language_of(interaction)))

    @app_commands.command(name=locale_str(N_("roles")), description=locale_str(N_("The quotas of roles")))
    async def roles(self, interaction: Interaction) -> None:
        """Which roles have which quotas."""
        await self._list(interaction, "role")

    @app_commands.command(
        name=locale_str(N_("channels")), description=locale_str(N_("The quotas of channels"))
    )
    async def channels(self, interaction: Interaction) -> None:
        """Which channels have which quotas."""
        await self._list(interaction, "channel")

    @app_commands.command(
        name=locale_str(N_("tidy")),
        description=locale_str(N_("Forget the quotas and exemptions of roles and channels that are gone")),
    )
    async def tidy(self, interaction: Interaction) -> None:
        """Discord offers only those that there are; what is left of others can be removed by this alone."""
        async with serving(interaction) as admin:
            guild = interaction.guild
            if guild is None or guild.unavailable:
                raise ServerNotKnownYet
            change = await interaction.client.services.administration.rules.tidy(
                admin,
                roles={role.id for role in guild.roles},
                channels={channel.id for channel in guild.channels},
            )
            await answer(interaction, change_text(change, language_of(interaction)))

    async def _list(self, interaction: Interaction, scope: str) -> None:
        async with serving(interaction) as admin:
            t = language_of(interaction)
            overview = await interaction.client.services.administration.reports.overview(admin)
            lines = quota_lines(overview, [scope], t)
            await answer(interaction, "\n".join(lines) or t(N_("None of them has a quota.")))

    @app_commands.command(
        name=locale_str(N_("export")), description=locale_str(N_("What was drawn and given, as a CSV file"))
    )
    @app_commands.rename(days=locale_str(N_("days")))
    @app_commands.describe(days=locale_str(N_("How many days back, 30 if left out")))
    async def export(self, interaction: Interaction, days: int = EXPORT_DAYS) -> None:
        """The ledger, the newest rows first."""
        async with serving(interaction) as admin:
            t = language_of(interaction)
            reports = interaction.client.services.administration.reports
            export = await reports.export(admin, days=days, limit=usable(interaction.filesize_limit))
            text = t(N_("Rows: {count}. Days: {days}."), count=export.rows, days=days)
            if not export.is_whole:
                text += " " + t(N_("The oldest are left out: a file here cannot be larger."))
            await answer(interaction, text, attachments=[discord.File(io.BytesIO(export.data), "ledger.csv")])


def subject_of(
    *,
    member: discord.User | None,
    role: discord.Role | None,
    channel: discord.abc.Snowflake | None,
    together: bool,
) -> Subject:
    """Whom a quota is for; each member if nobody is named.

    Raises:
        OneSubjectOnly: several are.
    """
    named: list[Subject] = []
    if member is not None:
        named.append(Subject(scope="member", id=member.id))
    if role is not None:
        # Everybody has @everyone: its quota is the default.
        named.append(Subject() if role.is_default() else Subject(scope="role", id=role.id))
    if channel is not None:
        named.append(Subject(scope="channel", id=channel.id))
    if together:
        named.append(Subject(scope="server"))
    if len(named) > 1:
        raise OneSubjectOnly(options="`member`, `role`, `channel`, `together`")
    return named[0] if named else Subject()


def asker_for(interaction: Interaction, member: discord.User | discord.Member) -> Asker:
    """A member of this server as they would ask for pictures in this channel."""
    roles = member.roles if isinstance(member, discord.Member) else []
    channel = interaction.channel
    parent = channel.parent_id if isinstance(channel, discord.Thread) else interaction.channel_id
    return Asker(
        user_id=member.id,
        guild_id=interaction.guild_id or 0,
        channel_id=parent or 0,
        role_ids=frozenset(role.id for role in roles),
    )
