"""`trinart db copy`, between real databases of both kinds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from bot.database import copy
from bot.database.copy import CopyProgress, copy_database
from bot.database.models import Base, GuildSettingsRow
from bot.database.session import Database, NoDatabase
from bot.errors import OperatorError
from bot.job_store import JobStore
from bot.jobs import Origin
from bot.reservations import Reservations
from tests.fixtures.command_line import trinart
from tests.fixtures.stored import CARD, IMAGE, REQUEST

JOBS = 5
NOW = datetime(2026, 12, 31, 23, 59, 59, 123456, tzinfo=UTC)


@pytest.fixture
def other_url(request: pytest.FixtureRequest, empty_database_url: str) -> str:
    """A database of the other kind than `empty_database_url`."""
    is_sqlite = empty_database_url.startswith("sqlite")
    return request.getfixturevalue("postgres_url" if is_sqlite else "sqlite_url")


async def fill(url: str) -> None:
    """Some jobs with pictures, one without, and settings of a server."""
    async with Database.connect(url) as database:
        store = JobStore(database)
        for number in range(JOBS):
            origin = Origin(interaction_id=2**62 + number, user_id=2**62, interaction_token="secret")
            await store.succeed(
                await Reservations(database).reserve(REQUEST, origin), [IMAGE] * 2, seconds=0.1, card=CARD
            )
        await Reservations(database).reserve(REQUEST, Origin())
        async with database.session() as session:
            session.add(GuildSettingsRow(guild_id=2**62, updated_at=NOW))


async def contents(url: str) -> dict[str, list[Any]]:
    """Every row of every table."""
    found: dict[str, list[Any]] = {}
    async with Database.connect(url, upgrade=False) as database, database.snapshot() as connection:
        for table in Base.metadata.sorted_tables:
            rows = await connection.execute(select(table).order_by(*table.primary_key.columns))
            found[table.name] = list(rows)
    return found


async def test_everything_is_copied_in_batches(
    empty_database_url: str, other_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "BATCH_ROWS", 4)
    await fill(empty_database_url)
    seen: list[CopyProgress] = []
    counts = await copy_database(empty_database_url, other_url, seen.append)
    assert await contents(other_url) == await contents(empty_database_url)
    assert counts == {table.name: 0 for table in Base.metadata.sorted_tables} | {
        "jobs": JOBS + 1, "ledger_entries": JOBS, "images": 2 * JOBS, "guild_settings": 1,
    }  # fmt: skip
    assert [progress.copied for progress in seen if progress.table == "images"] == [4, 8, 10]


async def test_what_is_null_stays_null(empty_database_url: str, other_url: str) -> None:
    """JSON has a null of its own, which reads the same."""
    await fill(empty_database_url)
    await copy_database(empty_database_url, other_url, print)
    async with Database.connect(other_url) as database, database.session() as session:
        assert await session.scalar(text("SELECT count(*) FROM jobs WHERE model IS NULL")) == 1


async def test_the_bot_goes_on_with_the_copy(empty_database_url: str, other_url: str) -> None:
    """The next key of a picture is one that no copied picture has."""
    await fill(empty_database_url)
    await copy_database(empty_database_url, other_url, print)
    async with Database.connect(other_url) as database:
        store = JobStore(database)
        unfinished = await store.unfinished()
        assert len(unfinished) == JOBS + 1
        done = await store.succeed(unfinished[-1], [IMAGE], seconds=1, card=CARD)
        assert await store.get(done.id) == done


async def test_an_empty_database_can_be_copied(empty_database_url: str, other_url: str) -> None:
    async with Database.connect(empty_database_url):
        pass
    counts = await copy_database(empty_database_url, other_url, print)
    assert set(counts.values()) == {0}
    await fill(other_url)


async def test_a_target_with_rows_is_refused_and_kept(empty_database_url: str, other_url: str) -> None:
    await fill(empty_database_url)
    async with Database.connect(other_url) as database:
        await Reservations(database).reserve(REQUEST, Origin())
    before = await contents(other_url)
    with pytest.raises(OperatorError, match=r"is not empty.*rows in jobs"):
        await copy_database(empty_database_url, other_url, print)
    assert await contents(other_url) == before


async def test_a_copy_onto_itself_is_refused(empty_database_url: str) -> None:
    await fill(empty_database_url)
    with pytest.raises(OperatorError, match="is not empty"):
        await copy_database(empty_database_url, empty_database_url, print)


async def test_a_source_of_an_older_revision_is_refused(empty_database_url: str, other_url: str) -> None:
    async with Database.connect(empty_database_url) as database:
        await database.downgrade("base")
    with pytest.raises(OperatorError, match=r"source .* at revision base.*trinart db upgrade"):
        await copy_database(empty_database_url, other_url, print)


async def test_a_source_that_is_not_there_is_said_and_no_target_is_made(tmp_path: Path) -> None:
    source, target = (f"sqlite+aiosqlite:///{tmp_path / name}.db" for name in ("source", "target"))
    with pytest.raises(NoDatabase, match=r"no database at .*source\.db"):
        await copy_database(source, target, print)
    with pytest.raises(OperatorError, match=r"^The source cannot be used"):
        await copy_database("://", target, print)
    assert list(tmp_path.iterdir()) == []


FULL = {
    True: "CREATE TRIGGER full BEFORE INSERT ON images BEGIN SELECT RAISE(FAIL, 'full, as asked'); END",
    False: "ALTER TABLE images ADD CONSTRAINT full_as_asked CHECK (position < 1)",
}


async def test_a_copy_that_fails_in_the_middle_leaves_nothing_and_tells_no_values(
    empty_database_url: str, other_url: str
) -> None:
    await fill(empty_database_url)
    async with Database.connect(other_url) as database, database.exclusive() as connection:
        await connection.execute(text(FULL[database.is_sqlite]))
    with pytest.raises(OperatorError, match=r"Nothing was copied to .*full") as caught:
        await copy_database(empty_database_url, other_url, print)
    assert "a.png" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert set(map(len, (await contents(other_url)).values())) == {0}


async def test_a_copy_that_is_cancelled_leaves_nothing_and_locks_nothing(
    empty_database_url: str, other_url: str
) -> None:
    def cancel(_progress: CopyProgress) -> None:
        copying.cancel()

    await fill(empty_database_url)
    copying = asyncio.create_task(copy_database(empty_database_url, other_url, cancel))
    await asyncio.wait([copying])
    assert copying.cancelled()
    await fill(other_url)
    assert len((await contents(other_url))["jobs"]) == JOBS + 1


async def test_the_command_copies_a_file_to_postgresql(
    tmp_path: Path, sqlite_url: str, postgres_url: str
) -> None:
    await fill(sqlite_url)
    target = {"TRINART_DATABASE_URL": postgres_url.replace("postgres:@", "postgres:hunter2@")}
    first = trinart("db", "copy", "data/trinart.db", cwd=tmp_path, **target)
    assert first.stderr == ""
    lines = [line.split() for line in first.stdout.splitlines()]
    assert ["jobs", "6"] in lines
    assert ["images", "10"] in lines
    again = trinart("db", "copy", "data/trinart.db", cwd=tmp_path, **target)
    assert again.returncode == 2
    assert len(again.stderr.splitlines()) == 1
    back = trinart("db", "copy", target["TRINART_DATABASE_URL"], cwd=tmp_path, TRINART_DATA_DIR="back")
    assert lines == [line.split() for line in back.stdout.splitlines()]
    assert not any("hunter2" in result.stdout + result.stderr for result in (first, again, back))
