"""What `/quota` shows. Pure functions of values."""

from __future__ import annotations

import discord
from discord.utils import format_dt

from bot.allowances import Allowance, JobsLeft, LimitLeft, RateLeft
from bot.errors import Phrase, pictures, window_text
from bot.i18n import N_, Translate, translator
from bot.limits import Grant
from bot.rolling import ComesBack
from cogs.render import COLOUR, MAX_DESCRIPTION, bar_of, clip

SCOPES = {
    "member": N_("You, here"),
    "channel": N_("This channel, everybody together"),
    "server": N_("This server, everybody together"),
    "host_member": N_("You, over all servers"),
    "host_server": N_("This server, as the host allows"),
}


def quota_embed(allowance: Allowance, cost: int, locale: str) -> discord.Embed:
    """A bar per limit, what one more picture costs, and all else that decides about the next request."""
    t = translator(locale)
    lines = _summary(allowance, cost, t)
    if allowance.refusal is not None:
        lines.append("⚠️ " + allowance.refusal.text(locale))
    lines.append("-# " + t("1 is a picture of 512×512 with 30 steps."))
    embed = discord.Embed(
        title=t("Your allowance"), description=clip("\n".join(lines), MAX_DESCRIPTION), colour=COLOUR
    )
    for limit in allowance.limits:
        embed.add_field(name=t(SCOPES[limit.limit.scope]), value=_limit(limit, t), inline=False)
    if allowance.grants:
        given = "\n".join(_grant(grant, t) for grant in allowance.grants[:10])
        embed.add_field(name=t("Given to you"), value=given, inline=False)
    if allowance.jobs:
        at_once = "\n".join(_jobs(jobs, t) for jobs in allowance.jobs)
        embed.add_field(name=t("Requests at a time"), value=at_once, inline=False)
    if allowance.rates:
        rates = "\n".join(_rate(rate, t) for rate in allowance.rates)
        embed.add_field(name=t("Requests in a row"), value=rates, inline=False)
    return embed


def _summary(allowance: Allowance, cost: int, t: Translate) -> list[str]:
    lines = [t("One more picture with the usual settings costs {cost}.", cost=pictures(cost))]
    if allowance.least is None:
        lines.append(t("There is no limit to how many you may draw."))
    else:
        lines.append(
            t(
                "You have {left} left {window}: {count} of those.",
                left=pictures(allowance.least.amount),
                window=window_text(allowance.least.window, t),
                count=allowance.least.amount // cost,
            )
        )
    if allowance.is_exempt:
        lines.append(t("A role of yours frees you from this server's limits for members."))
    return lines


def _limit(one: LimitLeft, t: Translate) -> str:
    amount = one.limit.quota.amount or 0
    text = t(
        "{bar} {left} of {amount} left {window}",
        bar=bar_of(one.left, amount),
        left=pictures(one.left),
        amount=pictures(amount),
        window=window_text(one.limit.quota.window, t),
    )
    if one.comes_back is not None:
        return text + " · " + _comes_back(one.comes_back).text(t)
    if one.resets_at is None:
        return text
    return text + " · " + t("resets {when}", when=format_dt(one.resets_at, "R"))


def _comes_back(back: ComesBack) -> Phrase:
    if back.all_at is None:
        return Phrase(N_("more comes back {when}"), {"when": back.next_at})
    if back.all_at == back.next_at:
        return Phrase(N_("all of it comes back {when}"), {"when": back.all_at})
    return Phrase(
        N_("more comes back {when}, all of it {until}"), {"when": back.next_at, "until": back.all_at}
    )


def _grant(grant: Grant, t: Translate) -> str:
    if grant.expires_at is None:
        return t("{left} left, for as long as you like", left=pictures(grant.left))
    return t("{left} left, until {when}", left=pictures(grant.left), when=format_dt(grant.expires_at, "f"))


def _jobs(jobs: JobsLeft, t: Translate) -> str:
    text = t("{live} of {most} wait or are being drawn", live=jobs.live, most=jobs.most)
    return text + _where(jobs.everywhere, t)


def _rate(rate: RateLeft, t: Translate) -> str:
    text = t(
        "{left} of {count} left in {seconds} s",
        left=rate.left,
        count=rate.rate.count,
        seconds=rate.rate.seconds,
    )
    return text + _where(rate.everywhere, t)


def _where(everywhere: bool, t: Translate) -> str:
    return t(", over all servers") if everywhere else t(", in this server")
