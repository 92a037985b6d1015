"""The ledger of a server as a CSV file that spreadsheets open without running what is in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime

from bot.database.models import LedgerEntryRow
from bot.quotas import PICTURE

HEADINGS = ("time", "kind", "pictures", "member", "channel", "job", "grant", "by", "reason", "counts_at")

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""https://owasp.org/www-community/attacks/CSV_Injection; wide forms may be read as the others."""

Cell = str | int | float | None


def cell(value: Cell) -> Cell:
    """A cell that no spreadsheet takes for a formula.

    What is a number here is written as one, so that `-0.94` can be added up; what is text here stays text,
    with an apostrophe in front where it would be something else, also if it looks like a number.
    """
    if not isinstance(value, str):
        return value
    starts_so = value.startswith(FORMULA_STARTS) or value.lstrip().startswith(FORMULA_STARTS)
    return f"'{value}" if starts_so else value


def csv_line(values: Iterable[Cell]) -> str:
    """One row with its line end, each cell made safe."""
    line = io.StringIO()
    csv.writer(line).writerow([cell(value) for value in values])
    return line.getvalue()


def entry_cells(entry: LedgerEntryRow) -> tuple[Cell, ...]:
    """The cells of a ledger entry, in the order of the headings."""
    return (
        _time(entry.created_at),
        entry.kind,
        entry.amount / PICTURE,
        entry.user_id,
        entry.channel_id or None,
        entry.job_id,
        entry.grant_id or None,
        entry.actor_id or "bot",
        entry.reason,
        _time(entry.effective_at),
    )


class CsvFile:
    """Bytes that grow by whole rows up to a limit. UTF-8 with its mark: Excel needs it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts = ["\ufeff".encode(), csv_line(HEADINGS).encode()]
        self._size = sum(map(len, self._parts))
        self.rows = 0

    def add(self, entry: LedgerEntryRow) -> bool:
        """Add a row; False if it does not fit."""
        line = csv_line(entry_cells(entry)).encode()
        if self._size + len(line) > self._limit:
            return False
        self._parts.append(line)
        self._size += len(line)
        self.rows += 1
        return True

    @property
    def data(self) -> bytes:
        """The whole file."""
        return b"".join(self._parts)


def _time(time: datetime) -> str:
    return time.isoformat(sep=" ", timespec="seconds")
