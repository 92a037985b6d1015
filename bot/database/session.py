"""Connections, sessions and migrations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, func, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidRequestError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker, create_async_engine

import migrations
from bot.database import sqlite
from bot.database.sqlite import NoDatabase
from bot.database.stored_json import decode_json
from bot.errors import OperatorError

__all__ = ["Database", "NoDatabase", "at_once", "current_revision", "head_revision", "is_known", "reason_of"]

URL_FORMS = "sqlite+aiosqlite:///path/to/file.db or postgresql+asyncpg://user:password@host/name"

URL_VARIABLE = "TRINART_DATABASE_URL"

EXCLUSIVE_KEY = int.from_bytes(b"trinart")
"""Of PostgreSQL's advisory lock: whoever migrates or copies holds it."""

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """One database and its sessions. Make it with `Database.connect`."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = sqlite.is_sqlite(self.url)
        self._engine = create_async_engine(
            self.url,
            connect_args={"timeout": sqlite.BUSY_SECONDS} if self.is_sqlite else {},
            pool_pre_ping=not self.is_sqlite,
            # What members typed, and their interactions' tokens, must not come into the log with an error.
            hide_parameters=True,
            json_deserializer=decode_json,
        )
        if self.is_sqlite:
            sqlite.prepare_engine(self._engine.sync_engine)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        # The same connections, but their transactions begin with the write lock where there is one.
        self._writing_engine = self._engine.execution_options(**{sqlite.WRITES: True})
        self._writing_sessions = async_sessionmaker(self._writing_engine, expire_on_commit=False)
        self._sync_engine = self._make_sync_engine() if self.is_sqlite else None

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, url: str, *, upgrade: bool = True, named: str = URL_VARIABLE
    ) -> AsyncGenerator[Database]:
        """Open a database, by default made if need be and brought to the newest revision first.

        `named` is what the host knows the URL as.

        Raises:
            NoDatabase: there is none, and `upgrade` is not wanted.
            OperatorError: the URL is wrong, the database is newer than the code or cannot be opened.
        """
        try:
            database = cls(url)
        except (
            ArgumentError, InvalidRequestError, NoSuchModuleError, ModuleNotFoundError, ValueError,
        ) as error:  # fmt: skip
            raise OperatorError(_what_is_wrong_with_the_url(error, named)) from error
        if (file := sqlite.file_of(database.url)) is not None:
            sqlite.check_file(file, create=upgrade)
        try:
            if upgrade:
                await database._finish(database.upgrade())
            yield database
        finally:
            await database._engine.dispose()
            if database._sync_engine is not None:
                database._sync_engine.dispose()

    @property
    def name(self) -> str:
        """The URL without its secrets."""
        return repr(self.url.difference_update_query(["password"]))

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[AsyncSession]:
        """One transaction to read in: committed when the block ends, rolled back when it raises.

        One that reads and then writes belongs into `write`.
        """
        async with self._sessions.begin() as session:
            yield session

    async def write(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Run `work` in one transaction, to its end even if the caller is cancelled meanwhile.

        On SQLite it holds the write lock from its beginning, so that what it reads stays true.
        """

        async def transaction() -> T:
            async with self._writing_sessions.begin() as session:
                return await work(session)

        return await self._finish(transaction())

    async def write_at_once(self, work: Callable[[Connection], T]) -> T:
        """As `write`, for work of many short statements that others wait for.

        SQLite answers sooner than another thread can be asked, which aiosqlite does for each statement: here
        all of the work is on one thread. And it is without the ORM, whose objects are not needed for it.
        """
        if self._sync_engine is None:
            return await self.write(lambda session: at_once(session, work))
        return await self._finish(asyncio.to_thread(_begin_and_work, self._sync_engine, work))

    def _make_sync_engine(self) -> Engine:
        engine = create_engine(
            self.url.set(drivername="sqlite"),
            connect_args={"timeout": sqlite.BUSY_SECONDS},
            hide_parameters=True,
            json_deserializer=decode_json,
            execution_options={sqlite.WRITES: True},
        )
        sqlite.prepare_engine(engine)
        return engine

    async def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end even if the caller is cancelled meanwhile.

        What is cut off in the middle leaves SQLite locked for the rest of the process, and a thread that
        makes files in a folder that is being removed.
        """
        task = asyncio.create_task(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise

    async def upgrade(self, revision: str = "head") -> None:
        """Apply migrations, all or none. Refuses a database that a newer version of the bot has used.

        Of several processes that do this at once, one migrates; the others wait, and find nothing to do.
        """
        if revision == "head" and await self.revision() == head_revision():
            return
        async with self.exclusive() as connection:
            await connection.run_sync(_check_not_newer)
            await connection.run_sync(_migrate, command.upgrade, revision)

    async def downgrade(self, revision: str) -> None:
        """Take migrations back to `revision`; `base` for all."""
        async with self.exclusive() as connection:
            await connection.run_sync(_migrate, command.downgrade, revision)

    @asynccontextmanager
    async def exclusive(self) -> AsyncGenerator[AsyncConnection]:
        """One transaction that waits for whoever else migrates or copies, and keeps others from it."""
        async with self._connection(writes=True) as connection, AsyncExitStack() as stack:
            if self.is_sqlite:
                await stack.enter_async_context(sqlite.migrating(connection))
            await stack.enter_async_context(connection.begin())
            if not self.is_sqlite:
                patience = f"{sqlite.MIGRATION_SECONDS:.0f}s"
                await connection.execute(select(func.set_config("lock_timeout", patience, True)))
                await connection.execute(select(func.pg_advisory_xact_lock(EXCLUSIVE_KEY)))
            yield connection
            if self.is_sqlite:
                await connection.run_sync(sqlite.find_orphans)

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[AsyncConnection]:
        """One transaction to read in that sees nothing of what others commit meanwhile."""
        async with self._connection() as connection:
            if not self.is_sqlite:
                await connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            async with connection.begin():
                yield connection

    async def check(self) -> None:
        """Raise alembic's `AutogenerateDiffsDetected` if the tables differ from the models."""
        async with self._connection() as connection:
            await connection.run_sync(lambda sync: command.check(_config(sync)))

    async def revision(self) -> str | None:
        """The revision the database is at, None before the first migration."""
        async with self._connection() as connection:
            return await connection.run_sync(current_revision)

    @asynccontextmanager
    async def _connection(self, *, writes: bool = False) -> AsyncGenerator[AsyncConnection]:
        """A connection outside of sessions; the host hears in one sentence why there is none."""
        engine = self._writing_engine if writes else self._engine
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(engine.connect())
            except Exception as error:  # asyncpg's own reach us as they are, such as a wrong password
                raise self._unusable(error) from error
            try:
                yield connection
            except CommandError as error:
                raise OperatorError(f"The database cannot be moved to that revision: {error}.") from error
            except (OSError, DBAPIError) as error:
                raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> OperatorError:
        # Not the code for a mistake in the settings: a server may come up a minute later.
        return OperatorError(f"The database {self.name} cannot be used: {reason_of(error)}.", exit_code=1)


