"""A bar on a terminal; in a log file a line now and then."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

LINE_EVERY = 30.0
"""Seconds between the lines of a log."""


class Progress:
    """How far a stage is, and a few numbers about it."""

    def __init__(self, title: str, total: float) -> None:
        self.console = Console()
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=total, note="")
        self._title = title
        self._total = total
        self._last_line = -LINE_EVERY

    def show(self, done: float, note: str = "") -> None:
        """Say how much is done."""
        self._bar.update(self._task, completed=done, note=note)
        if not self.console.is_terminal and time.monotonic() - self._last_line > LINE_EVERY:
            self._last_line = time.monotonic()
            self.say(f"{self._title}: {done:.0f} of {self._total:.0f} {note}")

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(f"{time.strftime('%H:%M:%S')} {line}", highlight=False, soft_wrap=True)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
