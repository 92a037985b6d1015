"""The rules about reported pictures."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
)

from bot.errors import MemberError
from bot.safety.errors import (
    AlreadyDecided,
    DecisionForgotten,
    NotAgeRestricted,
    NotAModerator,
    NothingToReport,
    NotShownThereNow,
    PictureGone,
)
from bot.safety.reports import KEPT_FOR, REPORTS_TO_HIDE, PictureMessage
from bot.safety.rulings import PictureRuling
from tests.integration.people_model import (
    HERE,
    MEMBERS,
    PLACES,
    REPORTERS,
    SHOWN,
    THERE,
    ModelDecision,
    ModelPicture,
    People,
)
from tests.integration.people_store import job_of


class ReportRules(People):
    """What members and moderators can press under a picture."""

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
