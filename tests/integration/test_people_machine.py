"""Appeals, reports and strikes driven through anything that may happen, against a model in plain Python.

Two members, two servers, moderators who may and who may not, a clock that goes on. What is checked after each
step: the state of every decision and picture, the strikes that count, and which words an overturned refusal
lets through.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    invariant,
    run_state_machine_as_test,
)
from sqlalchemy import select

from bot.database.models import AuditRow, BlockRow
from bot.database.people import AppealRow, ReportedPictureRow
from bot.database.session import at_once
from bot.safety.strike_book import strikes_of
from tests.fixtures.postgres import PostgresServer
from tests.integration.people_appeals import AppealRules
from tests.integration.people_model import HERE, MEMBERS, THERE
from tests.integration.people_reports import ReportRules
from tests.integration.test_ledger_machine import new_sqlite


class PeopleMachine(AppealRules, ReportRules):
    """Everything that members and moderators can press."""

    # --- what is always so ---

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        self.run(self.check())

    async def check(self) -> None:
        async with self.database.session() as session:
            states = {row.decision_id: row.state for row in await session.scalars(select(AppealRow))}
            pictures = {
                row.message_id: (row.state, bool(row.files))
                for row in await session.scalars(select(ReportedPictureRow))
            }
            blocked = {(row.guild_id, row.user_id) for row in await session.scalars(select(BlockRow))}
            changes = len((await session.scalars(select(AuditRow))).all())
            strikes = await at_once(session, strikes_of, MEMBERS, [HERE, THERE], self.now)
        assert states == {key: known.state for key, known in self.decisions.items()}
        assert pictures == {key: (known.state, known.kept) for key, known in self.pictures.items()}
        assert blocked == {
            (known.noted.guild_id, known.noted.user_id)
            for known in self.decisions.values()
            if known.state == "blocked"
        }
        assert changes == self.changes, "each change is in the log, and nothing else is"
        found = {
            (guild, user, strike.decision_id, strike.at, strike.weight)
            for (guild, user), those in strikes.items()
            for strike in those
        }
        assert found == {
            (strike.guild, strike.user, strike.decision, strike.at, strike.weight)
            for strike in self.strikes
            if strike.at > self.now - timedelta(days=60)
        }


@pytest.mark.parametrize(("kind", "examples"), [("sqlite", 5), ("postgresql", 1)])
def test_whatever_people_press_the_rules_hold(
    kind: str, examples: int, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        new_database = new_sqlite
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")

        def new_database(folder: Path) -> AbstractAsyncContextManager[str]:
            return server.new_database()

    run_state_machine_as_test(
        type("Machine", (PeopleMachine,), {"new_database": staticmethod(new_database)}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
