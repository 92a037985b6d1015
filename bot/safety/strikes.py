"""Strikes: what counts against a member, and the pauses that follow. Pure.

Step 4 of a request's life: `bot/limits.py` refuses a member whose pause runs. A pause is decided when its
strike is given, from the strikes of the days before, so that what was told to the member stays true.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Strike:
    """One of them, given for one decision."""

    at: datetime
    weight: int
    reason: str
    decision_id: str


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A member may not ask for pictures until then; the decision is what can be appealed."""

    until: datetime
    decision_id: str


@dataclass(frozen=True, kw_only=True)
class StrikeRules:
    """How much each reason weighs, and how long the pauses are."""

    forget_after: timedelta
    pauses: tuple[timedelta, ...]
    weights: Mapping[str, int]
    everywhere: frozenset[str]

    @classmethod
    def load(cls) -> Self:
        """Those of `strikes.toml`."""
        data = tomllib.loads((resources.files("bot") / "safety" / "strikes.toml").read_text("utf-8"))
        return cls(
            forget_after=timedelta(days=data["forget_after_days"]),
            pauses=tuple(timedelta(minutes=minutes) for minutes in data["pauses_minutes"]),
            weights=data["weights"],
            everywhere=frozenset(data["everywhere"]),
        )

    @property
    def kept_for(self) -> timedelta:
        """How long strikes are needed: the oldest that is not forgotten looks back as far again."""
        return 2 * self.forget_after

    def heaviest(self, reasons: Sequence[str]) -> str | None:
        """The reason that counts among those of a decision; None where none of them does."""
        counting = [reason for reason in reasons if reason in self.weights]
        return max(counting, key=lambda reason: self.weights[reason], default=None)

    def live(self, strikes: Sequence[Strike], now: datetime) -> list[Strike]:
        """Those that are not forgotten yet, oldest first."""
        recent = [strike for strike in strikes if now - self.forget_after < strike.at <= now]
        return sorted(recent, key=lambda strike: strike.at)

    def pause(self, strikes: Sequence[Strike], now: datetime) -> Pause | None:
        """The pause that runs, if one does: of several the one that ends last."""
        pauses = [
            Pause(until=strike.at + self._length(strikes, strike.at), decision_id=strike.decision_id)
            for strike in self.live(strikes, now)
        ]
        last = max(pauses, key=lambda pause: pause.until, default=None)
        return last if last is not None and now < last.until else None

    def _length(self, strikes: Sequence[Strike], at: datetime) -> timedelta:
        weight = sum(strike.weight for strike in self.live(strikes, at))
        return self.pauses[min(weight, len(self.pauses)) - 1]


@cache
def strike_rules() -> StrikeRules:
    """The rules of this version of the bot."""
    return StrikeRules.load()
