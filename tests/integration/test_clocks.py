"""Clocks that were wrong: what was written meanwhile keeps nobody from drawing, and gives nobody more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from bot.allowances import Allowances
from bot.database.session import Database
from bot.job_store import JobStore
from bot.jobs import Job, Origin
from bot.quota_errors import MemberQuotaUsedUp
from bot.quotas import CLOCKS_DIFFER, Asker, HostRules, Quota, cost_of
from bot.reservations import Reservations
from bot.rolling import TICK
from tests.fixtures.stored import REQUEST

COST = cost_of(REQUEST)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""A Monday: what is two hours ahead is in the same day, week and month."""

WINDOWS = pytest.mark.parametrize("window", ["day", "week", "month", "24h"])


@dataclass
class Wall:
    """A bot whose clock a test sets, with a quota of one picture."""

    database: Database
    now: datetime = NOON

    def host(self, window: str) -> HostRules:
        return HostRules(default_quota=Quota(amount=COST, window=window))

    async def draw(self, window: str, number: int) -> Job:
        reservations = Reservations(self.database, self.host(window), clock=lambda: self.now)
        return await reservations.reserve(REQUEST, Origin(interaction_id=number, user_id=1, guild_id=5))

    async def left(self, window: str) -> int:
        allowances = Allowances(self.database, self.host(window), clock=lambda: self.now)
        [limit] = (await allowances.of(Asker(user_id=1, guild_id=5), COST)).limits
        return limit.left


@pytest.fixture
async def wall(database_url: str) -> AsyncIterator[Wall]:
    async with Database.connect(database_url) as database:
        yield Wall(database)


@WINDOWS
async def test_what_a_clock_that_was_ahead_wrote_blocks_nobody(wall: Wall, window: str) -> None:
    wall.now = NOON + timedelta(hours=2)
    await wall.draw(window, 1)
    wall.now = NOON
    assert await wall.left(window) == COST
    await wall.draw(window, 2)
    with pytest.raises(MemberQuotaUsedUp) as refused:
        await wall.draw(window, 3)
    if window == "24h":
        assert refused.value.fields["when"] == NOON + timedelta(hours=24) + TICK


@WINDOWS
async def test_clocks_that_differ_a_little_give_nobody_more(wall: Wall, window: str) -> None:
    """Two processes of one bot: what the one that is ahead wrote counts for the other at once."""
    wall.now = NOON + CLOCKS_DIFFER - timedelta(microseconds=1)
    await wall.draw(window, 1)
    wall.now = NOON
    assert await wall.left(window) == 0
    with pytest.raises(MemberQuotaUsedUp):
        await wall.draw(window, 2)


async def test_the_bound_itself_is_out(wall: Wall) -> None:
    wall.now = NOON + CLOCKS_DIFFER
    await wall.draw("day", 1)
    wall.now = NOON
    assert await wall.left("day") == COST


async def test_a_clock_that_was_behind_gives_nobody_more(wall: Wall) -> None:
    """What it wrote is in the window as soon as the clock is right."""
    wall.now = NOON - timedelta(hours=2)
    await wall.draw("day", 1)
    wall.now = NOON
    with pytest.raises(MemberQuotaUsedUp):
        await wall.draw("day", 2)


async def test_jobs_of_a_clock_that_was_ahead_are_taken_up_at_once(wall: Wall) -> None:
    """Not only at the time that it showed: until then they would hold their cost."""
    wall.now = NOON + timedelta(hours=5)
    await wall.draw("month", 1)
    wall.now = NOON
    jobs = JobStore(wall.database, clock=lambda: wall.now)

    assert len(await jobs.unfinished(created_before=NOON - timedelta(seconds=30))) == 1


async def test_jobs_of_this_moment_are_left_to_those_who_accepted_them(wall: Wall) -> None:
    await wall.draw("month", 1)
    jobs = JobStore(wall.database, clock=lambda: wall.now)

    assert await jobs.unfinished(created_before=NOON - timedelta(seconds=30)) == []
