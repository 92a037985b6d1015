"""What the prompt check says of a request. Step 3 of a request's life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Decision = Literal["allow", "strict", "refuse"]
"""`strict`: may be drawn, and its pictures are held to the strictest threshold wherever they are shown."""


@dataclass(frozen=True, kw_only=True)
class PromptVerdict:
    """The decision, why, and by which rules.

    `reasons` are codes such as `sexual_minor`: never a word of the prompt, nor of a list.
    """

    decision: Decision
    reasons: tuple[str, ...] = ()
    policy_version: str
