"""Which pictures are shown at which level: the thresholds of `policy.toml`, and the decision.

Runs in the bot process, in steps 8 and 10 of a request's life. Plain calculation: the same verdict at the
same level is always decided the same way. Whatever is missing or makes no sense is withheld.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec

from bot.errors import OperatorError
from bot.safety.levels import LEVELS, Level
from engine.protocol import Verdict

ReleaseDecision = Literal["show", "spoiler", "withhold"]
RELEASE_DECISIONS: tuple[ReleaseDecision, ...] = ("show", "spoiler", "withhold")

ReleaseReason = Literal["no_verdict", "invalid_scores", "blocked_hash", "sexual", "strict_prompt", "prompt"]
"""Why a picture is not simply shown.

`strict_prompt`: its prompt holds it to the strictest threshold. `prompt`: the prompt itself would be refused
where the picture is about to be shown.
"""

SCORE = "sexual"
"""The score that the thresholds are about."""


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which score on a picture is spoilered, and withheld; None is never."""

    spoiler: float | None = None
    withhold: float | None = None

    @property
    def least_withheld(self) -> float:
        """The least score that is withheld."""
        return math.inf if self.withhold is None else self.withhold

    @property
    def least_hidden(self) -> float:
        """The least score that is not simply shown."""
        return min(math.inf if self.spoiler is None else self.spoiler, self.least_withheld)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A decision on one picture, why, and at which level."""

    decision: ReleaseDecision
    level: Level
    reasons: tuple[ReleaseReason, ...] = ()


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The thresholds of all levels."""

    version: str
    levels: dict[Level, Thresholds]

    def __post_init__(self) -> None:
        if set(self.levels) != set(LEVELS):
            raise ValueError(f"there must be thresholds for {', '.join(LEVELS)}")
        for level, thresholds in self.levels.items():
            for value in (thresholds.spoiler, thresholds.withhold):
                if value is not None and not 0 <= value <= 1:  # also for not-a-number
                    raise ValueError(f"{level}: thresholds are from 0 to 1")
        in_order = [self.levels[level] for level in LEVELS]
        for stricter, looser in pairwise(in_order):
            if stricter.least_withheld > looser.least_withheld or stricter.least_hidden > looser.least_hidden:
                raise ValueError("a stricter level must not show more than a looser one")

    @classmethod
    def load(cls, path: Path | None = None) -> Policy:
        """The policy that ships with the bot, or the host's own.

        Raises:
            OperatorError: the host's own cannot be used.
        """
        if path is None:
            return msgspec.toml.decode((resources.files("bot.safety") / "policy.toml").read_bytes(), type=cls)
        try:
            return msgspec.toml.decode(path.read_bytes(), type=cls)
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise OperatorError(f"The safety policy {path} cannot be used: {reason}.") from error

    def decide(self, verdict: Verdict | None, level: Level, *, is_strict: bool = False) -> ReleaseDecision:
        """What happens to a picture in a place of this level; `is_strict` if its prompt was found so."""
        return self.judge(verdict, level, is_strict=is_strict).decision

    def judge(self, verdict: Verdict | None, level: Level, *, is_strict: bool = False) -> Judgement:
        """`decide`, with the reasons."""
        because_of_prompt: tuple[ReleaseReason, ...] = ("strict_prompt",) if is_strict else ()

        def judgement(decision: ReleaseDecision, *reasons: ReleaseReason) -> Judgement:
            return Judgement(decision=decision, level=level, reasons=(*reasons, *because_of_prompt))

        if verdict is None:
            return judgement("withhold", "no_verdict")
        if verdict.blocked:
            return judgement("withhold", "blocked_hash")
        if not has_valid_scores(verdict):
            return judgement("withhold", "invalid_scores")
        score, thresholds = verdict.scores[SCORE], self.levels["strict" if is_strict else level]
        if score >= thresholds.least_withheld:
            return judgement("withhold", "sexual")
        if score >= thresholds.least_hidden:
            return judgement("spoiler", "sexual")
        return judgement("show")


def has_valid_scores(verdict: Verdict) -> bool:
    """Whether the score that counts is there, and all of them are numbers from 0 to 1."""
    return SCORE in verdict.scores and all(0 <= score <= 1 for score in verdict.scores.values())
