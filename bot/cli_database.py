"""What `trinart db copy` shows: a bar while it copies, and what there is in the end."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from bot.database.copy import CopyProgress, copy_database


async def copy_and_show(source: str, target: str, output: Console, errors: Console) -> None:
    """Copy one database into another. `source` is a URL, or the file of an SQLite database."""
    url = source if "://" in source else f"sqlite+aiosqlite:///{source}"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"))
    with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as bars:
        bar = bars.add_task("", total=None)

        def show(progress: CopyProgress) -> None:
            bars.update(bar, description=progress.table, completed=progress.copied, total=progress.total)

        counts = await copy_database(url, target, show)
    table = Table("Table", "Rows copied", box=None)
    for name, count in counts.items():
        table.add_row(name, str(count))
    output.print(table)
