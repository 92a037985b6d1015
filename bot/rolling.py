"""Windows that roll: when enough of what a limit's window has used will have left it.

Step 4 of a request's life, for the refusal's "try again", and for `/quota`. A window that begins anew says
that by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy.ext.asyncio import AsyncSession

from bot.balances import grants_of, sums, used_since
from bot.database.session import at_once
from bot.errors import LimitReached
from bot.limits import Books, Grant
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


@dataclass(frozen=True, kw_only=True)
class ComesBack:
    """When what a window that rolls has used comes back: the next of it, and all."""

    next_at: datetime
    all_at: datetime | None
    """None where so many entries are in the window that it was not looked for."""


def comes_back(
    entries: Sequence[tuple[datetime, int]], *, used: int, amount: int, window: timedelta
) -> ComesBack | None:
    """When more of an amount is left than now, and when all of it is; None where nothing is used,
    or nothing is given.

    Of a quota that was lowered after it was used, more is left only when what is above it has left, too.
    """
    if used <= 0 or not amount:
        return None
    next_at = when_free(entries, max(used - amount, 0) + 1, window)
    if next_at is None:
        return None
    return ComesBack(next_at=next_at, all_at=when_free(entries, used, window))


async def what_comes_back(
    session: AsyncSession, limits: Iterable[Limit], books: Books, now: datetime
) -> dict[Limit, ComesBack]:
    """`comes_back` for those of the limits whose windows roll and are used."""
    found: dict[Limit, ComesBack] = {}
    for limit in limits:
        span = (limit.account, limit.starts_at(now))
        used = books.used.get(span, 0)
        if limit.resets_at(now) is not None or used <= 0:
            continue
        assert limit.quota.amount is not None
        entries = await used_since(session, *span, before=now + CLOCKS_DIFFER)
        window = timedelta(hours=limit.quota.hours)
        if back := comes_back(entries, used=used, amount=limit.quota.amount, window=window):
            found[limit] = back
    return found


async def _free_at(
    session: AsyncSession, limit: Limit, asker: Asker, cost: int, now: datetime
) -> datetime | None:
    """When a limit that rolls, and has too little left now, will have room for a cost; None for never."""
    assert limit.quota.amount is not None
    span = (limit.account, limit.starts_at(now))
    used = (await at_once(session, sums, [span], before=now + CLOCKS_DIFFER))[span]
    entries = await used_since(session, *span, before=now + CLOCKS_DIFFER)
    own = limit.scope == "member"
    grants = await at_once(session, grants_of, [asker.user_id], now) if own else {}
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
