"""`python -m bot` and the script `trinart`: where the bot process starts, with nothing heavy imported yet."""

from __future__ import annotations

import os
import signal
import sys

SERVING = ("run", "playground")
"""Commands that go on until they are told to stop, so that being told is no error."""


def main() -> None:
    """Take signals, then load and run the command line, which takes a second or two."""
    if sys.argv[1:2] and sys.argv[1] in SERVING:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _end)
    from bot.cli import main as command_line

    command_line()


def _end(_number: int, _frame: object) -> None:
    """Nothing was begun before the event loop takes these over; an exception could get lost in an import."""
    os._exit(0)


if __name__ == "__main__":
    main()
