"""What SQLite needs beyond PostgreSQL: its file, its pragmas, and transactions that begin when we say so."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.errors import OperatorError

BUSY_SECONDS = 5.0
"""How long SQLite waits for another writer before it says that the database is locked."""

MIGRATION_SECONDS = 60.0
"""The same, for a start of the bot that finds another one migrating."""

WRITES = "trinart_writes"
"""The execution option of connections that are going to write."""


class NoDatabase(OperatorError):
    """There is no database yet, and what was asked for does not make one."""


def is_sqlite(url: URL) -> bool:
    """Whether this module has anything to do with the URL."""
    return url.get_backend_name() == "sqlite"


def prepare_engine(engine: Engine) -> None:
    """Set every connection up, and begin its transactions here instead of in Python's driver."""
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)


def _prepare_connection(connection: sqlite3.Connection, _record: object) -> None:
    # Left to itself, the driver begins no transaction before the first INSERT, UPDATE or DELETE.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # An accepted job must survive a power cut, so every commit reaches the disk.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Take the write lock at once where it will be needed.

    A transaction that reads first and writes then cannot wait for another writer: what it read would be out
    of date. SQLite fails it at once, whatever the timeout.
    """
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@asynccontextmanager
async def migrating(connection: AsyncConnection) -> AsyncGenerator[None]:
    """Wait longer for the lock, and let tables be copied and dropped; to be entered before the transaction.

    SQLite alters a table by copying it and dropping the old one, which would delete the rows that refer to
    it. Nothing can switch that off inside a transaction. `find_orphans` makes up for it at the end.
    """
    driver: Any = (await connection.get_raw_connection()).driver_connection

    async def pragmas(seconds: float, foreign_keys: str) -> None:
        for pragma in (f"busy_timeout = {seconds * 1000:.0f}", f"foreign_keys = {foreign_keys}"):
            await (await driver.execute(f"PRAGMA {pragma}")).close()

    await pragmas(MIGRATION_SECONDS, "OFF")
    try:
        yield
    finally:
        await pragmas(BUSY_SECONDS, "ON")


def find_orphans(connection: Connection) -> None:
    """Refuse to commit rows that refer to missing ones."""
    tables = {str(row[0]) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}
    if tables:
        raise OperatorError(
            f"Nothing was changed: the database would have rows in {', '.join(sorted(tables))} that refer to "
            "rows that are not there. Restore a backup."
        )


def file_of(url: URL) -> Path | None:
    """The file of an SQLite database; None for a server, and for a database in memory or under a URI."""
    name = url.database or ":memory:"
    if not is_sqlite(url) or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def check_file(file: Path, *, create: bool) -> None:
    """Make the file, with its folder, if it is missing, and find out what is wrong with it.

    Only the bot's own user may read what is made here: with the tokens in it anybody could answer in the
    bot's name. SQLite gives its `-wal` and `-shm` the same mode. A connection that aiosqlite cannot open
    also leaves a thread behind that ends with a traceback, so the reason has to be found before.
    """
    try:
        if create:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_file(file)
        _look_at(file)
    except OSError as error:
        if not create and isinstance(error, FileNotFoundError):
            raise NoDatabase(
                f"There is no database at {file} yet: trinart run or trinart db upgrade makes it."
            ) from error
        raise OperatorError(
            f"The database {file} cannot be opened: {error.strerror}. "
            "Let TRINART_DATA_DIR or TRINART_DATABASE_URL name a place that this user can write.",
            exit_code=1,
        ) from error


def _look_at(file: Path) -> None:
    """Raise what opening it would. Closing it again would let go of the locks that this process has on it."""
    if stat.S_ISDIR(file.stat().st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not os.access(file, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _make_file(file: Path) -> None:
    """Make an empty database in WAL mode, which appears under its name when it is whole.

    Of several connections that switch to WAL at once SQLite fails all but one, without waiting.
    """
    if file.exists():
        return
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if file.exists():  # another process was quicker
            return
        unfinished = file.with_name(f"{file.name}.new")
        os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600))
        with closing(sqlite3.connect(unfinished)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        unfinished.replace(file)
    finally:
        os.close(folder)
