"""Commands that wait for a button: kept in memory, so that prompts of those who never press reach no disk."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_WAITING = 1000
WAITS_SECONDS = 15 * 60.0
"""As long as a private answer can be edited."""


@dataclass(frozen=True, kw_only=True)
class _Entry(Generic[T]):
    value: T
    user_id: int
    ends: float


class Waiting(Generic[T]):
    """Values by a key that goes into the button's id. The oldest make room; a restart loses all."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = MOST_WAITING) -> None:
        self._clock = clock
        self._most = most
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()

    def put(self, user_id: int, value: T) -> str:
        """Keep a value for one member; returns its key."""
        while len(self._entries) >= self._most:
            self._entries.popitem(last=False)
        key = secrets.token_hex(8)
        self._entries[key] = _Entry(value=value, user_id=user_id, ends=self._clock() + WAITS_SECONDS)
        return key

    def take(self, user_id: int, key: str) -> T | None:
        """The value, once and for its member; None if it is no longer there."""
        entry = self._entries.get(key)
        if entry is None or entry.user_id != user_id:
            return None
        del self._entries[key]
        return entry.value if self._clock() < entry.ends else None
