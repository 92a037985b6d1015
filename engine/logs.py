"""One log format for all processes: readable lines in a terminal, JSON lines anywhere else, on stderr."""

from __future__ import annotations

import logging
import os
import sys

import structlog


def configure_logging(level: str | None = None) -> None:
    """Send the standard library's records through structlog to stderr.

    `level` defaults to TRINART_LOG_LEVEL, which is how the engine and the workers follow the bot.
    """
    level = (level or os.environ.get("TRINART_LOG_LEVEL") or "INFO").upper()
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    if sys.stderr.isatty():
        last: list[structlog.types.Processor] = [
            # Not the pretty one, which prints the values of local variables: tokens are among them.
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Below INFO discord.py logs whole events, with prompts and the tokens of interactions.
    logging.getLogger("discord").setLevel(max(logging.INFO, logging.getLogger().level))
    # These log every request or query below WARNING; tokens are part of request paths.
    for noisy in ("discord.http", "discord.webhook", "aiosqlite", "alembic", "httpx", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
