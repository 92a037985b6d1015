"""The words beside the plot of `/admin usage`, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping

import discord
from discord.utils import format_dt

from bot.i18n import N_, Translate
from bot.usage import Usage, Waiting
from cogs.render import COLOUR, MAX_FIELD, clip, plain

MAX_LINES = 10

REFUSALS = {
    "member_quota_used_up": N_("the member's quota"),
    "channel_quota_used_up": N_("the channel's quota"),
    "server_quota_used_up": N_("the server's quota"),
    "host_user_quota_used_up": N_("the host's cap for a person"),
    "host_server_quota_used_up": N_("the host's cap for the server"),
    "costs_too_much": N_("costs more than is allowed"),
    "nothing_allowed": N_("a quota that allows nothing"),
    "grants_used_up": N_("costs more than was given"),
    "too_often": N_("too many requests too fast"),
    "too_many_jobs": N_("too many requests at a time"),
    "member_blocked": N_("blocked"),
    "blocked_by_host": N_("blocked by the host"),
    "strike_pause": N_("paused for strikes"),
    "terms_not_accepted": N_("terms of use not accepted yet"),
    "server_switched_off": N_("switched off by the admins"),
    "server_suspended": N_("switched off by the host"),
    "channel_not_allowed": N_("not in this channel"),
    "sexual_minor": N_("sexual content about minors"),
    "sexual": N_("sexual content"),
    "real_person_sexual": N_("sexual content about real people"),
    "server_list": N_("a word that this server refuses"),
    "host_list": N_("a word that the host refuses"),
    "too_long": N_("too long to be checked"),
    "withheld": N_("pictures that may not be shown"),
    "queue_full": N_("the queue was full"),
    "deadline": N_("would have taken too long"),
}
"""Why requests were refused, by code; what is not here is shown by its code."""


def usage_embed(usage: Usage, names: Mapping[int, str], t: Translate) -> discord.Embed:
    """Totals and names: the numbers in front are those in the plot."""
    days = len(usage.days)
    embed = discord.Embed(
        title=t("Usage of the last {days} days", days=days) if days > 1 else t("Usage of today"),
        description="\n".join(_about(usage, t)),
        colour=COLOUR,
    )
    presets = {name or "—": sum(counts) for name, counts in usage.pictures.items()}
    refusals = {
        t(REFUSALS[code]) if code in REFUSALS else code: count for code, count in usage.refusals.items()
    }
    users = {f"{names.get(user_id, user_id)}\0{user_id}": count for user_id, count in usage.top_users}
    for heading, counts in (
        (t("By preset"), presets),
        (t("Refusals"), refusals),
        (t("Most pictures"), users),
    ):
        if counts:
            embed.add_field(name=heading, value=_ranked(counts), inline=True)
    if usage.total_waiting is not None:
        embed.add_field(name=t("Waiting"), value=_waiting(usage.total_waiting, t), inline=False)
    return embed


def _about(usage: Usage, t: Translate) -> list[str]:
    lines = [
        t(
            "Pictures: {pictures}. Refusals: {refusals}. Days are those of {timezone}.",
            pictures=usage.total,
            refusals=sum(usage.refusals.values()),
            timezone=usage.timezone,
        )
    ]
    if usage.kept_days is not None:
        lines.append(t("The host keeps records for this many days: {days}.", days=usage.kept_days))
    if usage.oldest is not None:
        lines.append(t("The first record is from {when}.", when=format_dt(usage.oldest, "D")))
    return lines


def _ranked(counts: Mapping[str, int]) -> str:
    lines = [
        # What follows NUL only keeps members of the same name apart.
        f"{number}. {clip(plain(name.partition(chr(0))[0]), 60)}: {count}"
        for number, (name, count) in enumerate(counts.items(), 1)
    ]
    return clip("\n".join(lines[:MAX_LINES]), MAX_FIELD)


def _waiting(waiting: Waiting, t: Translate) -> str:
    return t(
        "Half waited at most {p50} s, 95 of 100 at most {p95} s.",
        p50=f"{waiting.p50:.1f}",
        p95=f"{waiting.p95:.1f}",
    )
