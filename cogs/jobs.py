"""`/jobs`: a member's own jobs, and buttons that stop those that go on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Self

import discord
from discord import app_commands
from discord.app_commands import locale_str
from discord.ext import commands
from discord.utils import format_dt

from bot.client import TrinArtBot
from bot.errors import pictures
from bot.history import History, PastJob
from bot.i18n import N_, Translate, translator
from bot.jobs import JobState
from bot.reply import JobProgress
from cogs.answers import told
from cogs.cancel import CancelButton
from cogs.fetch import FetchButton
from cogs.render import COLOUR, MAX_DESCRIPTION, plain, progress_text

PROMPT_LENGTH = 50

STATES: dict[JobState, str] = {
    "queued": N_("⏳ waiting"),
    "running": N_("🎨 being drawn"),
    "succeeded": N_("📦 drawn, not delivered yet"),
    "delivered": N_("✅ done"),
    "cancelled": N_("⏹️ cancelled"),
    "failed": N_("⚠️ failed"),
    "refused": N_("⚠️ not taken"),
}


def jobs_embed(history: History, progress: Mapping[str, JobProgress], t: Translate) -> discord.Embed:
    """The list: what goes on first, numbered as its buttons are."""
    parts = [
        _block(job, t, number=number, progress=progress.get(job.id))
        for number, job in enumerate(history.live, start=1)
    ]
    parts += [_block(job, t) for job in history.ended]
    if history.unreadable:
        parts.append("-# " + t("⚠️ Requests that cannot be read: {count}", count=history.unreadable))
    text = _fitting(parts) or t("You have not asked for any picture yet. /trinart draws one.")
    return discord.Embed(title=t("Your pictures"), description=text, colour=COLOUR)


def _fitting(parts: Sequence[str]) -> str:
    """As many of them, whole, as a message takes: the last ones ended longest ago."""
    lengths = accumulate(len(part) + 1 for part in parts)
    return "\n".join(part for part, length in zip(parts, lengths, strict=True) if length <= MAX_DESCRIPTION)


def state_text(job: PastJob, t: Translate) -> str:
    """How far a job is that nobody tells of, or how it ended."""
    return t("🚫 withheld") if job.is_withheld else t(STATES[job.state])


def _block(
    job: PastJob, t: Translate, *, number: int | None = None, progress: JobProgress | None = None
) -> str:
    state = progress_text(progress, t) if progress is not None else state_text(job, t)
    prompt = plain(job.prompt[:PROMPT_LENGTH]) + ("…" if len(job.prompt) > PROMPT_LENGTH else "")
    cost = pictures(job.cost if number is not None else job.paid)
    facts = [t("costs {cost}", cost=cost) if number is not None else t("cost {cost}", cost=cost)]
    facts.append(format_dt(job.created_at, "R"))
    if job.link is not None:
        facts.append(t("[message]({link})", link=job.link))
    heading = f"**{number}.** {state}" if number is not None else state
    return f"{heading}: {prompt}\n-# {' · '.join(facts)}"


class JobsView(discord.ui.View):
    """A Cancel button for each job that can be stopped, and one to look again."""

    def __init__(self, history: History, user_id: int, t: Translate) -> None:
        super().__init__(timeout=None)
        for number, job in enumerate(history.live, start=1):
            if job.can_be_cancelled:
                self.add_item(CancelButton(job.id, t("Cancel {number}", number=number)))
            if job.can_be_fetched:
                self.add_item(FetchButton(job.id, t("Show {number}", number=number)))
        self.add_item(RefreshButton(user_id, t("Look again")))


class RefreshButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]], template=r"trinart:jobs:(?P<user_id>[0-9]+)"
):
    """Brings the list up to date; works after a restart, too."""

    def __init__(self, user_id: int, label: str) -> None:
        super().__init__(
            discord.ui.Button(
                label=label, style=discord.ButtonStyle.primary, custom_id=f"trinart:jobs:{user_id}"
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(int(match["user_id"]), "")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Show the presser's own jobs, whoever's list it was."""
        async with told(interaction):
            await interaction.response.defer()
            await show_jobs(interaction)


async def show_jobs(interaction: discord.Interaction[TrinArtBot]) -> None:
    """Put the list where the answer to this interaction is."""
    bot, user_id = interaction.client, interaction.user.id
    t = translator(interaction.locale.value)
    history = await bot.services.history.of(user_id)
    await interaction.edit_original_response(
        embed=jobs_embed(history, bot.service.progress, t), view=JobsView(history, user_id, t)
    )


class Jobs(commands.Cog):
    """The command and its button."""

    def __init__(self, bot: TrinArtBot) -> None:
        self.bot = bot

    async def cog_load(self) -> None:
        """Make old buttons work."""
        self.bot.add_dynamic_items(RefreshButton, FetchButton)

    @app_commands.command(
        name="jobs",
        description=locale_str(N_("Your pictures: those that are being drawn, and the latest")),
        auto_locale_strings=False,
    )
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def jobs(self, interaction: discord.Interaction[TrinArtBot]) -> None:
        """Show a member's own jobs, wherever they were asked for, to that member alone."""
        async with told(interaction):
            await interaction.response.defer(ephemeral=True)
            await show_jobs(interaction)


async def setup(bot: TrinArtBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Jobs(bot))