def _begin_and_work(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)


async def at_once(
    session: AsyncSession, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Within a session's transaction, do what was written for `Database.write_at_once`."""
    await session.flush()  # as before a query of the session's own
    connection = await session.connection()
    return await connection.run_sync(work, *args, **kwargs)


def reason_of(error: Exception) -> str:
    """What the database said, without the statement and the members' values that SQLAlchemy adds."""
    said: BaseException = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        said = error.orig.__cause__ or error.orig  # asyncpg's own words are behind an adapter's
    lines = str(said).splitlines() or [type(said).__name__]
    return lines[0].rstrip(".")


def _what_is_wrong_with_the_url(error: Exception, named: str) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == "asyncpg":
        return (
            f"{named} names PostgreSQL, whose driver is not installed: "
            "run pip install 'trinart-bot[postgres]'; the URL is postgresql+asyncpg://user:password@host/name."
        )
    # Of a password with an @ in it, a part is taken for the port, and would be in the reason.
    is_port = type(error) is ValueError
    reason = "what should be its port is no number" if is_port else str(error).rstrip(".")
    return f"{named} cannot be used: it must look like {URL_FORMS} ({reason})."


def head_revision() -> str | None:
    """The newest revision that this version of the bot knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    return config


def current_revision(connection: Connection) -> str | None:
    """The revision of the database behind a connection."""
    return MigrationContext.configure(connection).get_current_revision()


def is_known(revision: str | None) -> bool:
    """Whether a database at this revision was made by this version of the bot or an older one."""
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return revision is None or revision in known


def _check_not_newer(connection: Connection) -> None:
    current = current_revision(connection)
    if not is_known(current):
        raise OperatorError(
            f"The database is at revision {current}, which this version of the bot does not know: "
            "it was used by a newer version. Install that version, or restore a backup."
        )


def _migrate(connection: Connection, action: Any, revision: str) -> None:
    action(_config(connection), revision)
