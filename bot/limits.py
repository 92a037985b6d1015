"""The decision on one request: accepted, and what it takes from where, or refused, and by which limit.

Step 4 of a request's life. Pure: `bot/reservations.py` reads the books and writes down what was decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.errors import (
    BlockedByHost,
    ChannelNotAllowed,
    LimitReached,
    MemberBlocked,
    Phrase,
    ServerSuspended,
    ServerSwitchedOff,
    StrikePause,
    TermsNotAccepted,
)
from bot.quota_errors import (
    HOSTS_LIMIT,
    SERVERS_LIMIT,
    CostsTooMuch,
    TooManyJobs,
    TooOften,
    quota_kind,
    whose,
)
from bot.quotas import Account, Asker, HostRules, Limit, Rate, ServerRules, limits_of
from bot.safety.strikes import Pause

EVERYWHERE = 0
"""In place of a server's id: the host's own limits, over all servers and direct messages."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Somebody may not draw; `until` None is for as long as nobody lifts it."""

    until: datetime | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What is left of pictures that an admin gave beside the quota."""

    id: int
    left: int
    expires_at: datetime | None


@dataclass(kw_only=True)
class Books:
    """What is known when requests are decided; `take` brings it up to date after each of them."""

    rules: dict[int, ServerRules] = field(default_factory=dict[int, ServerRules])
    used: dict[tuple[Account, datetime], int] = field(default_factory=dict[tuple[Account, datetime], int])
    grants: dict[tuple[int, int], list[Grant]] = field(default_factory=dict[tuple[int, int], list[Grant]])
    """By server and member."""
    buckets: dict[tuple[int, int], datetime] = field(default_factory=dict[tuple[int, int], datetime])
    """When they will be full, by server or EVERYWHERE and member."""
    live: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    """Jobs that wait or run, by server and member."""
    blocks: dict[tuple[int, int], Block] = field(default_factory=dict[tuple[int, int], Block])
    """By server or EVERYWHERE and member."""
    pauses: dict[tuple[int, int], Pause] = field(default_factory=dict[tuple[int, int], Pause])
    """Those that run, by server or EVERYWHERE and member."""
    accepted: frozenset[int] = frozenset()
    """Members who have accepted the terms of use."""

    def rules_of(self, guild_id: int) -> ServerRules:
        """The server's rules; the default ones where its admins chose nothing."""
        return self.rules.get(guild_id) or ServerRules()

    def left(self, limit: Limit, now: datetime) -> int:
        """What the window has left, not below 0: a quota can be lowered after it was used."""
        assert limit.quota.amount is not None
        return max(limit.quota.amount - self.used.get((limit.account, limit.starts_at(now)), 0), 0)

    def take(self, asker: Asker, charge: Charge, limits: Sequence[Limit], now: datetime) -> None:
        """Write a charge into these books, for the next request of the same transaction."""
        own = Account("member", asker.guild_id, asker.user_id)
        for account, since in {(limit.account, limit.starts_at(now)) for limit in limits}:
            amount = charge.parts.get(0, 0) if account == own else sum(charge.parts.values())
            self.used[account, since] = self.used.get((account, since), 0) + amount
        key = (asker.guild_id, asker.user_id)
        self.grants[key] = [
            Grant(id=grant.id, left=grant.left - charge.parts.get(grant.id, 0), expires_at=grant.expires_at)
            for grant in self.grants.get(key, [])
        ]
        self.live[key] = self.live.get(key, 0) + 1
        self.buckets.update(charge.buckets)


@dataclass(frozen=True, kw_only=True)
class Left:
    """What the limit that will be used up first leaves a member, grants included."""

    amount: int
    window: str


def least_left(asker: Asker, books: Books, limits: Sequence[Limit], now: datetime) -> Left | None:
    """What a member may still draw here now; None where no limit applies."""
    beside = grants_left(asker, books, now)
    lefts = [
        Left(
            amount=books.left(limit, now) + (beside if limit.scope == "member" else 0),
            window=limit.quota.window,
        )
        for limit in limits
    ]
    return min(lefts, key=lambda left: left.amount, default=None)


