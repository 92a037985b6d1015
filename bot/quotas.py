"""Quotas: what a picture costs, how much may be drawn in which window, and which limits a request meets.

Step 4 of a request's life. Pure rules: the clock is passed in, the sums come from `bot/balances.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, Self, TypeAlias
from zoneinfo import ZoneInfo

from engine.protocol import GenerationRequest, ModelCard

CLOCKS_DIFFER = timedelta(minutes=5)
"""How far the clocks of processes may be apart. What is later was written by a clock that was wrong."""

PICTURE = 1000
"""Amounts are whole thousandths of a 512x512 picture of 30 steps."""
PICTURE_WORK = 512 * 512 * 30

MAX_AMOUNT = 1_000_000 * PICTURE
MAX_ROLLING_HOURS = 24 * 92

CalendarWindow = Literal["day", "week", "month"]
_CALENDAR_HOURS = {"day": 24.0, "week": 168.0, "month": 730.5}

Scope = Literal["member", "channel", "server", "host_member", "host_server"]
Giver = Literal["own", "role", "server", "host"]
"""Whose choice a member's quota is: made for this member, for a role, for every member, or by the host."""


def cost_of(request: GenerationRequest) -> int:
    """Thousandths of a picture: pixels x steps x images, rounded up; img2img does only some of the steps."""
    steps = request.num_inference_steps
    if request.init_image:
        steps = max(1, int(steps * request.strength))
    work = request.width * request.height * steps * request.num_images_per_prompt
    return -(-work * PICTURE // PICTURE_WORK)


def cost_of_usual(card: ModelCard) -> int:
    """What one picture costs whose size and steps are left to the model."""
    width, height = next(iter(card.sizes.values()))
    return -(-width * height * card.default_steps * PICTURE // PICTURE_WORK)


def cost_of_steps(cost: int, done: int, steps: int) -> int:
    """The part of a cost that `done` of `steps` stand for, rounded up."""
    return -(-cost * min(done, steps) // steps) if steps else cost


@dataclass(frozen=True, kw_only=True)
class Quota:
    """At most `amount` thousandths of a picture in a window; None is unlimited.

    `window` is `day`, `week` (from Monday) or `month` in the server's time zone, or hours such as `24h`:
    the hours before now.
    """

    amount: int | None
    window: str = "day"

    def __post_init__(self) -> None:
        if self.amount is not None and not 0 <= self.amount <= MAX_AMOUNT:
            raise ValueError(f"must be between 0 and {MAX_AMOUNT // PICTURE} pictures")
        if self.window not in _CALENDAR_HOURS and not 1 <= self.hours <= MAX_ROLLING_HOURS:
            raise ValueError(f"the window must be day, week, month, or hours from 1h to {MAX_ROLLING_HOURS}h")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `30/day`, `2.5/24h` or `unlimited`.

        Raises:
            ValueError: it is none of these.
        """
        text = text.strip().casefold()
        if text == "unlimited":
            return cls(amount=None)
        match = re.fullmatch(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)\s*/\s*([a-z0-9]+)", text, re.ASCII)
        if match is None:
            raise ValueError("must look like 30/day, 200/week, 500/month, 50/24h or unlimited")
        return cls(amount=round(float(match[1]) * PICTURE), window=match[2])

    def __str__(self) -> str:
        return "unlimited" if self.amount is None else f"{self.amount / PICTURE:.12g}/{self.window}"

    @property
    def hours(self) -> float:
        """How long the window is; a month's hours on average. 0 for what is no window."""
        if self.window in _CALENDAR_HOURS:
            return _CALENDAR_HOURS[self.window]
        match = re.fullmatch(r"([0-9]{1,5})h", self.window, re.ASCII)
        return float(match[1]) if match else 0.0

    @property
    def generosity(self) -> float:
        """Orders quotas of different windows by what they give in an hour."""
        return float("inf") if self.amount is None else self.amount / self.hours

    def starts_at(self, now: datetime, timezone: ZoneInfo) -> datetime:
        """The beginning of the window that `now` is in, in UTC."""
        if self.window not in _CALENDAR_HOURS:
            return now - timedelta(hours=self.hours)
        return _midnight(_first_day(now.astimezone(timezone), self.window))

    def resets_at(self, now: datetime, timezone: ZoneInfo) -> datetime | None:
        """When the window ends, in UTC; None where it has no end because it rolls."""
        if self.window not in _CALENDAR_HOURS:
            return None
        first = _first_day(now.astimezone(timezone), self.window)
        if self.window == "month":
            return _midnight(_first_day(first + timedelta(days=31), "month"))
        return _midnight(first + timedelta(days=7 if self.window == "week" else 1))


def _first_day(local: datetime, window: str) -> datetime:
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if window == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if window == "month" else day


def _midnight(local: datetime) -> datetime:
    """A local midnight in UTC: its offset is looked up anew, so a day may have 23 or 25 hours."""
    return local.astimezone(UTC)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A token bucket: `count` requests at once, refilled within `seconds`."""

    count: int
    seconds: int

    def __post_init__(self) -> None:
        if not (1 <= self.count <= 1000 and 1 <= self.seconds <= 86_400):
            raise ValueError("must be 1 to 1000 requests in 1 second to 24 hours")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `5/min`, `20/h` or `3/10s`.

        Raises:
            ValueError: it is none of these.
        """
        match = re.fullmatch(r"([0-9]{1,4})\s*/\s*([0-9]{0,5})(s|min|h)", text.strip().casefold(), re.ASCII)
        if match is None:
            raise ValueError("must look like 5/min, 20/h or 3/10s")
        return cls(count=int(match[1]), seconds=int(match[2] or 1) * {"s": 1, "min": 60, "h": 3600}[match[3]])

    def __str__(self) -> str:
        return f"{self.count}/{self.seconds}s"

    def take(self, full_at: datetime | None, now: datetime) -> tuple[datetime, datetime | None]:
        """Take a token from a bucket that will be full at `full_at`.

        Returns:
            When the bucket will be full then; and, if it was empty, when there will be a token.
        """
        one, whole = self._one, timedelta(seconds=self.seconds)
        # A clock that was set back would otherwise lock members out for as long as it jumped.
        full_at = min(max(full_at or now, now), now + whole)
        taken = full_at + one
        return (taken, None) if taken <= now + whole else (full_at, taken - whole)

    def tokens(self, full_at: datetime | None, now: datetime) -> int:
        """How many can be taken at once now."""
        whole = timedelta(seconds=self.seconds)
        missing = min(max((full_at or now) - now, timedelta(0)), whole)
        return (whole - missing) // self._one

    @property
    def _one(self) -> timedelta:
        """How long a token takes to come back: rounded down, or the last of them would not fit."""
        return timedelta(microseconds=self.seconds * 1_000_000 // self.count)


AccountKind: TypeAlias = Literal["member", "channel", "server", "user"]


class Account(NamedTuple):
    """Whose entries are summed: of a member in a server, a channel, a server, or a user over all servers."""

    kind: AccountKind
    guild_id: int
    subject_id: int


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Who asks, and where. `guild_id` is 0 in direct messages; a thread's `channel_id` is its parent's."""

    user_id: int
    guild_id: int = 0
    channel_id: int = 0
    role_ids: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class ServerRules:
    """What a server's admins chose. The default is what holds where nobody chose anything."""

    enabled: bool = True
    suspended: bool = False
    timezone: str = "UTC"
    allowed_channels: frozenset[int] = frozenset()
    exempt_roles: frozenset[int] = frozenset()
    quotas: Mapping[tuple[str, int], Quota] = field(default_factory=dict[tuple[str, int], Quota])
    """By scope (`default`, `member`, `role`, `channel`, `server`) and the id of its subject, 0 for none."""
    rate: Rate | None = None
    concurrent_jobs: int | None = None

    def is_exempt(self, asker: Asker) -> bool:
        """Whether the server's own limits leave this member alone."""
        return bool(self.exempt_roles & asker.role_ids)


@dataclass(frozen=True, kw_only=True)
class HostRules:
    """What the host allows: the default where a server says nothing, and caps over everything it says."""

    default_quota: Quota = Quota(amount=None)
    member_cap: Quota = Quota(amount=None)
    server_cap: Quota = Quota(amount=None)
    rate: Rate | None = None
    concurrent_jobs: int | None = None
    terms_required: bool = False
    """Whether members have to accept the terms of use before their first picture."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A quota that a request meets, and the account whose sum it limits."""

    scope: Scope
    quota: Quota
    account: Account
    timezone: ZoneInfo
    giver: Giver = "own"
    """Of a member's quota."""
    role_id: int = 0
    """The role that gives it, if one does."""

    def starts_at(self, now: datetime) -> datetime:
        """The beginning of its window."""
        return self.quota.starts_at(now, self.timezone)

    def resets_at(self, now: datetime) -> datetime | None:
        """The end of its window, None if it rolls."""
        return self.quota.resets_at(now, self.timezone)


def limits_of(asker: Asker, rules: ServerRules, host: HostRules) -> list[Limit]:
    """All quotas that a request of this member meets here, the member's own first, without unlimited ones."""
    timezone, utc = ZoneInfo(rules.timezone), ZoneInfo("UTC")
    here = asker.guild_id
    limits: list[Limit] = []

    def add(scope: Scope, quota: Quota | None, account: Account, zone: ZoneInfo) -> None:
        if quota is not None and quota.amount is not None:
            limits.append(Limit(scope=scope, quota=quota, account=account, timezone=zone))

    if not rules.is_exempt(asker):
        own = member_quota(asker, rules, host)
        add("member", own.quota, Account("member", here, asker.user_id), timezone)
        limits = [replace(limit, giver=own.giver, role_id=own.role_id) for limit in limits]
    if here:
        channel = rules.quotas.get(("channel", asker.channel_id))
        add("channel", channel, Account("channel", here, asker.channel_id), timezone)
        add("server", rules.quotas.get(("server", 0)), Account("server", here, 0), timezone)
        add("host_server", host.server_cap, Account("server", here, 0), utc)
    add("host_member", host.member_cap, Account("user", 0, asker.user_id), utc)
    return limits


class MemberQuota(NamedTuple):
    """What a member may draw in a server, and whose choice that is."""

    quota: Quota
    giver: Giver
    role_id: int = 0


def member_quota(asker: Asker, rules: ServerRules, host: HostRules) -> MemberQuota:
    """The member's own, or the best of the member's roles, or the server's default, or the host's."""
    if own := rules.quotas.get(("member", asker.user_id)):
        return MemberQuota(own, "own")
    of_roles = {role_id: rules.quotas.get(("role", role_id)) for role_id in sorted(asker.role_ids)}
    given = [MemberQuota(quota, "role", role_id) for role_id, quota in of_roles.items() if quota]
    if given:
        return max(given, key=lambda one: one.quota.generosity)
    if default := rules.quotas.get(("default", 0)):
        return MemberQuota(default, "server")
    return MemberQuota(host.default_quota, "host")
