"""`/admin moderation`: where moderators read of appeals and reports, and what counts against members."""

from __future__ import annotations

from contextlib import suppress

import discord
from discord import app_commands
from discord.app_commands import locale_str

from bot.database.failures import RecordsUnavailable
from bot.i18n import N_, Translate
from bot.safety.errors import EverybodyReadsThere, QueueNotPrivate
from bot.safety.moderation import ModerationChanges
from bot.safety.strike_book import StrikeRecord
from cogs.admin_answer import Interaction, answer, language_of, serving
from cogs.admin_log import change_text
from cogs.admin_post import check_can_post
from cogs.admin_render import stamp, value_text
from cogs.appeal import post_waiting
from cogs.codes import FACTS, reasons_text
from cogs.queue import check_readers, everybody_reads, queue_warning


class ModerationGroup(app_commands.Group):
    """The subcommands; their parent is `/admin`."""

    def __init__(self) -> None:
        super().__init__(
            name=locale_str(N_("moderation")),
            description=locale_str(N_("Appeals, reported pictures, and what counts against members")),
        )

    @app_commands.command(
        name=locale_str(N_("settings")),
        description=locale_str(N_("Where moderators read of appeals and reported pictures")),
    )
    @app_commands.rename(
        channel=locale_str(N_("channel")), reports=locale_str(N_("reports")), close=locale_str(N_("close"))
    )
    @app_commands.describe(
        channel=locale_str(N_("A channel that only moderators can read")),
        reports=locale_str(
            N_("How many members' reports hide a picture, 1 to 100; a moderator's does at once")
        ),
        close=locale_str(N_("Take no appeals any more")),
    )
    async def settings(
        self,
        interaction: Interaction,
        channel: discord.TextChannel | None = None,
        reports: int | None = None,
        close: bool = False,
    ) -> None:
        """Without options they are shown."""
        async with serving(interaction) as admin:
            t = language_of(interaction)
            service = interaction.client.services.administration.moderation
            if channel is not None:
                check_can_post(channel)
                check_private(channel)
            changes = ModerationChanges(channel=channel.id if channel else None, reports=reports, close=close)
            if changes == ModerationChanges():
                facts = await service.show(admin)
                lines = [f"{t(FACTS[name])}: {value_text(name, value, t)}" for name, value in facts.items()]
                lines.append(await queue_warning(interaction.client, admin, t))
                await answer(interaction, "\n".join(filter(None, lines)))
            else:
                await answer(interaction, change_text(await service.change(admin, changes), t))
            if channel is not None:
                with suppress(QueueNotPrivate, RecordsUnavailable):  # then they go on waiting
                    await check_readers(interaction.client, admin.guild_id, channel.id)
                    await post_waiting(interaction.client, admin.guild_id)

    @app_commands.command(
        name=locale_str(N_("strikes")), description=locale_str(N_("A member's strikes in this server"))
    )
    @app_commands.rename(member=locale_str(N_("member")))
    @app_commands.describe(member=locale_str(N_("Whose strikes to show")))
    async def strikes(self, interaction: Interaction, member: discord.User) -> None:
        """Those that are not forgotten, and the pause that runs."""
        async with serving(interaction) as admin:
            record = await interaction.client.services.administration.strikes.show(admin, member.id)
            await answer(interaction, strikes_text(member.id, record, language_of(interaction)))

    @app_commands.command(
        name=locale_str(N_("clear")), description=locale_str(N_("Forget a member's strikes in this server"))
    )
    @app_commands.rename(member=locale_str(N_("member")))
    @app_commands.describe(member=locale_str(N_("Whose strikes to forget")))
    async def clear(self, interaction: Interaction, member: discord.User) -> None:
        """And end their pause."""
        async with serving(interaction) as admin:
            change = await interaction.client.services.administration.strikes.clear(admin, member.id)
            await answer(interaction, change_text(change, language_of(interaction)))


def check_private(channel: discord.TextChannel) -> None:
    """Raise `EverybodyReadsThere` for a channel that is no moderators' own."""
    if everybody_reads(channel):
        raise EverybodyReadsThere(channel=channel.mention)


def strikes_text(user_id: int, record: StrikeRecord, t: Translate) -> str:
    """What counts against a member, oldest first."""
    lines = [f"**<@{user_id}>**"]
    lines += [
        t(
            "{time}: {reason}, counts {weight}",
            time=stamp(strike.at),
            reason=reasons_text([strike.reason], t),
            weight=strike.weight,
        )
        for strike in record.strikes
    ] or [t("No strikes in this server.")]
    if record.pause is not None:
        lines.append(t("Paused until {time}", time=stamp(record.pause.until)))
    return "\n".join(lines)
