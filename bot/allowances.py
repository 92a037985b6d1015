"""What a member may still draw, and why not more: everything that `/quota` tells. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.books import read_books
from bot.database.failures import told_to_members
from bot.database.session import Database, at_once
from bot.errors import LimitReached
from bot.jobs import utc_now
from bot.limits import EVERYWHERE, Books, Grant, Left, decide, least_left
from bot.quotas import Asker, HostRules, Limit, Rate, ServerRules, limits_of
from bot.rolling import ComesBack, what_comes_back, with_time


@dataclass(frozen=True, kw_only=True)
class LimitLeft:
    """One quota that applies, and how much of it is left."""

    limit: Limit
    left: int
    resets_at: datetime | None
    """None where the window rolls."""
    comes_back: ComesBack | None = None
    """Where the window rolls and is used."""


@dataclass(frozen=True, kw_only=True)
class RateLeft:
    """How many requests may be made at once now, under the host's rate or the server's."""

    rate: Rate
    left: int
    everywhere: bool


@dataclass(frozen=True, kw_only=True)
class JobsLeft:
    """How many requests wait or are drawn, of how many at a time."""

    live: int
    most: int
    everywhere: bool


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """All that decides whether a member's next request is taken."""

    limits: Sequence[LimitLeft]
    grants: Sequence[Grant]
    rates: Sequence[RateLeft]
    jobs: Sequence[JobsLeft]
    is_exempt: bool
    least: Left | None
    """What may be drawn now in all; None where there is no limit."""
    refusal: LimitReached | None
    """What a request of the usual cost would be told now."""


class Allowances:
    """Reads what members may still draw."""

    def __init__(self, database: Database, host: HostRules, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._host = host
        self._clock = clock

    async def of(self, asker: Asker, cost: int) -> Allowance:
        """What this member may still draw here, where one more picture has this cost.

        Raises:
            RecordsUnavailable: the database failed.
        """
        now = self._clock()
        with told_to_members():
            async with self._database.session() as session:
                books = await at_once(session, read_books, [asker], self._host, now)
                refusal = _refusal(asker, cost, books, self._host, now)
                if refusal is not None:
                    refusal = await with_time(session, refusal, asker, now)
                limits = limits_of(asker, books.rules_of(asker.guild_id), self._host)
                rolling = await what_comes_back(session, limits, books, now)
        return allowance_in(books, asker, self._host, refusal, now, rolling)


def allowance_in(
    books: Books,
    asker: Asker,
    host: HostRules,
    refusal: LimitReached | None,
    now: datetime,
    rolling: Mapping[Limit, ComesBack] | None = None,
) -> Allowance:
    """What the books say of a member, and, of windows that roll, when what they have used comes back."""
    rules = books.rules_of(asker.guild_id)
    limits = limits_of(asker, rules, host)
    return Allowance(
        limits=[
            LimitLeft(
                limit=limit,
                left=books.left(limit, now),
                resets_at=limit.resets_at(now),
                comes_back=(rolling or {}).get(limit),
            )
            for limit in limits
        ],
        grants=books.grants.get((asker.guild_id, asker.user_id), []),
        rates=_rates(asker, books, rules, host, now),
        jobs=_jobs(asker, books, rules, host),
        is_exempt=rules.is_exempt(asker),
        least=least_left(asker, books, limits, now),
        refusal=refusal,
    )


def _refusal(asker: Asker, cost: int, books: Books, host: HostRules, now: datetime) -> LimitReached | None:
    try:
        decide(asker, cost, books, host, now)
    except LimitReached as error:
        return error
    return None


def _rates(asker: Asker, books: Books, rules: ServerRules, host: HostRules, now: datetime) -> list[RateLeft]:
    own = None if rules.is_exempt(asker) or not asker.guild_id else rules.rate
    return [
        RateLeft(
            rate=rate,
            left=rate.tokens(books.buckets.get((guild_id, asker.user_id)), now),
            everywhere=guild_id == EVERYWHERE,
        )
        for guild_id, rate in ((EVERYWHERE, host.rate), (asker.guild_id, own))
        if rate is not None
    ]


def _jobs(asker: Asker, books: Books, rules: ServerRules, host: HostRules) -> list[JobsLeft]:
    everywhere = sum(count for (_, user_id), count in books.live.items() if user_id == asker.user_id)
    here = books.live.get((asker.guild_id, asker.user_id), 0)
    own = None if rules.is_exempt(asker) else rules.concurrent_jobs
    return [
        JobsLeft(live=live, most=most, everywhere=is_everywhere)
        for live, most, is_everywhere in ((everywhere, host.concurrent_jobs, True), (here, own, False))
        if most is not None
    ]
