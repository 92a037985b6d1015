"""`/host appeals`: decisions that no server can overturn, one after another, with the host's two buttons."""

from __future__ import annotations

import re
from typing import Any, Self, cast

import discord

from bot.audit import Admin
from bot.client import TrinArtBot
from bot.i18n import N_, Translate, translator
from bot.safety.appeals import Appeal
from bot.safety.host_appeals import HostRuling
from cogs.admin_answer import language_of
from cogs.answers import told_beside
from cogs.appeal import RULINGS, STYLES, appeal_embed
from cogs.owners import check_host
from cogs.queue import tell
from cogs.render import COLOUR, plain

WHAT_IT_MEANS = {
    "uphold": N_("The decision stays, and so does what counts against the member."),
    "overturn": N_(
        "It no longer counts against the member. It allows nothing: the same prompt is refused again. "
        "Your own list of allowed phrases (`TRINART_SAFETY_RULES`) can change that, but not for what is "
        "sexual and about minors."
    ),
}
"""Below an appeal, so that nobody takes a button for more than it is."""

DECIDED = {
    "uphold": N_("The host of this bot has upheld the decision that you appealed."),
    "overturn": N_(
        "The host of this bot has overturned the decision that you appealed. It no longer counts against "
        "you. The same prompt is still not drawn."
    ),
}
"""What the member reads."""


class HostRulingButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"trinart:hostruling:(?P<ruling>uphold|overturn):(?P<decision_id>[0-9a-f]{32})",
):
    """What the host says to an appeal."""

    def __init__(self, ruling: HostRuling, decision_id: str, label: str) -> None:
        self._ruling: HostRuling = ruling
        self._decision_id = decision_id
        super().__init__(
            discord.ui.Button(
                label=label, style=STYLES[ruling], custom_id=f"trinart:hostruling:{ruling}:{decision_id}"
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(cast("HostRuling", match["ruling"]), match["decision_id"], "")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Record it, tell the member, and show the next one."""
        bot: TrinArtBot = interaction.client
        async with told_beside(interaction):
            host = await check_host(bot, interaction.user.id)
            appeals = bot.services.administration.host_appeals
            _, appeal = await appeals.decide(host, self._decision_id, self._ruling)
            user_id = appeal.decision.user_id
            if await tell(bot, user_id, translator(appeal.decision.locale)(DECIDED[self._ruling])):
                await bot.services.appeals.was_told(user_id, [self._decision_id])
            embed, view = await show_appeals(bot, host, language_of(interaction))
            await interaction.edit_original_response(
                embed=embed, view=view, allowed_mentions=discord.AllowedMentions.none()
            )


async def show_appeals(
    bot: TrinArtBot, host: Admin, t: Translate
) -> tuple[discord.Embed, discord.ui.View | None]:
    """The oldest appeal that waits for the host, with its buttons."""
    waiting = await bot.services.administration.host_appeals.waiting(host)
    if not waiting:
        return discord.Embed(description=t("No appeals wait for you."), colour=COLOUR), None
    appeal = waiting[0]
    view = discord.ui.View(timeout=None)
    for ruling in ("uphold", "overturn"):
        view.add_item(HostRulingButton(ruling, appeal.decision.decision_id, t(RULINGS[ruling])))
    return host_embed(bot, appeal, len(waiting), t), view


def host_embed(bot: TrinArtBot, appeal: Appeal, waiting: int, t: Translate) -> discord.Embed:
    """An appeal as the host reads it, with what each button means."""
    embed = appeal_embed(appeal, t)
    guild = bot.get_guild(appeal.decision.guild_id)
    server = plain(guild.name) if guild is not None else str(appeal.decision.guild_id or "—")
    embed.add_field(name=t("Server"), value=server)
    for ruling, meaning in WHAT_IT_MEANS.items():
        embed.add_field(name=t(RULINGS[cast("HostRuling", ruling)]), value=t(meaning), inline=False)
    embed.add_field(name=t("Appeals that wait for you"), value=str(waiting), inline=False)
    return embed
