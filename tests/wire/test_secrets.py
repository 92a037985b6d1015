"""The token stays in the bot: not on the host's terminal, not in the processes that it starts."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from .bot_process import END_SECONDS, PLAIN_BOT, START_SECONDS, environment, running_bot, until_it_can_draw
from .loopback_discord import LoopbackDiscord

SECRETS = ("DISCORD_TOKEN", "TRINART_DATABASE_URL")


async def test_a_traceback_on_the_terminal_does_not_show_the_token(
    server: LoopbackDiscord, tmp_path: Path
) -> None:
    # Who the bot is comes without a name: discord.py fails in calls that were given the token.
    server.world.bot.clear()
    env = environment(tmp_path) | server.env() | {"TERM": "xterm-256color"}
    async with on_terminal(env, tmp_path) as (process, screen):
        async with asyncio.timeout(START_SECONDS):
            shown = await read_terminal(screen)
        assert await asyncio.wait_for(process.wait(), END_SECONDS) == 1
    assert server.world.token not in words_of(shown)
    assert "Traceback (most recent call last)" in shown
    assert "in run_bot" in shown


async def test_the_engine_and_its_workers_are_told_no_secrets(
    server: LoopbackDiscord, tmp_path: Path
) -> None:
    database = f"sqlite+aiosqlite:///{tmp_path / 'elsewhere.db'}"
    async with running_bot(server, tmp_path, env={"TRINART_DATABASE_URL": database}) as bot:
        await until_it_can_draw(server, bot)
        family = [process.environ() for process in bot.family()]
        bot.terminate()
        assert await bot.exit_code() == 0
    assert len(family) == 3
    for environ in family:
        assert [name for name in SECRETS if name in environ] == []
        assert [name for name, value in environ.items() if server.world.token in value] == []
        assert [name for name, value in environ.items() if database in value] == []
    assert (tmp_path / "elsewhere.db").exists()


@asynccontextmanager
async def on_terminal(
    env: dict[str, str], folder: Path
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    """The bot as somebody starts it by hand, in a wide terminal; what is shown there can be read."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 400, 0, 0))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *PLAIN_BOT, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    screen = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(screen), os.fdopen(ours, "rb", buffering=0)
    )
    try:
        yield process, screen
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        transport.close()


async def read_terminal(screen: asyncio.StreamReader) -> str:
    """All that is shown until nobody has the terminal open any more."""
    shown = b""
    try:
        while read := await screen.read(65536):
            shown += read
    except OSError as error:
        # How Linux says that the other end of a terminal was closed.
        if error.errno != errno.EIO:
            raise
    return shown.decode()


def words_of(shown: str) -> str:
    """The text without colours, frames and line breaks, any of which could hide a token from a search."""
    return re.sub(r"\x1b\[[\d;]*m|[^\w.]", "", shown)
