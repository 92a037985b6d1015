"""Migrations up and down, and what the database refuses."""

from __future__ import annotations

import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from bot.database.models import Base, ImageRow, JobRow
from bot.database.session import Database, NoDatabase, head_revision
from bot.errors import OperatorError
from bot.jobs import BEFORE, ENDED, DuplicateInteraction, IllegalTransition, JobStore, Origin, StoredImage
from bot.reservations import Reservations
from engine.protocol import GenerationRequest, ModelCard

REQUEST = GenerationRequest(
    prompt="青い髪 🎨",
    width=64,
    height=64,
    num_inference_steps=20,
    guidance_scale=4.0,
    sampler="Euler a",
    seed=2**63 - 1,
)
CARD = ModelCard(name="demo", sizes={"square": (64, 64)}, view_scale=8, hash="abc")
IMAGE = StoredImage(seed=2**63 - 1, width=512, height=512, sha256="0" * 64, file_name="a.png")


def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'data' / 'trinart.db'}"


def tables(tmp_path: Path) -> set[str]:
    with sqlite3.connect(tmp_path / "data" / "trinart.db") as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    return {name for (name,) in rows}


async def test_migrations_go_up_and_down_and_match_the_models(tmp_path: Path) -> None:
    async with Database.connect(url(tmp_path)) as database:
        assert await database.revision() == head_revision()
        assert tables(tmp_path) == {"alembic_version", *Base.metadata.tables}
        await database.check()  # raises if the models have drifted
        await database.downgrade("base")
        assert await database.revision() is None
        assert tables(tmp_path) == {"alembic_version"}
        await database.upgrade()
        await database.check()


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    async with Database.connect(url(tmp_path)) as database, database.session() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(OperatorError, match=r"9999.*newer version"):
        async with Database.connect(url(tmp_path)):
            pass


@pytest.mark.parametrize("bad_url", ["nonsense", "foo://x", "sqlite+aiosqlite:////proc/none/x.db"])
async def test_an_unusable_database_is_one_sentence(bad_url: str) -> None:
    with pytest.raises(OperatorError, match=r"database|DATABASE"):
        async with Database.connect(bad_url):
            pass


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


@pytest.mark.parametrize("bad_url", ["sqlite:///x", "postgresql+psycopg2://x/y", "mysql://x/y"])
async def test_a_driver_that_cannot_be_used_leads_to_those_that_can(bad_url: str) -> None:
    with pytest.raises(OperatorError, match=r"sqlite\+aiosqlite:///.*postgresql\+asyncpg://"):
        async with Database.connect(bad_url):
            pass


async def test_a_missing_driver_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)  # what Python takes for "there is none"
    with pytest.raises(OperatorError, match=r"pip install 'trinart-bot\[postgres\]'.*postgresql\+asyncpg://"):
        async with Database.connect("postgresql+asyncpg://x/y"):
            pass


async def test_a_database_is_made_only_where_one_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(NoDatabase, match="There is no database"):
        async with Database.connect(url(tmp_path), upgrade=False):
            pass
    assert list(tmp_path.iterdir()) == []


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_only_the_bots_user_can_read_the_tokens_in_a_new_database(tmp_path: Path) -> None:
    async with Database.connect(url(tmp_path)) as database:
        await Reservations(database).reserve(REQUEST, Origin(interaction_token="secret"))
        files = {file.name: mode(file) for file in (tmp_path / "data").iterdir()}
    assert files == dict.fromkeys(("trinart.db", "trinart.db-wal", "trinart.db-shm"), 0o600)
    assert mode(tmp_path / "data") == 0o700


async def test_a_folder_of_the_host_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o750)
    async with Database.connect(url(tmp_path)):
        assert mode(tmp_path / "data") == 0o750


async def test_a_password_is_never_in_the_sentence() -> None:
    with pytest.raises(OperatorError) as caught:
        async with Database.connect("postgresql+asyncpg://user:hunter2@127.0.0.1:1/x"):
            pass
    assert "hunter2" not in str(caught.value)


async def test_sqlite_is_set_up_for_durability(tmp_path: Path) -> None:
    async with Database.connect(url(tmp_path)) as database, database.session() as session:
        assert await session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert await session.scalar(text("PRAGMA foreign_keys")) == 1
        assert await session.scalar(text("PRAGMA synchronous")) == 2
        assert await session.scalar(text("PRAGMA busy_timeout")) == 5000


async def test_foreign_keys_and_states_are_enforced(tmp_path: Path) -> None:
    async with Database.connect(url(tmp_path)) as database:
        orphan = ImageRow(job_id="none", position=0, seed=1, width=1, height=1, sha256="0", file_name="x")
        nonsense = JobRow(
            id="x", state="napping", request=b"", created_at=datetime.now(UTC), locale="ja",
            attachment_size_limit=1,
        )  # fmt: skip
        for row in (orphan, nonsense):
            with pytest.raises(IntegrityError):
                async with database.session() as session:
                    session.add(row)


async def test_a_job_comes_back_as_it_was(tmp_path: Path) -> None:
    origin = Origin(interaction_id=2**62, interaction_token="secret", user_id=2**62, locale="ja")
    async with Database.connect(url(tmp_path)) as database:
        store = JobStore(database)
        job = await Reservations(database).reserve(REQUEST, origin)
        assert "secret" not in repr(job)
        assert await store.get(job.id) == job
        done = await store.succeed(job, [IMAGE], seconds=1.5, card=CARD)
        assert await store.get(job.id) == done
        assert await store.unfinished() == [done]
        await store.mark(done, "delivered")
        assert await store.unfinished() == []
        delivered = await store.get(job.id)
        assert delivered is not None
        assert delivered.origin.interaction_token is None


async def test_an_interaction_makes_one_job(tmp_path: Path) -> None:
    async with Database.connect(url(tmp_path)) as database:
        store = JobStore(database)
        await Reservations(database).reserve(REQUEST, Origin(interaction_id=7))
        with pytest.raises(DuplicateInteraction):
            await Reservations(database).reserve(REQUEST, Origin(interaction_id=7))
        await Reservations(database).reserve(REQUEST, Origin())
        await Reservations(database).reserve(REQUEST, Origin())
        assert len(await store.unfinished()) == 3


async def test_an_ended_job_stays_ended(tmp_path: Path) -> None:
    async with Database.connect(url(tmp_path)) as database:
        store = JobStore(database)
        for ended in ENDED:
            job = await Reservations(database).reserve(REQUEST, Origin())
            if ended == "delivered":
                job = await store.succeed(job, [], seconds=1, card=CARD)
            job = await store.mark(job, ended)
            for state in BEFORE:
                with pytest.raises(IllegalTransition):
                    await store.mark(job, state)
            with pytest.raises(IllegalTransition):
                await store.succeed(job, [], seconds=1, card=CARD)
