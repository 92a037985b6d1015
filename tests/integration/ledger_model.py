"""What the ledger should say, in plain Python: the model that the ledger's state machine is held against."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bot.errors import LimitReached
from bot.jobs import Job, JobState
from bot.quota_errors import ChannelQuotaUsedUp, CostsTooMuch, MemberQuotaUsedUp, TooManyJobs

GUILD, CHANNELS, USERS = 5, (8, 9), (1, 2)
MEMBER_QUOTA, CHANNEL_QUOTA, AT_A_TIME = 1_500, 4_000, 4
"""Thousandths of a picture: little enough that grants are needed, and that each limit refuses at times."""


@dataclass
class ModelGrant:
    left: int
    expires_at: datetime


@dataclass
class ModelJob:
    job: Job
    day: datetime
    parts: dict[int, int]
    state: JobState = "queued"


@dataclass
class Model:
    """What the ledger should say."""

    jobs: list[ModelJob] = field(default_factory=list)
    grants: dict[int, dict[int, ModelGrant]] = field(default_factory=lambda: {user: {} for user in USERS})
    given_back: dict[tuple[int, datetime], int] = field(default_factory=dict)
    total: int = 0

    def used(self, user: int, day: datetime) -> int:
        taken = sum(
            job.parts.get(0, 0) for job in self.jobs if job.job.origin.user_id == user and job.day == day
        )
        return taken - self.given_back.get((user, day), 0)

    def used_in(self, channel: int, day: datetime) -> int:
        return sum(
            sum(job.parts.values())
            for job in self.jobs
            if job.job.origin.channel_id == channel and job.day == day
        )

    def live(self, user: int) -> list[ModelJob]:
        return [
            job for job in self.jobs if job.job.origin.user_id == user and job.state in ("queued", "running")
        ]

    def usable(self, user: int, now: datetime) -> dict[int, ModelGrant]:
        grants = {
            key: grant
            for key, grant in self.grants[user].items()
            if grant.left > 0 and now < grant.expires_at
        }
        return dict(sorted(grants.items(), key=lambda item: (item[1].expires_at, item[0])))

    def decide(
        self, user: int, channel: int, cost: int, now: datetime
    ) -> dict[int, int] | type[LimitReached]:
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if len(self.live(user)) >= AT_A_TIME:
            return TooManyJobs
        if cost > max(CHANNEL_QUOTA - self.used_in(channel, day), 0):
            return ChannelQuotaUsedUp
        own = max(MEMBER_QUOTA - self.used(user, day), 0)
        parts = {0: min(cost, own)} if own else {}
        owed = cost - min(cost, own)
        for key, grant in self.usable(user, now).items():
            if owed:
                parts[key] = min(grant.left, owed)
                owed -= parts[key]
        if owed:
            in_all = MEMBER_QUOTA + sum(grant.left for grant in self.usable(user, now).values())
            return CostsTooMuch if cost > in_all else MemberQuotaUsedUp
        return parts


MAY_ENTER: dict[JobState, tuple[JobState, ...]] = {
    "running": ("queued",),
    "succeeded": ("queued", "running"),
    "delivered": ("succeeded",),
    "failed": ("queued", "running", "succeeded"),
    "refused": ("queued", "running", "succeeded"),
    "cancelled": ("queued", "running"),
    "queued": ("running", "succeeded"),
}
"""Said again here, so that a transition is not changed without anybody meaning it."""

PAYS = ("delivered", "failed", "refused", "cancelled")
