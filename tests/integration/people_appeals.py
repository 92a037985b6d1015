"""The rules about decisions and appeals, and about asking again after one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
)

from bot.errors import MemberError
from bot.safety.appeals import MOST_APPEALS, Ruling
from bot.safety.errors import (
    AlreadyAppealed,
    AlreadyDecided,
    DecisionForgotten,
    NobodyTakesAppeals,
    NotAModerator,
    NotYourDecision,
    OnlyTheHostDecides,
    TooManyAppeals,
)
from bot.safety.host_appeals import HostRuling
from bot.safety.noted import ALLOWED_FOR, Noted, hash_of_texts, is_overturned
from bot.safety.strike_book import EVERYWHERE
from tests.integration.people_model import HERE, MEMBERS, THERE, ModelDecision, People


class AppealRules(People):
    """What members and those who decide can press."""

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
