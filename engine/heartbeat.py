"""Whether the engine process still answers. Runs in the bot process, for `engine.client`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PING_SECONDS = 5.0
MAX_UNANSWERED = 12
"""An engine that has not said a word since so many pings hangs. A minute in all: on a machine that swaps,
one that lives may be slow to say so."""
MAX_UNANSWERED_AT_START = 60
"""The same before its first word, for which Python has to be read from a disk that may be cold."""


class Heartbeat:
    """Pings one life of the engine, and counts how many in a row were not followed by a word.

    Pings are counted, and not seconds: while this process is stopped or the machine sleeps, no engine can
    answer, and none is asked.
    """

    def __init__(self, ping: Callable[[], None]) -> None:
        self._ping = ping
        self._unanswered = 0
        self._has_spoken = False

    def heard(self) -> None:
        """The engine said something, whatever it was."""
        self._unanswered = 0
        self._has_spoken = True

    async def lost(self) -> None:
        """Return when the engine hangs."""
        while self._unanswered < (MAX_UNANSWERED if self._has_spoken else MAX_UNANSWERED_AT_START):
            self._ping()
            self._unanswered += 1
            await asyncio.sleep(PING_SECONDS)
