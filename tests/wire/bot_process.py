"""The bot as its host runs it: a process of its own, of which a test sees what a host sees.

That is its output, its exit code, the processes that it leaves, and what arrives at Discord.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import psutil

from .handles import Pulse
from .loopback_discord import LoopbackDiscord
from .payloads import JSON

ROOT = Path(__file__).parents[2]
PLAIN_BOT = ("-m", "tests.wire.run_plain_bot")
"""With the worker of tests/fixtures, which obeys words in the prompt and needs no torch."""
REAL_BOT = ("-m", "bot", "run")

START_SECONDS = 90.0
"""Enough to load torch on a machine that does other things too; only a broken bot ever waits this long."""
END_SECONDS = 20.0
"""What `docker stop` and systemd leave a service before they kill it is in this order."""
MAX_LINE = 1024 * 1024
"""Bytes; a traceback is one line of the log."""
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")


class BotProcess:
    """A running `trinart run`, its output so far, and the processes that it started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._pulse = Pulse()
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self._readers = [
            asyncio.create_task(self._read(process.stdout, self.stdout)),
            asyncio.create_task(self._read(process.stderr, self.stderr)),
        ]

    @classmethod
    async def start(cls, env: dict[str, str], data_dir: Path, command: Sequence[str] = PLAIN_BOT) -> Self:
        """Start the bot with these settings and no others: none from this shell, none from a `.env` file."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=data_dir,
            env=environment(data_dir) | env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=MAX_LINE,
        )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    # What it does

    async def said(self, text: str, timeout: float = START_SECONDS) -> None:
        """Return once a line on stderr contains `text`."""
        await self._pulse.until(
            lambda: any(text in line for line in self.stderr), timeout, f"{text!r} on stderr"
        )

    async def exit_code(self, timeout: float = END_SECONDS) -> int:
        """Wait for the end of the process and of its output, which its children hold open too."""
        async with asyncio.timeout(timeout):
            code = await self._process.wait()
            await asyncio.gather(*self._readers)
        return code

    def family(self) -> list[psutil.Process]:
        """The engine and the workers, at this moment."""
        return psutil.Process(self.pid).children(recursive=True)

    # What is done to it

    def terminate(self) -> None:
        """What a supervisor sends."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """What the kernel does to whoever took the last memory."""
        self._process.kill()

    async def clean_up(self) -> None:
        """Leave nothing behind, also when the test failed."""
        left: list[psutil.Process] = []
        if self.is_running:
            left = self.family()
            self.kill()
        await self._process.wait()
        for process in left:
            if process.is_running():
                process.kill()
        await asyncio.gather(*self._readers)

    # What it said

    def records(self) -> list[JSON]:
        """The log, parsed; fails on a line that is no JSON object."""
        return [json.loads(line) for line in self.stderr]

    async def _read(self, stream: asyncio.StreamReader, lines: list[str]) -> None:
        async for line in stream:
            lines.append(line.decode().rstrip("\n"))
            self._pulse.fire()


def environment(data_dir: Path) -> dict[str, str]:
    """What a bot of these tests gets whatever the test is about."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | {
        "PYTHONPATH": str(ROOT),
        # Python's own warnings would be lines that are no JSON: the log's check finds them.
        "PYTHONWARNINGS": "default,ignore::DeprecationWarning",
        "TRINART_DATA_DIR": str(data_dir),
        "TRINART_MODEL": "demo",
        # A test asks as fast as it can; those about the limits set their own.
        "TRINART_RATE": "1000/s",
        "TRINART_CONCURRENT_JOBS": "1000",
        "PLAIN_WORKER_DIR": str(data_dir),
        "PLAIN_WORKER_GATE": str(gate(data_dir)),
    }


def gate(data_dir: Path) -> Path:
    """While there is no such file, slow prompts are drawn and drawn."""
    return data_dir / "gate"


async def wait_gone(processes: Sequence[psutil.Process], timeout: float = END_SECONDS) -> None:
    """Return once all of them have ended by themselves."""
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout)
    assert alive == []


@asynccontextmanager
async def running_bot(
    server: LoopbackDiscord,
    data_dir: Path,
    command: Sequence[str] = PLAIN_BOT,
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[BotProcess]:
    """A bot on its way to `server`; afterwards it is gone, and so is everything that it started."""
    bot = await BotProcess.start({**server.env(), **(env or {})}, data_dir, command)
    try:
        yield bot
    except TimeoutError as error:
        error.add_note("The bot said last:\n" + "\n".join(bot.stderr[-30:]))
        raise
    finally:
        await bot.clean_up()


async def until_it_can_draw(server: LoopbackDiscord, bot: BotProcess, channel: JSON | None = None) -> None:
    """Return once a command in this channel would be drawn: the sizes on offer are suggested from then on.

    That its engine says in the log that it is ready is not enough: the bot itself hears of it a little later,
    and until then it refuses commands.
    """
    channel = channel or server.channel
    await server.connected(START_SECONDS, guild_id=channel["guild_id"])
    await server.commands_synced("trinart", timeout=START_SECONDS)
    await bot.said("is ready")
    suggestions: list[JSON] = []
    while not suggestions:
        typed = await server.autocomplete("trinart", {"prompt": "", "size": ""}, "size", channel=channel)
        await typed.wait(lambda i: i.choices is not None, START_SECONDS)
        suggestions = typed.choices or []
