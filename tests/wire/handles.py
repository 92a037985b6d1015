"""What a test holds in its hand: an interaction's handle, what it recorded, and how to wait on it."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .payloads import JSON

EPHEMERAL, LOADING = 1 << 6, 1 << 7
TOKEN_LIFETIME = 15 * 60.0


class Pulse:
    """Wakes every waiter at each change of the world."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Tell the waiters that something changed; each looks again at what it waits for."""
        fired, self._event = self._event, asyncio.Event()
        fired.set()

    async def until(
        self, condition: Callable[[], bool], timeout: float, what: str | Callable[[], str]
    ) -> None:
        """Return once ``condition()`` holds; raise ``TimeoutError`` that names ``what`` if it never does.

        A function is asked at the end of the wait, for what came meanwhile.
        """
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    await self._event.wait()
        except TimeoutError:
            named = what if isinstance(what, str) else what()
            raise TimeoutError(f"{named}: not within {timeout} s") from None


@dataclass(frozen=True)
class StoredFile:
    """An uploaded file as it arrived."""

    filename: str
    description: str | None
    content_type: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Snapshot:
    """What a message said at one moment (``at`` is ``time.monotonic()``)."""

    at: float
    content: str
    embeds: list[JSON]
    attachments: list[JSON]
    components: list[JSON]
    flags: int
    deleted: bool = False

    @property
    def loading(self) -> bool:
        """Whether people saw "is thinking…" rather than a text."""
        return bool(self.flags & LOADING)


@dataclass
class Interaction:
    """One interaction that a person started, and all that the bot made of it."""

    payload: JSON
    pulse: Pulse
    sent_at: float = field(default_factory=time.monotonic)
    callback_type: int | None = None
    acknowledged_at: float | None = None
    ephemeral: bool = False
    message: JSON | None = None
    followups: list[JSON] = field(default_factory=list)
    history: list[Snapshot] = field(default_factory=list)
    choices: list[JSON] | None = None
    modal: JSON | None = None
    _expired: bool = False

    @property
    def id(self) -> str:
        return self.payload["id"]

    @property
    def token(self) -> str:
        return self.payload["token"]

    @property
    def user(self) -> JSON:
        return self.payload.get("user") or self.payload["member"]["user"]

    @property
    def acknowledged(self) -> bool:
        """Whether the bot's first answer was accepted."""
        return self.callback_type is not None

    @property
    def deferred(self) -> bool:
        """Whether that first answer only promised a later one."""
        return self.callback_type in (5, 6)

    @property
    def expired(self) -> bool:
        """Whether the token has stopped working."""
        return self._expired or time.monotonic() - self.sent_at > TOKEN_LIFETIME

    def expire(self) -> None:
        """Let the token's fifteen minutes be over now."""
        self._expired = True
        self.pulse.fire()

    def record(self, *, deleted: bool = False) -> None:
        """Append the original message's present state to ``history``."""
        if self.message is not None:
            shown = {
                k: copy.deepcopy(self.message[k])
                for k in ("content", "embeds", "attachments", "components", "flags")
            }
            self.history.append(Snapshot(at=time.monotonic(), deleted=deleted, **shown))

    async def wait(self, condition: Callable[[Interaction], bool], timeout: float = 5.0) -> Interaction:
        """Return this interaction as soon as ``condition`` holds of it."""
        await self.pulse.until(
            lambda: condition(self), timeout, lambda: f"interaction {self.id} (last: {self.history[-1:]})"
        )
        return self
