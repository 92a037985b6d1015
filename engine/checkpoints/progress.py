"""A bar on stderr while something takes long; nothing where stderr is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn


class Advance(Protocol):
    """Told of bytes that are done."""

    def __call__(self, count: int, /) -> None: ...


class Bars:
    """One bar at a time, for each step of the work."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    @contextmanager
    def step(self, text: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Show a bar for so many bytes."""
        columns = (
            TextColumn("{task.description:<26}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, disable=not self._console.is_terminal) as bar:
            task = bar.add_task(text, total=total, completed=done)
            yield lambda count: bar.advance(task, count)
