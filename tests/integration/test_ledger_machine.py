"""The ledger and the states of jobs driven through anything that may happen, against a model in plain Python.

Real transactions on a real database: requests that arrive together, jobs that end in every way, grants,
expiry, resets, a clock that goes on, transactions that break off, and restarts. What is checked after each
step: who may draw what, that every job's entries have the sum that its state says, and that the whole ledger
is the sum of what the model knows.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bot.jobs import Job, JobState, Origin
from bot.quotas import Account, HostRules, Quota
from tests.fixtures.postgres import PostgresServer
from tests.integration.ledger_bot import LedgerBot
from tests.integration.ledger_model import (
    AT_A_TIME,
    CHANNEL_QUOTA,
    CHANNELS,
    GUILD,
    MAY_ENTER,
    MEMBER_QUOTA,
    PAYS,
    USERS,
    Model,
    ModelGrant,
    ModelJob,
)

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)


class LedgerMachine(RuleBasedStateMachine):
    """One server with a quota for its members and one for its channels."""

    new_database: Callable[[Path], AbstractAsyncContextManager[str]]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.files = type(self).new_database(Path(self.folder.name))
        self.now = MIDNIGHT + timedelta(hours=9)
        self.model = Model()
        self.interactions = 0
        host = HostRules(default_quota=Quota(amount=MEMBER_QUOTA, window="day"), concurrent_jobs=AT_A_TIME)
        self.bot = LedgerBot(self.run(self.files.__aenter__()), host, lambda: self.now)
        self.run(self.bot.start())
        self.run(self.bot.set_quotas(GUILD, CHANNELS, CHANNEL_QUOTA))

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        self.run(self.bot.stop())
        self.run(self.files.__aexit__(None, None, None))
        self.runner.close()
        self.folder.cleanup()

    # --- the bot's process ---

    @rule()
    def restart(self) -> None:
        self.run(self.bot.stop())
        self.run(self.bot.start())

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    # --- members ---

    @rule(
        wishes=st.lists(
            st.tuples(st.sampled_from(USERS), st.sampled_from(CHANNELS), st.integers(1, 120)),
            min_size=1,
            max_size=5,
        )
    )
    def ask_together(self, wishes: list[tuple[int, int, int]]) -> None:
        origins = [self.origin(user, channel) for user, channel, _ in wishes]
        steps = [steps for _, _, steps in wishes]
        outcomes = self.run(self.bot.reserve_all(list(zip(steps, origins, strict=True))))
        for (user, channel, _), outcome in zip(wishes, outcomes, strict=True):
            cost = outcome.cost if isinstance(outcome, Job) else int(outcome.fields.get("cost", 0))
            expected = self.model.decide(user, channel, cost, self.now)
            if isinstance(outcome, Job):
                assert isinstance(expected, dict), expected
                self.record(outcome, expected)
            else:
                assert type(outcome) is expected

    def origin(self, user: int, channel: int) -> Origin:
        self.interactions += 1
        return Origin(interaction_id=self.interactions, user_id=user, guild_id=GUILD, channel_id=channel)

    def record(self, job: Job, parts: dict[int, int]) -> None:
        day = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        self.model.jobs.append(ModelJob(job=job, day=day, parts=dict(parts)))
        self.model.total -= job.cost
        user = job.origin.user_id or 0
        for key, amount in parts.items():
            if key:
                self.model.grants[user][key].left -= amount

    # --- jobs ---

    @precondition(lambda self: self.model.jobs)
    @rule(
        data=st.data(),
        state=st.sampled_from(
            ["running", "succeeded", "delivered", "failed", "cancelled", "refused", "queued"]
        ),
        share=st.integers(0, 10),
        breaks_off=st.booleans(),
    )
    def enter(self, data: st.DataObject, state: JobState, share: int, breaks_off: bool) -> None:
        known = data.draw(st.sampled_from(self.model.jobs))
        used = known.job.cost * share // 10
        job = replace(known.job, state=known.state)
        outcome = self.run(self.bot.enter(job, state, used=used, breaks_off=breaks_off))
        assert (outcome is None) == (known.state in MAY_ENTER[state] and not breaks_off), outcome
        if outcome is None:
            known.state = state
            if state in PAYS:
                self.close_account(known, {"delivered": known.job.cost, "cancelled": used}.get(state, 0))

    def close_account(self, known: ModelJob, used: int) -> None:
        """What was not used comes back: to the quota of that day, and to the grants that paid."""
        self.model.total += known.job.cost - used
        grants = self.model.grants[known.job.origin.user_id or 0]
        for key in sorted(known.parts):
            kept = min(used, known.parts[key])
            used -= kept
            if key:
                grants[key].left += known.parts[key] - kept
            known.parts[key] = kept

    # --- admins ---

    @rule(user=st.sampled_from(USERS), amount=st.integers(1, 3000), hours=st.integers(1, 50))
    def grant(self, user: int, amount: int, hours: int) -> None:
        expires_at = self.now + timedelta(hours=hours)
        key = self.run(self.bot.grant(GUILD, user, amount, expires_at))
        self.model.grants[user][key] = ModelGrant(amount, expires_at)
        self.model.total += amount

    @rule()
    def expire(self) -> None:
        self.run(self.bot.expire())
        for grants in self.model.grants.values():
            for grant in grants.values():
                if grant.expires_at <= self.now and grant.left > 0:
                    self.model.total -= grant.left
                    grant.left = 0

    @rule(user=st.sampled_from(USERS))
    def reset(self, user: int) -> None:
        day = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        self.run(self.bot.reset(GUILD, user, day))
        waiting = sum(
            job.parts.get(0, 0)
            for job in self.model.jobs
            if job.job.origin.user_id == user and job.day == day and job.state not in PAYS
        )
        used = max(self.model.used(user, day) - waiting, 0)
        self.model.given_back[user, day] = self.model.given_back.get((user, day), 0) + used
        self.model.total += used

    # --- what must hold ---

    @invariant()
    def the_books_are_the_models(self) -> None:
        self.run(self.compare())

    async def compare(self) -> None:
        day = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        members = {user: Account("member", GUILD, user) for user in USERS}
        channels = {channel: Account("channel", GUILD, channel) for channel in CHANNELS}
        used = await self.bot.used([*members.values(), *channels.values()], day)
        grants = await self.bot.grants(USERS)
        assert {user: used[key] for user, key in members.items()} == {
            user: self.model.used(user, day) for user in USERS
        }
        assert {channel: used[key] for channel, key in channels.items()} == {
            channel: self.model.used_in(channel, day) for channel in CHANNELS
        }
        for user in USERS:
            left = {grant.id: grant.left for grant in grants.get((GUILD, user), [])}
            assert left == {key: grant.left for key, grant in self.model.usable(user, self.now).items()}
        assert await self.bot.total() == self.model.total
        assert not await self.bot.discrepancies(Path(self.folder.name) / "pictures")


@asynccontextmanager
async def new_sqlite(folder: Path) -> AsyncIterator[str]:
    yield f"sqlite+aiosqlite:///{folder / 'trinart.db'}"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_no_interleaving_loses_or_makes_pictures(kind: str, request: pytest.FixtureRequest) -> None:
    if kind == "sqlite":
        new_database = new_sqlite
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")

        def new_database(folder: Path) -> AbstractAsyncContextManager[str]:
            return server.new_database()

    run_state_machine_as_test(
        type("Machine", (LedgerMachine,), {"new_database": staticmethod(new_database)}),
        settings=settings(
            max_examples=8,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
