"""Refusals by a quota, a rate, or the number of jobs at a time: what each one says.

Whose limit it is, how much it is, how much is left, and when there will be more. `bot/limits.py` raises them.
"""

from __future__ import annotations

from bot.errors import LimitReached, Phrase
from bot.i18n import N_
from bot.quotas import Giver, Limit, Scope

_GIVERS: dict[Giver, str] = {
    "own": N_("your own quota in this server"),
    "role": N_("the quota of your role {role}"),
    "server": N_("this server's quota for each member"),
    "host": N_("the host's quota for each member"),
}

_OTHERS: dict[Scope, str] = {
    "channel": N_("this channel's quota for everybody together"),
    "server": N_("this server's quota for everybody together"),
    "host_member": N_("the host's cap for each person over all servers"),
    "host_server": N_("the host's cap for this server"),
}

HOSTS_LIMIT = Phrase(N_("the host's limit for each person over all servers"))
SERVERS_LIMIT = Phrase(N_("this server's limit for each member"))


class MemberQuotaUsedUp(LimitReached):
    message = N_(
        "This costs {cost}, and you have {left} of {amount} left {window} ({whose}). "
        "Try again {when}, or ask for fewer images or steps or a smaller size. Nothing was charged."
    )


class ChannelQuotaUsedUp(LimitReached):
    message = N_(
        "This costs {cost}, and this channel has {left} of {amount} left {window}, for everybody "
        "together. Try again {when}, or in another channel. Nothing was charged."
    )


class ServerQuotaUsedUp(LimitReached):
    message = N_(
        "This costs {cost}, and this server has {left} of {amount} left {window}, for everybody "
        "together. Try again {when}. Nothing was charged."
    )


class HostUserQuotaUsedUp(LimitReached):
    message = N_(
        "This costs {cost}, and you have {left} of the {amount} left {window} that the host of this "
        "bot gives each person, over all servers. Try again {when}. Nothing was charged."
    )


class HostServerQuotaUsedUp(LimitReached):
    message = N_(
        "This costs {cost}, and this server has {left} of the {amount} left {window} that the host "
        "of this bot gives each server. Try again {when}. Nothing was charged."
    )


class CostsTooMuch(LimitReached):
    """Waiting does not help: it is more than there is when nothing was used."""

    message = N_(
        "This costs {cost}, more than {whose} allows in all: {amount} {window}, {left} of them left. "
        "Ask for fewer images or steps or a smaller size. Nothing was charged."
    )


class NothingAllowed(CostsTooMuch):
    message = N_("Nothing is allowed here: {whose} is 0. Nothing was charged.")


class GrantsUsedUp(CostsTooMuch):
    message = N_(
        "This costs {cost}, and {left} are left of what you were given. Beside that nothing is allowed here: "
        "{whose} is 0. Ask for fewer images or steps or a smaller size. Nothing was charged."
    )


class TooOften(LimitReached):
    message = N_(
        "That was too fast: {whose} is {count} requests in {seconds} seconds, and none of them is left. "
        "Try again {when}. Nothing was charged."
    )


class TooManyJobs(LimitReached):
    message = N_(
        "Requests of yours that wait or are being drawn: {live}; {whose} is {limit} at a time. "
        "Try again when one is done; /jobs shows them. Nothing was charged."
    )


QUOTAS: dict[Scope, type[LimitReached]] = {
    "member": MemberQuotaUsedUp,
    "channel": ChannelQuotaUsedUp,
    "server": ServerQuotaUsedUp,
    "host_member": HostUserQuotaUsedUp,
    "host_server": HostServerQuotaUsedUp,
}


def whose(limit: Limit, beside: int = 0) -> Phrase:
    """Whom a quota is of, in the middle of a sentence; and that grants add to it, unless it is 0."""
    if beside and limit.quota.amount:
        return Phrase(N_("{whose} with what you were given"), {"whose": whose(limit)})
    if limit.scope != "member":
        return Phrase(_OTHERS[limit.scope])
    if limit.giver == "role" and limit.role_id == limit.account.guild_id:
        return Phrase(_GIVERS["server"])  # the role that everybody has
    return Phrase(_GIVERS[limit.giver], {"role": f"<@&{limit.role_id}>"})


def quota_kind(limit: Limit, cost: int, beside: int) -> type[LimitReached]:
    """Which of them says why a quota that has too little left refuses a cost.

    `beside` is what grants add to it. What is more than all of it together is not possible later either.
    """
    assert limit.quota.amount is not None
    if cost <= limit.quota.amount + beside:
        return QUOTAS[limit.scope]
    if limit.quota.amount:
        return CostsTooMuch
    return GrantsUsedUp if beside else NothingAllowed