def grants_left(asker: Asker, books: Books, now: datetime) -> int:
    """What all grants together add to a member's quota."""
    return sum(grant.left for grant in _usable(books.grants.get((asker.guild_id, asker.user_id), []), now))


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What an accepted request takes: thousandths by grant (0: the quota), and tokens from buckets."""

    parts: dict[int, int]
    buckets: dict[tuple[int, int], datetime]


def decide(asker: Asker, cost: int, books: Books, host: HostRules, now: datetime) -> Charge:
    """What a request takes if it is accepted; the books stay as they are.

    Raises:
        LimitReached: which limit refuses it, how much is left, and when to try again.
    """
    rules = books.rules_of(asker.guild_id)
    _check_place(asker, rules, books, now)
    _check_person(asker, books, host)
    _check_live(asker, rules, books, host)
    buckets = _take_tokens(asker, rules, books, host, now)
    return Charge(parts=_split(asker, cost, books, limits_of(asker, rules, host), now), buckets=buckets)


def _check_place(asker: Asker, rules: ServerRules, books: Books, now: datetime) -> None:
    if rules.suspended:
        raise ServerSuspended
    if not rules.enabled:
        raise ServerSwitchedOff
    for guild_id, blocked in ((EVERYWHERE, BlockedByHost), (asker.guild_id, MemberBlocked)):
        block = books.blocks.get((guild_id, asker.user_id))
        if block is not None and (block.until is None or now < block.until):
            raise blocked(until=block.until, reason=block.reason)
    if rules.allowed_channels and asker.channel_id not in rules.allowed_channels:
        raise ChannelNotAllowed(channels=sorted(rules.allowed_channels))


def _check_person(asker: Asker, books: Books, host: HostRules) -> None:
    keys = {(guild_id, asker.user_id) for guild_id in (EVERYWHERE, asker.guild_id)}
    pauses = [pause for key, pause in books.pauses.items() if key in keys]
    if pauses:
        longest = max(pauses, key=lambda pause: pause.until)
        raise StrikePause(until=longest.until, decision_id=longest.decision_id)
    if host.terms_required and asker.user_id not in books.accepted:
        raise TermsNotAccepted


def _check_live(asker: Asker, rules: ServerRules, books: Books, host: HostRules) -> None:
    everywhere = sum(count for (_, user_id), count in books.live.items() if user_id == asker.user_id)
    here = books.live.get((asker.guild_id, asker.user_id), 0)
    if host.concurrent_jobs is not None and everywhere >= host.concurrent_jobs:
        raise TooManyJobs(whose=HOSTS_LIMIT, live=everywhere, limit=host.concurrent_jobs)
    own = None if rules.is_exempt(asker) else rules.concurrent_jobs
    if own is not None and here >= own:
        raise TooManyJobs(whose=SERVERS_LIMIT, live=here, limit=own)


def _take_tokens(
    asker: Asker, rules: ServerRules, books: Books, host: HostRules, now: datetime
) -> dict[tuple[int, int], datetime]:
    own = None if rules.is_exempt(asker) or not asker.guild_id else rules.rate
    rates: list[tuple[int, Rate | None, Phrase]] = [
        (EVERYWHERE, host.rate, HOSTS_LIMIT),
        (asker.guild_id, own, SERVERS_LIMIT),
    ]
    buckets: dict[tuple[int, int], datetime] = {}
    for guild_id, rate, of_whom in rates:
        if rate is None:
            continue
        key = (guild_id, asker.user_id)
        buckets[key], wait = rate.take(books.buckets.get(key), now)
        if wait is not None:
            raise TooOften(whose=of_whom, count=rate.count, seconds=rate.seconds, when=wait)
    return buckets


def _split(asker: Asker, cost: int, books: Books, limits: Sequence[Limit], now: datetime) -> dict[int, int]:
    """What comes from the quota (key 0), and from which grants once that is used up."""
    owed = 0
    for limit in limits:
        left = books.left(limit, now)
        if limit.scope == "member":
            owed = max(cost - left, 0)
        elif cost > left:
            raise refusal(limit, cost, left, now)
    parts = {0: cost - owed} if cost > owed else {}
    for grant in _usable(books.grants.get((asker.guild_id, asker.user_id), []), now):
        if owed and grant.left > 0:
            parts[grant.id] = min(grant.left, owed)
            owed -= parts[grant.id]
    if owed:
        own = next(limit for limit in limits if limit.scope == "member")
        raise refusal(own, cost, cost - owed, now, beside=grants_left(asker, books, now))
    return parts


def _usable(grants: Sequence[Grant], now: datetime) -> list[Grant]:
    """Those that did not expire, the soonest to expire first."""
    valid = [grant for grant in grants if grant.expires_at is None or now < grant.expires_at]
    return sorted(valid, key=lambda grant: (grant.expires_at is None, grant.expires_at or now, grant.id))


def refusal(limit: Limit, cost: int, left: int, now: datetime, *, beside: int = 0) -> LimitReached:
    """The error that tells a member of a limit: whose it is, how much is left, and when there will be more.

    `left` and the amount that is told have the grants in them that `beside` adds to the quota.
    """
    assert limit.quota.amount is not None
    kind = quota_kind(limit, cost, beside)
    return kind(
        whose=whose(limit, beside),
        cost=cost,
        left=left,
        amount=limit.quota.amount + beside,
        window=limit.quota.window,
        when=limit.resets_at(now),
        limit=None if issubclass(kind, CostsTooMuch) else limit,  # no time helps: none is looked for
    )
