"""How much may be shown in a place: three levels, from the least to the most."""

from __future__ import annotations

from typing import Literal

Level = Literal["strict", "default", "age-restricted"]
LEVELS: tuple[Level, ...] = ("strict", "default", "age-restricted")


def lowest(*levels: Level) -> Level:
    """The strictest of them: no party can allow what another does not."""
    return min(levels, key=LEVELS.index)
