"""The checker's side of its socket: one picture after another. Step 8 of a request's life.

When the core's end of the socket closes, the process ends.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Protocol

from engine.protocol import (
    Check,
    Checked,
    CheckerReady,
    CheckerToCore,
    CheckerUnavailable,
    CheckFailed,
    CoreToChecker,
    Drain,
    Verdict,
)
from engine.safety.errors import CheckerError, CheckError
from engine.transport import Channel, FrameError

log = logging.getLogger(__name__)


class PictureInspector(Protocol):
    """What decides about a picture: `engine.safety.inspector.Inspector`."""

    @property
    def model(self) -> str: ...

    def inspect_png(self, png: bytes, /) -> Verdict: ...


async def serve(sock: socket.socket, load: Callable[[], PictureInspector]) -> None:
    """Load and test what decides, then answer every picture until the core is done with this process."""
    channel = await Channel[CoreToChecker, CheckerToCore].open(sock, CoreToChecker)
    try:
        # Nothing else waits for this thread: the core sends one picture and waits for the answer.
        inspector = load()
    except CheckerError as error:
        channel.send(CheckerUnavailable(str(error)))
    else:
        channel.send(CheckerReady(inspector.model))
        await _answer(channel, inspector)
    await channel.flush()
    await channel.close()


async def _answer(channel: Channel[CoreToChecker, CheckerToCore], inspector: PictureInspector) -> None:
    try:
        async for message in channel:
            match message:
                case Check(check_id, png):
                    channel.send(_look(inspector, check_id, png))
                case Drain():
                    return
    except FrameError as error:
        log.error("the engine core sent garbage: %s", error)


def _look(inspector: PictureInspector, check_id: int, png: bytes) -> Checked | CheckFailed:
    try:
        return Checked(check_id, inspector.inspect_png(png))
    except CheckError as error:
        return CheckFailed(check_id, str(error))
    # Whatever else is raised, MemoryError among it, ends the process: the core starts a fresh one.
