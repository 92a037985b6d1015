"""Direct messages to the host: that no pictures can be drawn or checked, and that they can again."""

from __future__ import annotations

from discord.ext import commands

from bot.client import TrinArtBot
from bot.i18n import N_
from bot.safety.outages import Notice, Part
from cogs.owners import tell_hosts
from cogs.render import clip, plain

MAX_REASON = 500

OUTAGES: dict[Part, str] = {
    "engine": N_(
        "🚨 **No pictures are drawn any more.** {reason}\n"
        "Requests are refused and cost nothing. The log has the details, and `/host engine` the state. "
        "When it is repaired, start the bot again."
    ),
    "check": N_(
        "🚨 **A picture could not be checked.** {reason}\n"
        "Nobody sees it, and it costs nothing. You hear of this once; the log has all of them. "
        "If it goes on, start the bot again and look at what `trinart doctor` says."
    ),
}
OVER = N_("✅ Pictures are drawn and checked again.")


class Alarm(commands.Cog):
    """The way to the host."""

    def __init__(self, bot: TrinArtBot) -> None:
        self.bot = bot

    async def cog_load(self) -> None:
        """From now on there is a way to tell the host."""
        self.bot.services.outages.tell_by(self._tell_hosts)

    async def _tell_hosts(self, notice: Notice) -> None:
        await self.bot.wait_until_ready()
        if notice.part is None:
            await tell_hosts(self.bot, OVER)
        else:
            reason = clip(plain(notice.reason), MAX_REASON)
            await tell_hosts(self.bot, OUTAGES[notice.part], reason=reason)


async def setup(bot: TrinArtBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Alarm(bot))
