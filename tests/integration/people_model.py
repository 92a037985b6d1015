"""What the tests of appeals, reports and strikes press at random, and what they keep of it in plain Python.

Two members, two servers, moderators who may and who may not, a clock that goes on.
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

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    rule,
)

from bot.audit import Admin
from bot.database.session import Database
from bot.errors import MemberError
from bot.safety.appeals import Appeals
from bot.safety.host_appeals import HostAppeals
from bot.safety.kept_files import KeptFiles, ShownFile
from bot.safety.moderation import ModerationChanges
from bot.safety.noted import Noted
from bot.safety.places import Place
from bot.safety.reports import Reports, Shown
from bot.safety.rulings import PictureRulings
from bot.safety.strike_book import StrikeBook
from tests.fixtures.safety import release_desk
from tests.integration.people_store import MIDNIGHT, administration_of, strict_channel

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


class People(RuleBasedStateMachine):
    """The services, their database and the model. Its heirs have the rules."""

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

    def strike(self, noted: Noted, guild: int, reason: str) -> None:
        given = ModelStrike(
            decision=noted.decision_id,
            guild=guild,
            user=noted.user_id,
            at=self.now,
            weight=WEIGHTS[reason],
        )
        self.strikes.append(given)

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
