"""Appeals in Discord: the member's button, and the moderators' three. They work after a restart too."""

from __future__ import annotations

import re
from typing import Any, Self, cast

import discord

from bot.client import TrinArtBot
from bot.i18n import N_, Translate, translator
from bot.safety.appeals import Appeal, AppealState, Ruling
from bot.safety.errors import AppealNotSent, NobodyTakesAppeals
from bot.safety.noted import ALLOWED_FOR, Kind
from cogs.answers import told, told_beside
from cogs.codes import APPEAL_STATES, reasons_text
from cogs.owners import tell_hosts
from cogs.queue import language_of_server, moderator_of, post, tell
from cogs.render import COLOUR, MAX_DESCRIPTION, clip, plain

KINDS: dict[Kind, str] = {
    "prompt": N_("A prompt was refused"),
    "picture": N_("A picture was withheld"),
    "report": N_("A picture was removed after reports"),
}
RULINGS: dict[Ruling, str] = {
    "uphold": N_("Uphold"),
    "overturn": N_("Overturn"),
    "block": N_("Uphold and block the member"),
}
STATES: dict[AppealState, str] = {
    "possible": N_("not appealed"),
    "open": N_("waits for an answer"),
    "upheld": N_("upheld"),
    "overturned": N_("overturned"),
    "blocked": N_("upheld, and you are blocked"),
}
NEWS_FOR_HOST = N_(
    "⚖️ A member has appealed a decision that only you can overturn: see `/host appeals`. "
    "You hear of this once an hour at most."
)
STYLES = {
    "uphold": discord.ButtonStyle.secondary,
    "overturn": discord.ButtonStyle.success,
    "block": discord.ButtonStyle.danger,
}


class AppealButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"trinart:appeal:(?P<decision_id>[0-9a-f]{32})",
):
    """Asks the moderators of the server to look at a decision again."""

    def __init__(self, decision_id: str, label: str) -> None:
        self._decision_id = decision_id
        super().__init__(
            discord.ui.Button(
                label=label, style=discord.ButtonStyle.secondary, custom_id=f"trinart:appeal:{decision_id}"
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["decision_id"], "")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Open the appeal and bring it to the moderators."""
        bot: TrinArtBot = interaction.client
        async with told(interaction):
            await interaction.response.defer(ephemeral=True, thinking=True)
            appeal = await bot.services.appeals.open(
                self._decision_id, interaction.user.id, interaction.locale.value
            )
            t = translator(interaction.locale.value)
            if appeal.is_for_host:
                text = t(
                    "The host of this bot has your appeal, as no server can overturn this decision. "
                    "What is decided comes to you by direct message."
                )
            else:
                message_id = await _post_appeal(bot, appeal)
                if message_id is None:
                    raise AppealNotSent
                await bot.services.appeals.posted(self._decision_id, message_id)
                text = t(
                    "The moderators of the server have your appeal. "
                    "What they decide comes to you by direct message."
                )
            await interaction.edit_original_response(content=text)
            if appeal.is_for_host and bot.services.administration.host_appeals.is_news():
                await tell_hosts(bot, NEWS_FOR_HOST)


class RulingButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"trinart:ruling:(?P<ruling>uphold|overturn|block):(?P<decision_id>[0-9a-f]{32})",
):
    """What a moderator says to an appeal."""

    def __init__(self, ruling: Ruling, decision_id: str, label: str) -> None:
        self._ruling: Ruling = ruling
        self._decision_id = decision_id
        super().__init__(
            discord.ui.Button(
                label=label, style=STYLES[ruling], custom_id=f"trinart:ruling:{ruling}:{decision_id}"
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(cast("Ruling", match["ruling"]), match["decision_id"], "")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Record it, say so where the moderators read, and tell the member."""
        bot: TrinArtBot = interaction.client
        async with told_beside(interaction):
            admin, appeals = moderator_of(interaction), bot.services.appeals
            _, appeal = await appeals.decide(admin, self._decision_id, self._ruling)
            user_id = appeal.decision.user_id
            if await tell(bot, user_id, _outcome_text(bot, appeal)):
                await appeals.was_told(user_id, [self._decision_id])
            t = await language_of_server(bot, appeal.decision.guild_id)
            await interaction.edit_original_response(
                embed=appeal_embed(appeal, t, decided_by=interaction.user.id),
                view=None,
                allowed_mentions=discord.AllowedMentions.none(),
            )


def appeal_view(decision_id: str | None, t: Translate) -> discord.ui.View | None:
    """The one button below a refusal or a withheld picture; None where there is nothing to appeal."""
    if decision_id is None:
        return None
    view = discord.ui.View(timeout=None)
    view.add_item(AppealButton(decision_id, t("Appeal")))
    return view


async def _post_appeal(bot: TrinArtBot, appeal: Appeal) -> int | None:
    if appeal.moderation_channel_id is None:
        raise NobodyTakesAppeals
    t = await language_of_server(bot, appeal.decision.guild_id)
    view = discord.ui.View(timeout=None)
    for ruling, label in RULINGS.items():
        view.add_item(RulingButton(ruling, appeal.decision.decision_id, t(label)))
    guild_id, channel_id = appeal.decision.guild_id, appeal.moderation_channel_id
    embed = appeal_embed(appeal, t)
    embed.add_field(name=t("What the buttons do"), value=_meaning(appeal, t), inline=False)
    return await post(bot, guild_id, channel_id, embed, view)


def _meaning(appeal: Appeal, t: Translate) -> str:
    """For moderators, so that nobody takes a button for more than it is."""
    lines = [t("Uphold: nothing changes.")]
    match appeal.decision.kind:
        case "prompt":
            days = ALLOWED_FOR.days
            lines.append(
                t(
                    "Overturn: this member can send the very same prompt here for {days} days, and it no "
                    "longer counts against them.",
                    days=days,
                )
            )
        case "picture":
            lines.append(t("Overturn: the member reads that it was a mistake. The picture was not kept."))
        case "report":
            lines.append(t("Overturn: it no longer counts against the member. The picture was deleted."))
    lines.append(
        t("Uphold and block the member: they cannot ask for pictures here until `/admin unblock` lets them.")
    )
    return "\n".join(lines)


async def post_waiting(bot: TrinArtBot, guild_id: int) -> None:
    """Bring the moderators of a server what they could not be shown while they had no channel of their own.

    Raises:
        QueueNotPrivate: they have none.
        RecordsUnavailable: the database failed.
    """
    for appeal in await bot.services.appeals.waiting(guild_id):
        message_id = await _post_appeal(bot, appeal)
        if message_id is not None:
            await bot.services.appeals.posted(appeal.decision.decision_id, message_id)


def appeal_embed(appeal: Appeal, t: Translate, *, decided_by: int | None = None) -> discord.Embed:
    """An appeal as moderators read it, with the prompt."""
    decision = appeal.decision
    embed = discord.Embed(title=t("Appeal: {kind}", kind=t(KINDS[decision.kind])), colour=COLOUR)
    embed.description = clip(plain(decision.prompt), MAX_DESCRIPTION) if decision.prompt else None
    embed.add_field(name=t("Member"), value=f"<@{decision.user_id}>")
    embed.add_field(name=t("Channel"), value=f"<#{decision.channel_id}>")
    embed.add_field(name=t("Reason"), value=reasons_text(decision.reasons, t))
    if decided_by is not None:
        outcome = t(
            "{state}, by {moderator}", state=t(APPEAL_STATES[appeal.state]), moderator=f"<@{decided_by}>"
        )
        embed.add_field(name=t("Decision"), value=outcome, inline=False)
    return embed.set_footer(text=decision.decision_id)


def _outcome_text(bot: TrinArtBot, appeal: Appeal) -> str:
    """What the member reads of the decision."""
    decision = appeal.decision
    t = translator(decision.locale)
    guild = bot.get_guild(decision.guild_id)
    server = plain(guild.name) if guild is not None else str(decision.guild_id)
    match appeal.state, decision.kind:
        case "overturned", "prompt":
            days = ALLOWED_FOR.days
            return t(
                "The moderators of {server} have overturned the refusal that you appealed. "
                "There you can send the very same prompt again for {days} days.",
                server=server,
                days=days,
            )
        case "overturned", "picture":
            return t(
                "The moderators of {server} have overturned the decision that you appealed. "
                "The picture was never kept; you can ask for it again.",
                server=server,
            )
        case "overturned", _:
            return t(
                "The moderators of {server} have overturned the decision that you appealed. "
                "It no longer counts against you.",
                server=server,
            )
        case "blocked", _:
            return t(
                "The moderators of {server} have upheld the decision that you appealed. "
                "You cannot ask for pictures there any more.",
                server=server,
            )
        case _:
            return t("The moderators of {server} have upheld the decision that you appealed.", server=server)
