"""`trinart run`: the bot as a process under a supervisor, from start to an orderly end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress

from bot.app import JOB_GRACE_SECONDS, open_services
from bot.client import TrinArtBot, run_bot, use_endpoints
from bot.settings import Settings

log = logging.getLogger(__name__)


async def serve(settings: Settings, token: str) -> None:
    """Serve Discord until SIGTERM or Ctrl-C, then finish what runs and end.

    Raises:
        OperatorError: the database or the token cannot be used, or Discord cannot be reached.
    """
    os.environ["TRINART_LOG_LEVEL"] = settings.log_level
    use_endpoints(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    async with open_services(settings) as services:
        service = services.generation
        bot = TrinArtBot(services, settings)
        serving = asyncio.create_task(run_bot(bot, token))
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            log.info("stopping: no new jobs; running ones have %d s", JOB_GRACE_SECONDS)
            await service.runs.drain(grace=JOB_GRACE_SECONDS)
            # Cancelled before it is closed: a shard that still connects would call a closed session an error.
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
        else:
            stopping.cancel()
            await serving
    log.info("stopped")
