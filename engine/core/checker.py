"""The process that looks at every picture before it leaves the engine. Step 8 of a request's life."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.core.child import Child, Watchdog
from engine.protocol import (
    Check,
    Checked,
    CheckerReady,
    CheckerToCore,
    CheckerUnavailable,
    CheckFailed,
    CoreToChecker,
)

LOAD_SECONDS = 300.0
"""A checker that has not passed its self-test by then hangs. It takes less than a second."""


class CheckerListener(Protocol):
    """What the engine core hears from its checker."""

    def checker_ready(self, ready: CheckerReady) -> None: ...

    def checker_answered(self, answer: Checked | CheckFailed) -> None: ...

    def checker_lost(self) -> None: ...

    def checker_unavailable(self, reason: str) -> None: ...


class Checker(Child[CheckerToCore, CoreToChecker]):
    """The checker process, over all its restarts. Implements `engine.core.checks.CheckerHandle`."""

    _listener: CheckerListener

    def __init__(self, command: Sequence[str], *, check_timeout: float) -> None:
        name = "checker of pictures"
        watchdog = Watchdog(name, limit=check_timeout, load_limit=LOAD_SECONDS)
        super().__init__(name, command, CheckerToCore, watchdog)

    async def run(self, listener: CheckerListener) -> None:
        """Keep the process alive until it is drained or can never work."""
        self._listener = listener
        await self._keep_alive()

    def send(self, message: Check) -> None:
        """Send to the running process, if there is one."""
        if self._channel is not None:
            self._watchdog.owes(f"picture {message.check_id}")
            self._channel.send(message)

    def _take(self, message: CheckerToCore) -> None:
        match message:
            case CheckerReady():
                self._watchdog.heard()
                self.is_ready = True
                self._listener.checker_ready(message)
            case CheckerUnavailable(reason):
                self._watchdog.heard()
                self.unavailable_reason = reason
            case Checked(check_id) | CheckFailed(check_id):
                self._watchdog.heard(paid=f"picture {check_id}")
                self._listener.checker_answered(message)

    def _lost(self) -> None:
        self._listener.checker_lost()

    def _given_up(self) -> None:
        self._listener.checker_unavailable(self.unavailable_reason)
