"""Files, modes, pragmas and locks of SQLite."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.database import sqlite
from bot.database.session import Database, NoDatabase
from bot.errors import OperatorError
from bot.jobs import Origin
from bot.reservations import Reservations
from tests.fixtures.stored import REQUEST

WRITE = "UPDATE jobs SET locale = 'ja'"
READ = "SELECT count(*) FROM jobs"


@pytest.mark.parametrize("name", ["file/x.db", "file/folder/x.db", "folder"])
async def test_a_file_that_cannot_be_opened_is_found_before_aiosqlite_tries(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for upgrade in (True, False):
        # SQLite's own words would be "unable to open database file".
        with pytest.raises(OperatorError, match=r"(Not a|Is a) directory|File exists") as caught:
            async with Database.connect(f"sqlite+aiosqlite:///{tmp_path / name}", upgrade=upgrade):
                pass
        assert caught.value.exit_code == 1


async def test_a_database_is_made_only_where_one_is_wanted(tmp_path: Path, sqlite_url: str) -> None:
    with pytest.raises(NoDatabase, match="There is no database"):
        async with Database.connect(sqlite_url, upgrade=False):
            pass
    assert list(tmp_path.iterdir()) == []


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_only_the_bots_user_can_read_the_tokens_in_a_new_database(
    tmp_path: Path, sqlite_url: str
) -> None:
    async with Database.connect(sqlite_url) as database:
        await Reservations(database).reserve(REQUEST, Origin(interaction_token="secret"))
        files = {file.name: mode(file) for file in (tmp_path / "data").iterdir()}
    assert files == dict.fromkeys(("trinart.db", "trinart.db-wal", "trinart.db-shm"), 0o600)
    assert mode(tmp_path / "data") == 0o700


async def test_a_folder_of_the_host_keeps_its_mode(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o750)
    async with Database.connect(sqlite_url):
        assert mode(tmp_path / "data") == 0o750


async def test_sqlite_is_set_up_for_durability(tmp_path: Path, sqlite_url: str) -> None:
    async with Database.connect(sqlite_url) as database, database.session() as session:
        assert await session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert await session.scalar(text("PRAGMA foreign_keys")) == 1
        assert await session.scalar(text("PRAGMA synchronous")) == 2
        assert await session.scalar(text("PRAGMA busy_timeout")) == 5000


async def test_a_row_without_the_row_it_refers_to_is_not_committed(sqlite_url: str) -> None:
    insert = (
        "INSERT INTO images (job_id, position, seed, width, height, sha256, file_name, is_withheld) "
        "VALUES ('none', 0, 1, 1, 1, '', '', 0)"
    )
    async with Database.connect(sqlite_url) as database:
        with pytest.raises(OperatorError, match=r"Nothing was changed.*images"):
            async with database.exclusive() as connection:
                await connection.execute(text(insert))
        async with database.session() as session:
            assert await session.scalar(text("SELECT count(*) FROM images")) == 0
            assert await session.scalar(text("PRAGMA foreign_keys")) == 1
            assert await session.scalar(text("PRAGMA busy_timeout")) == 5000


async def change(session: AsyncSession) -> None:
    await session.scalar(text(READ))
    await session.execute(text(WRITE))


async def test_a_session_that_reads_and_then_writes_can_fail_at_once_and_a_write_cannot(
    sqlite_url: str,
) -> None:
    """Why `write` takes the lock first: no timeout helps a reader whose view is out of date."""
    async with Database.connect(sqlite_url) as database:
        await Reservations(database).reserve(REQUEST, Origin())
        async with database.session() as session:
            await session.scalar(text(READ))
            await database.write(change)
            with pytest.raises(OperationalError, match="locked"):
                await session.execute(text(WRITE))
            await session.rollback()
        await asyncio.gather(*(database.write(change) for _ in range(8)))


async def test_a_write_that_waited_in_vain_leaves_nothing_locked(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.0)
    async with Database.connect(sqlite_url) as database:
        async with database.exclusive():
            for _ in range(20):  # more than there are connections
                with pytest.raises(OperationalError, match="locked"):
                    await database.write(change)
        await database.write(change)


async def test_whoever_is_cancelled_leaves_nothing_locked(sqlite_url: str) -> None:
    async with Database.connect(sqlite_url) as database:

        async def read() -> None:
            async with database.session() as session:
                await change(session)

        for turns in range(40):  # at every place where it can be waiting
            for work in (read(), database.write(change)):
                task = asyncio.create_task(work)
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
        await database.write(change)
        async with database._engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            [(busy, *_)] = await raw.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        assert not busy


def test_a_new_file_is_in_wal_mode_before_anybody_opens_it(tmp_path: Path) -> None:
    """Of several connections that switch to it at once, all but one fail."""
    sqlite.check_file(tmp_path / "x.db", create=True)
    assert (tmp_path / "x.db").read_bytes()[18:20] == b"\2\2", "the file format's version for WAL"
    assert [file.name for file in tmp_path.iterdir()] == ["x.db"]
