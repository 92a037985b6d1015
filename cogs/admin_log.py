"""What was changed, and by whom: the answer to a change, and the pages of the log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import discord

from bot.admin_errors import NotYourButton
from bot.audit import Admin, AuditEntry, Change
from bot.client import TrinArtBot
from bot.errors import MemberError
from bot.i18n import N_, Translate
from bot.limits import EVERYWHERE
from cogs.admin_answer import language_of, presser_of
from cogs.admin_render import stamp, subject_text, value_text
from cogs.codes import FACTS
from cogs.owners import check_host
from cogs.render import COLOUR, MAX_DESCRIPTION, clip, plain

PAGE_SIZE = 8
MAX_FACTS = 400
"""Letters of one entry, so that a page of them is shown whole."""

ACTIONS = {
    "quota.set": N_("Quota set"),
    "quota.remove": N_("Quota removed"),
    "quota.grant": N_("Pictures granted"),
    "quota.tidy": N_("Rules of what is gone forgotten"),
    "quota.reset": N_("Window reset"),
    "quota.revoke": N_("Granted pictures taken back"),
    "limits": N_("Limits changed"),
    "settings": N_("Settings changed"),
    "safety.level": N_("Safety level changed"),
    "safety.channel": N_("Safety level of a channel changed"),
    "safety.lists": N_("Lists of words changed"),
    "block": N_("Member blocked"),
    "unblock": N_("Block lifted"),
    "preset.create": N_("Preset added"),
    "preset.edit": N_("Preset changed"),
    "preset.delete": N_("Preset deleted"),
    "moderation": N_("Moderation changed"),
    "moderation.readers": N_("Readers of the moderators’ channel changed"),
    "appeal.uphold": N_("Appeal: decision upheld"),
    "appeal.overturn": N_("Appeal: decision overturned"),
    "appeal.block": N_("Appeal: member blocked"),
    "report.restore": N_("Reported picture shown again"),
    "report.remove": N_("Reported picture removed"),
    "strikes.clear": N_("Strikes forgotten"),
    "host.suspend": N_("Switched off by the host"),
    "host.resume": N_("Switched on again by the host"),
    "host.drain": N_("Drain by the host"),
    "host.announce": N_("Announcement by the host"),
}


def change_text(change: Change, t: Translate) -> str:
    """The answer to who changed something."""
    if not change.is_one:
        return t("Nothing changed: it was so already.")
    return f"✅ {_headline(change, t)}\n{_facts(change, t)}"


def log_text(entries: Sequence[AuditEntry], t: Translate) -> str:
    """Who changed what, newest first."""
    if not entries:
        return t("Nobody has changed anything yet.")
    return "\n".join(
        f"{stamp(entry.created_at)} <@{entry.actor_id}> {_headline(entry.change, t)}\n"
        f"-# {clip(_facts(entry.change, t).replace(chr(10), '; '), MAX_FACTS)}"
        for entry in entries
    )


def _headline(change: Change, t: Translate) -> str:
    action = t(ACTIONS[change.action]) if change.action in ACTIONS else plain(change.action)
    return f"**{action}**" + (f" · {subject_text(change.target, t)}" if change.target else "")


def _facts(change: Change, t: Translate) -> str:
    before, after = change.before, change.after
    if not isinstance(before or {}, dict) or not isinstance(after or {}, dict):
        return f"{value_text('quota', before, t)} → {value_text('quota', after, t)}"
    old, new = cast("Mapping[str, Any]", before or {}), cast("Mapping[str, Any]", after or {})
    lines: list[str] = []
    for name in {**old, **new}:
        if name in old and old[name] == new.get(name):
            continue
        label = t(FACTS[name]) if name in FACTS else plain(name)
        was = f"{value_text(name, old[name], t)} → " if name in old else ""
        lines.append(f"{label}: {was}{value_text(name, new.get(name), t)}")
    return "\n".join(lines)


# --- pages ---


class LogPage(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=(
        r"trinart:log:(?P<invoker>[0-9]{1,20}):(?P<newest>[0-9]{1,18}):(?P<page>[0-9]{1,9})(?P<host>:host)?"
    ),
):
    """Turns to another page of the log. All it knows is in its id, so it works after a restart too."""

    def __init__(
        self, invoker: int, newest: int, page: int, label: str = "…", *, of_host: bool = False
    ) -> None:
        self.invoker, self.newest, self.page, self.of_host = invoker, newest, page, of_host
        super().__init__(
            discord.ui.Button(
                label=label,
                style=discord.ButtonStyle.secondary,
                custom_id=f"trinart:log:{invoker}:{newest}:{page}{':host' if of_host else ''}",
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(
            int(match["invoker"]), int(match["newest"]), int(match["page"]), of_host=bool(match["host"])
        )

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Show the page in place of the other."""
        t, locale = language_of(interaction), interaction.locale.value
        admin = presser_of(interaction, self.invoker)
        if not admin.may_manage:
            await interaction.response.send_message(NotYourButton().text(locale), ephemeral=True)
            return
        await interaction.response.defer()
        try:
            if self.of_host:
                admin = await check_host(interaction.client, interaction.user.id)
            embed, view = await show_log(interaction.client, admin, t, page=self.page, newest=self.newest)
        except MemberError as error:
            await interaction.followup.send(error.text(locale), ephemeral=True)
        else:
            await interaction.edit_original_response(embed=embed, view=view)


async def show_log(
    bot: TrinArtBot, admin: Admin, t: Translate, *, page: int = 0, newest: int | None = None
) -> tuple[discord.Embed, discord.ui.View | None]:
    """A page of a server's log, or of the host's own, and the buttons to those beside it."""
    log = bot.services.administration.log
    entries, has_more = await log(admin, page=page, size=PAGE_SIZE, newest=newest)
    of_host = admin.guild_id == EVERYWHERE
    if newest is None:
        newest = entries[0].id if entries else 0
    embed = discord.Embed(description=clip(log_text(entries, t), MAX_DESCRIPTION), colour=COLOUR)
    view = discord.ui.View(timeout=None)
    if page:
        view.add_item(LogPage(admin.actor_id, newest, page - 1, t(N_("Newer")), of_host=of_host))
    if has_more:
        view.add_item(LogPage(admin.actor_id, newest, page + 1, t(N_("Older")), of_host=of_host))
    return embed, view if view.children else None
