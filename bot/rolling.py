"""Windows that roll: when enough of what a limit's window has used will have left it.

Step 4 of a request's life, for the refusal's "try again". A window that begins anew says that by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy.ext.asyncio import AsyncSession

from bot.balances import grants_of, sums, used_since
from bot.errors import LimitReached
from bot.limits import Grant
from bot.quotas import CLOCKS_DIFFER, Asker, Limit

TICK = timedelta(microseconds=1)
"""An entry that is exactly as old as the window is long still counts."""


def when_free(entries: Iterable[tuple[datetime, int]], need: int, window: timedelta) -> datetime | None:
    """The first moment at which entries that used `need` together have left the window.

    Args:
        entries: when each one began to count, and what it used; negative for what it gave back. In any order.

    Returns:
        None if all of them together used less.
    """
    freed = 0
    for since, same in groupby(sorted(entries), key=lambda entry: entry[0]):
        freed += sum(used for _, used in same)
        if freed >= need:
            return since + window + TICK
    return None


def when_affordable(
    entries: Sequence[tuple[datetime, int]], *, need: int, grants: Iterable[Grant], window: timedelta
) -> datetime | None:
    """`when_free`, where grants that are still valid at that moment pay a part of it."""
    valid = list(grants)
    while True:
        when = when_free(entries, need - sum(grant.left for grant in valid), window)
        lasting = [
            grant for grant in valid if when is None or not grant.expires_at or when < grant.expires_at
        ]
        if len(lasting) == len(valid):
            return when
        valid = lasting


async def _free_at(
    session: AsyncSession, limit: Limit, asker: Asker, cost: int, now: datetime
) -> datetime | None:
    """When a limit that rolls, and has too little left now, will have room for a cost; None for never."""
    assert limit.quota.amount is not None
    span = (limit.account, limit.starts_at(now))
    used = (await sums(session, [span], before=now + CLOCKS_DIFFER))[span]
    entries = await used_since(session, *span, before=now + CLOCKS_DIFFER)
    own = limit.scope == "member"
    grants = await grants_of(session, [asker.user_id], now) if own else {}
    return when_affordable(
        entries,
        need=used + cost - limit.quota.amount,
        grants=grants.get((asker.guild_id, asker.user_id), []),
        window=timedelta(hours=limit.quota.hours),
    )


async def with_time(session: AsyncSession, error: LimitReached, asker: Asker, now: datetime) -> LimitReached:
    """A refusal that says when to try again, also where the window rolls."""
    limit, cost = error.fields.get("limit"), error.fields.get("cost")
    if not isinstance(limit, Limit) or not isinstance(cost, int) or error.fields.get("when") is not None:
        return error
    when = await _free_at(session, limit, asker, cost, now)
    return type(error)(**{**error.fields, "when": when})
