"""`trinart playground`: the channel in a browser, with a composer that runs the real commands."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import Any

from rich.console import Console
from simcord.backend.errors import SetupError

from bot.errors import OperatorError
from bot.offline.world import World, open_world

REFRESH_SECONDS = 0.5


async def run_playground(port: int) -> None:
    """Serve the channel on 127.0.0.1 until Ctrl-C, SIGTERM or the page's own end button.

    Raises:
        OperatorError: the port is taken.
    """
    _check_port(port)
    console = Console(highlight=False)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with (
        open_world(console, "You") as world,
        world.env.preview(
            world.channel, viewers=world.members, layout="channel", port=port or None
        ) as preview,
    ):
        console.print("Open this address, type /trinart, and press Ctrl-C here to end:")
        console.print(preview.url, soft_wrap=True, markup=False)
        waits = [
            asyncio.create_task(stop.wait()),
            asyncio.create_task(preview.wait_closed()),
            asyncio.create_task(_keep_fresh(world, preview)),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
    console.print("Ended.")


def _check_port(port: int) -> None:
    """Before the engine is started, which takes seconds."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise OperatorError(
                f"Port {port} of 127.0.0.1 cannot be used: {error.strerror}. "
                "Give another --port, or none for a free one."
            ) from error


async def _keep_fresh(world: World, preview: Any) -> None:
    """Republish the page when the bot has changed the channel: it shows what was published last."""
    seen = 0
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        happened = len(world.env.http_requests)
        if happened == seen:
            continue
        try:
            await preview.refresh()
        except SetupError:
            continue  # the visitor is doing something right now; the next round shows it
        seen = happened
