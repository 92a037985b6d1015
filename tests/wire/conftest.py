"""What every test of the bot process starts from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

# So that an assertion in them says what it compared, as one in a test does. This comes before
# they are imported.
pytest.register_assert_rewrite(
    *(f"{__package__}.{module}" for module in ("seen", "scene", "bot_process", "tiny_bot"))
)

from .loopback_discord import LoopbackDiscord  # noqa: E402 - see above
from .payloads import JSON  # noqa: E402 - see above
from .scene import Scene, playing  # noqa: E402 - see above
from .seen import assert_nobody_is_pinged, assert_nothing_comes_twice  # noqa: E402 - see above


@pytest.fixture
def callback_window() -> float:
    """How long Discord waits for a first answer: its own three seconds, unless a file says why not."""
    return 3.0


@pytest.fixture
def guilds() -> list[JSON] | None:
    """The servers that the bot is in: one with one channel, unless a file says otherwise."""
    return None


@pytest.fixture
async def server(callback_window: float, guilds: list[JSON] | None) -> AsyncIterator[LoopbackDiscord]:
    """A Discord; whatever a test does to it, the bot keeps to its rules."""
    async with LoopbackDiscord(guilds=guilds, callback_window=callback_window) as server:
        yield server
    assert server.unexpected == []
    assert_nobody_is_pinged(server)
    assert_nothing_comes_twice(server)


@pytest.fixture
async def scene(server: LoopbackDiscord, tmp_path: Path) -> AsyncIterator[Scene]:
    """A bot with the plain worker, ready to draw."""
    async with playing(server, tmp_path) as scene:
        yield scene
