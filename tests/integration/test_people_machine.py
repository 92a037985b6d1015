"""Appeals, reports and strikes driven through anything that may happen, against a model in plain Python.

Two members, two servers, moderators who may and who may not, a clock that goes on. What is checked after each
step: the state of every decision and picture, the strikes that count, and which words an overturned refusal
lets through.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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
from sqlalchemy import select

from bot.audit import Admin
from bot.database.models import AuditRow, BlockRow
from bot.database.people import AppealRow, ReportedPictureRow
from bot.database.session import Database
from bot.errors import MemberError
from bot.safety.appeals import MOST_APPEALS, Appeals, Ruling
from bot.safety.errors import (
    AlreadyAppealed,
    AlreadyDecided,
    DecisionForgotten,
    NobodyTakesAppeals,
    NotAgeRestricted,
    NotAModerator,
    NothingToReport,
    NotShownThereNow,
    NotYourDecision,
    OnlyTheHostDecides,
    PictureGone,
    TooManyAppeals,
)
from bot.safety.host_appeals import HostAppeals, HostRuling
from bot.safety.kept_files import KeptFiles, ShownFile
from bot.safety.moderation import ModerationChanges
from bot.safety.noted import ALLOWED_FOR, Noted, hash_of_texts, is_overturned
from bot.safety.places import Place
from bot.safety.reports import KEPT_FOR, REPORTS_TO_HIDE, PictureMessage, Reports, Shown
from bot.safety.rulings import PictureRuling, PictureRulings
from bot.safety.strike_book import EVERYWHERE, StrikeBook, strikes_of
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.safety import release_desk
from tests.integration.people_store import MIDNIGHT, administration_of, job_of, strict_channel
from tests.integration.test_ledger_machine import new_sqlite

HERE, THERE = 7, 8
"""Only the first server has a channel for its moderators."""
MEMBERS = (11, 12)
REPORTERS = (21, 22, 23, 24)
MODERATOR = 31
WEIGHTS = {"sexual_minor": 2, "report": 1}
SHOWN = Shown(
    content="",
    embeds=(),
    files=(ShownFile(name="trinart-1.png", description="a", data=b"picture"),),
    is_age_restricted=True,
)
PLACES = {
    "as before": Place(guild_id=HERE, channel_id=1, is_age_restricted=True),
    "for everybody": Place(guild_id=HERE, channel_id=1),
    "strict": Place(guild_id=HERE, channel_id=2, is_age_restricted=True),
}
"""What the channel of a picture may have become."""


@dataclass(kw_only=True)
class ModelDecision:
    noted: Noted
    state: str = "possible"
    posted: bool = False
    opened: datetime | None = None
    decided: datetime | None = None


@dataclass(kw_only=True)
class ModelPicture:
    author: int
    guild: int
    state: str = "none"
    reporters: set[int] = field(default_factory=set[int])
    hidden: datetime | None = None
    kept: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelStrike:
    decision: str
    guild: int
    user: int
    at: datetime
    weight: int


class PeopleMachine(RuleBasedStateMachine):
    """Everything that members and moderators can press."""

    new_database: Callable[[Path], AbstractAsyncContextManager[str]]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.files = type(self).new_database(Path(self.folder.name))
        self.now = MIDNIGHT
        self.decisions: dict[str, ModelDecision] = {}
        self.pictures: dict[int, ModelPicture] = {}
        self.strikes: list[ModelStrike] = []
        self.changes = 1
        self.run(self.open())

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    async def open(self) -> None:
        self.connection = Database.connect(await self.files.__aenter__())
        self.database = await self.connection.__aenter__()
        self.appeals = Appeals(self.database, clock=lambda: self.now)
        files = KeptFiles(Path(self.folder.name) / "reported")
        self.reports = Reports(self.database, files, clock=lambda: self.now)
        desk = release_desk(self.database, Path(self.folder.name))
        self.rulings = PictureRulings(self.database, files, desk, clock=lambda: self.now)
        administration = administration_of(self.database, lambda: self.now)
        self.book: StrikeBook = administration.strikes
        self.host_appeals: HostAppeals = administration.host_appeals
        await administration.moderation.change(self.admin(HERE), ModerationChanges(channel=1))
        await self.database.write(strict_channel(HERE, PLACES["strict"].channel_id))

    def teardown(self) -> None:
        self.run(self.close())
        self.runner.close()
        self.folder.cleanup()

    async def close(self) -> None:
        await self.connection.__aexit__(None, None, None)
        await self.files.__aexit__(None, None, None)

    def admin(self, guild: int, *, may: bool = True) -> Admin:
        return Admin(actor_id=MODERATOR, guild_id=guild, may_manage=may)

    def outcome(self, coroutine: Any) -> Any:
        """What came of it: the class of a refusal, or the result."""
        try:
            return self.run(coroutine)
        except MemberError as error:
            return type(error)

    @rule(hours=st.integers(1, 400))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    # --- decisions and appeals ---

    @rule(
        user=st.sampled_from(MEMBERS),
        guild=st.sampled_from([HERE, HERE, THERE]),
        kind=st.sampled_from(["prompt", "picture"]),
        reasons=st.sampled_from([("sexual",), ("sexual_minor",), ("server_list", "sexual_minor")]),
        again=st.booleans(),
    )
    def note(self, user: int, guild: int, kind: Any, reasons: tuple[str, ...], again: bool) -> None:
        noted = Noted(
            decision_id=f"{len(self.decisions):032x}",
            kind=kind,
            guild_id=guild,
            channel_id=1,
            user_id=user,
            reasons=reasons,
            prompt="x",
            prompt_hash=hash_of_texts("x", str(len(self.decisions) % 3)),
        )
        for _ in range(2 if again else 1):
            self.run(self.appeals.note(noted))
        self.decisions[noted.decision_id] = ModelDecision(noted=noted)
        if kind == "prompt" and "sexual_minor" in reasons:
            self.strike(noted, EVERYWHERE, "sexual_minor")

    def strike(self, noted: Noted, guild: int, reason: str) -> None:
        given = ModelStrike(
            decision=noted.decision_id,
            guild=guild,
            user=noted.user_id,
            at=self.now,
            weight=WEIGHTS[reason],
        )
        self.strikes.append(given)

    @precondition(lambda self: self.decisions)
    @rule(data=st.data(), stranger=st.sampled_from([0, 0, 0, *MEMBERS]), arrives=st.booleans())
    def appeal(self, data: st.DataObject, stranger: int, arrives: bool) -> None:
        decision_id = data.draw(st.sampled_from([*self.decisions, *self.decisions, "none"]))
        known = self.decisions.get(decision_id)
        user = stranger or (known.noted.user_id if known is not None else MEMBERS[0])
        outcome = self.outcome(self.appeals.open(decision_id, user, "en-US"))
        expected = self.refusal(known, user)
        assert (outcome if isinstance(outcome, type) else None) is expected
        if expected is None and known is not None:
            known.opened = known.opened or self.now
            known.state = "open"
            if arrives:
                self.run(self.appeals.posted(decision_id, 5))
                known.posted = True

    def refusal(self, known: ModelDecision | None, user: int) -> type[MemberError] | None:
        if known is None:
            return DecisionForgotten
        if known.noted.user_id != user:
            return NotYourDecision
        for_host = "sexual_minor" in known.noted.reasons
        if known.state != "possible" and (known.state != "open" or known.posted or for_host):
            return AlreadyAppealed
        if known.noted.guild_id != HERE and not for_host:
            return NobodyTakesAppeals
        recent = [
            other
            for other in self.decisions.values()
            if other.noted.user_id == user and other.opened and other.opened > self.now - timedelta(hours=24)
        ]
        return TooManyAppeals if known.state == "possible" and len(recent) >= MOST_APPEALS else None

    @precondition(lambda self: self.decisions)
    @rule(
        data=st.data(),
        guild=st.sampled_from([HERE, HERE, HERE, THERE]),
        may=st.sampled_from([True, True, True, False]),
        ruling=st.sampled_from(["uphold", "overturn", "block"]),
    )
    def decide(self, data: st.DataObject, guild: int, may: bool, ruling: Ruling) -> None:
        waiting = [key for key, known in self.decisions.items() if known.state == "open"]
        decision_id = data.draw(st.sampled_from([*self.decisions, *waiting * 3]))
        known = self.decisions[decision_id]
        outcome = self.outcome(self.appeals.decide(self.admin(guild, may=may), decision_id, ruling))
        expected: type[MemberError] | None = None
        if not may:
            expected = NotAModerator
        elif known.noted.guild_id != guild:
            expected = DecisionForgotten
        elif known.state != "open":
            expected = AlreadyDecided
        elif "sexual_minor" in known.noted.reasons:
            expected = OnlyTheHostDecides
        assert (outcome if isinstance(outcome, type) else None) is expected
        if expected is None:
            known.state = {"uphold": "upheld", "overturn": "overturned", "block": "blocked"}[ruling]
            known.decided = self.now
            self.changes += 1
            if ruling == "overturn":
                self.strikes = [strike for strike in self.strikes if strike.decision != decision_id]

    @precondition(lambda self: self.decisions)
    @rule(data=st.data(), ruling=st.sampled_from(["uphold", "overturn"]))
    def decide_as_host(self, data: st.DataObject, ruling: HostRuling) -> None:
        waiting = [
            key
            for key, known in self.decisions.items()
            if known.state == "open" and "sexual_minor" in known.noted.reasons
        ]
        host = self.admin(EVERYWHERE)
        found = [appeal.decision.decision_id for appeal in self.run(self.host_appeals.waiting(host))]
        assert sorted(found) == waiting
        decision_id = data.draw(st.sampled_from([*self.decisions, *waiting * 5]))
        known = self.decisions[decision_id]
        outcome = self.outcome(self.host_appeals.decide(host, decision_id, ruling))
        if decision_id not in waiting:
            is_theirs = "sexual_minor" in known.noted.reasons
            assert outcome is (AlreadyDecided if is_theirs else DecisionForgotten)
            return
        known.state, known.decided = {"uphold": "upheld", "overturn": "overturned"}[ruling], self.now
        self.changes += 1
        if ruling == "overturn":
            self.strikes = [strike for strike in self.strikes if strike.decision != decision_id]

    # --- reports ---

    @rule(
        message=st.integers(1, 3),
        reporter=st.sampled_from(REPORTERS),
        is_moderator=st.sampled_from([False, False, False, True]),
    )
    def report(self, message: int, reporter: int, is_moderator: bool) -> None:
        if message not in self.pictures:
            guild, author = (HERE, MEMBERS[0]) if message < 3 else (THERE, MEMBERS[1])
            self.run(self.database.write(job_of(message, author)))
            self.pictures[message] = ModelPicture(author=author, guild=guild)
        known = self.pictures[message]
        outcome = self.outcome(
            self.reports.report(self.message(message), reporter, is_moderator=is_moderator)
        )
        if known.state in ("restored", "removed"):
            assert outcome is NothingToReport
            return
        known.state = "reported" if known.state == "none" else known.state
        known.reporters.add(reporter)
        if known.state == "reported" and (is_moderator or len(known.reporters) >= REPORTS_TO_HIDE):
            known.state, known.hidden = "hidden", self.now
        assert (outcome.count, outcome.is_hidden) == (len(known.reporters), known.state == "hidden")
        if outcome.is_hidden and not known.kept:
            self.run(self.reports.keep(message, SHOWN))
            known.kept = True

    def message(self, message: int) -> PictureMessage:
        guild = self.pictures[message].guild
        return PictureMessage(message_id=message, guild_id=guild, channel_id=1, job_id=f"{message:032x}")

    @rule()
    def expire(self) -> None:
        self.run(self.reports.expire())
        for known in self.pictures.values():
            if known.hidden and known.hidden < self.now - KEPT_FOR:
                known.kept = False

    @precondition(lambda self: self.pictures)
    @rule(
        data=st.data(),
        guild=st.sampled_from([HERE, HERE, THERE]),
        may=st.sampled_from([True, True, True, False]),
        ruling=st.sampled_from(["restore", "remove"]),
        place=st.sampled_from(["as before", "as before", *PLACES]),
    )
    def look(self, data: st.DataObject, guild: int, may: bool, ruling: PictureRuling, place: str) -> None:
        message = data.draw(st.sampled_from([*self.pictures]))
        known, admin = self.pictures[message], self.admin(guild, may=may)
        act = (
            self.rulings.restore(admin, message, PLACES[place])
            if ruling == "restore"
            else self.rulings.remove(admin, message)
        )
        outcome = self.outcome(act)
        expected: type[MemberError] | None = None
        done = f"{ruling}d"
        if not may:
            expected = NotAModerator
        elif known.guild != guild:
            expected = DecisionForgotten
        elif known.state not in ("hidden", done):
            expected = AlreadyDecided
        elif ruling == "restore" and not known.kept:
            expected = PictureGone
        elif ruling == "restore" and place != "as before":
            expected = NotAgeRestricted if place == "for everybody" else NotShownThereNow
        assert (outcome if isinstance(outcome, type) else None) is expected
        if expected is not None or known.state == done:
            return
        known.state = done
        self.changes += 1
        if ruling == "remove":
            known.kept = False
            noted = outcome.decision
            assert (noted.user_id, noted.guild_id, noted.prompt) == (known.author, known.guild, "x")
            self.decisions[noted.decision_id] = ModelDecision(noted=noted)
            self.strike(noted, known.guild, "report")

    @rule(user=st.sampled_from(MEMBERS), guild=st.sampled_from([HERE, THERE]))
    def clear(self, user: int, guild: int) -> None:
        live = [
            strike
            for strike in self.strikes
            if (strike.guild, strike.user) == (guild, user) and strike.at > self.now - timedelta(days=30)
        ]
        change = self.run(self.book.clear(self.admin(guild), user))
        assert change.before == {"strikes": len(live)}
        self.changes += bool(live)
        self.strikes = [s for s in self.strikes if (s.guild, s.user) != (guild, user)]

    # --- asking again ---

    @rule(
        user=st.sampled_from(MEMBERS),
        number=st.integers(0, 2),
        guild=st.sampled_from([HERE, HERE, THERE]),
        reason=st.sampled_from(["sexual", "sexual", "sexual_minor"]),
    )
    def ask_again(self, user: int, number: int, guild: int, reason: str) -> None:
        words = hash_of_texts("x", str(number))
        overturned = any(
            known.state == "overturned"
            and known.noted.kind == "prompt"
            and known.noted.guild_id == guild
            and (known.noted.user_id, known.noted.prompt_hash) == (user, words)
            and known.decided is not None
            and known.decided > self.now - ALLOWED_FOR
            and reason in known.noted.reasons
            for known in self.decisions.values()
        )
        assert self.run(self.is_overturned(user, guild, words, reason)) == (
            overturned and reason != "sexual_minor"
        )

    async def is_overturned(self, user: int, guild: int, words: str, reason: str) -> bool:
        async with self.database.session() as session:
            return await is_overturned(
                session, user_id=user, guild_id=guild, prompt_hash=words, reasons=[reason], now=self.now
            )

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
            strikes = await strikes_of(session, MEMBERS, [HERE, THERE], self.now)
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
