"""Migrations up and down, and what the database refuses."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

import migrations
from bot.database import sqlite
from bot.database.models import Base, ImageRow, JobRow
from bot.database.session import Database, head_revision
from bot.errors import OperatorError
from bot.job_store import IllegalTransition, JobStore
from bot.jobs import BEFORE, ENDED, DuplicateInteraction, Origin
from bot.reservations import Reservations
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.stored import CARD, IMAGE, REQUEST


async def tables(database: Database) -> set[str]:
    """The names of all tables there are."""
    async with database.snapshot() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


def orphan() -> ImageRow:
    """A picture of no job."""
    return ImageRow(job_id="none", position=0, seed=1, width=1, height=1, sha256="0", file_name="x")


async def test_migrations_go_up_and_down_and_match_the_models(empty_database_url: str) -> None:
    async with Database.connect(empty_database_url) as database:
        assert await database.revision() == head_revision()
        assert await tables(database) == {"alembic_version", *Base.metadata.tables}
        await database.check()  # raises if the models have drifted
        await database.downgrade("base")
        assert await database.revision() is None
        assert await tables(database) == {"alembic_version"}
        await database.upgrade()
        await database.check()


async def test_a_database_of_a_newer_version_is_refused(empty_database_url: str) -> None:
    async with Database.connect(empty_database_url) as database, database.session() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(OperatorError, match=r"9999.*newer version"):
        async with Database.connect(empty_database_url):
            pass


MIGRATION = """
from alembic import op
import sqlalchemy as sa

revision, down_revision, branch_labels, depends_on = "9999", "HEAD", None, None


def upgrade():
    BODY
"""


def add_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Let the newest migration be one that does this."""
    text_of_it = MIGRATION.replace("HEAD", str(head_revision())).replace("BODY", body)
    folder = tmp_path / "migrations"
    shutil.copytree(Path(migrations.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions/9999.py").write_text(text_of_it)
    monkeypatch.setattr(migrations, "__file__", str(folder / "__init__.py"))


async def test_a_migration_that_fails_in_the_middle_changes_nothing(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Database.connect(empty_database_url) as database:
        before = await database.revision(), await tables(database)
        add_migration(
            tmp_path, monkeypatch,
            'op.create_table("half", sa.Column("id", sa.Integer())); op.execute("SELECT * FROM nowhere")',
        )  # fmt: skip
        with pytest.raises(OperatorError, match="nowhere"):
            await database.upgrade()
        assert (await database.revision(), await tables(database)) == before


async def test_a_table_can_be_made_anew_without_the_rows_that_refer_to_it(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite deletes those with the old table, unless foreign keys are off."""
    async with Database.connect(empty_database_url) as database:
        store = JobStore(database)
        done = await store.succeed(
            await Reservations(database).reserve(REQUEST, Origin()), [IMAGE], seconds=1, card=CARD
        )
        body = 'with op.batch_alter_table("jobs") as b: b.alter_column("locale", type_=sa.String(32))'
        add_migration(tmp_path, monkeypatch, body)
        await database.upgrade()
        assert await database.revision() == "9999"
        assert await store.get(done.id) == done
        async with database.session() as session:
            session.add(orphan())
            with pytest.raises(IntegrityError):
                await session.flush()
            await session.rollback()


async def test_a_migration_that_waits_for_another_one_in_vain_says_so(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        Database.connect(empty_database_url) as database,
        Database.connect(empty_database_url) as other,
    ):
        async with other.exclusive():
            monkeypatch.setattr(sqlite, "MIGRATION_SECONDS", 1.0)
            with pytest.raises(OperatorError, match="lock") as caught:
                await database.downgrade("base")
        assert caught.value.exit_code == 1
        assert await database.revision() == head_revision()
        await database.downgrade("base")


@pytest.mark.parametrize("bad_url", ["nonsense", "foo://x", "sqlite+aiosqlite:////proc/none/x.db"])
async def test_an_unusable_database_is_one_sentence(bad_url: str) -> None:
    with pytest.raises(OperatorError, match=r"database|DATABASE"):
        async with Database.connect(bad_url):
            pass


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


async def test_a_password_is_never_in_the_sentence() -> None:
    with pytest.raises(OperatorError) as caught:
        async with Database.connect("postgresql+asyncpg://user:hunter2@127.0.0.1:1/x"):
            pass
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        # What follows the first @ of a password is taken for the host and its port.
        ("postgresql+asyncpg://user:pass@word:hunter2@127.0.0.1/name", "port is no number"),
        ("postgresql+asyncpg://127.0.0.1:1/name?password=hunter2", "Connect call failed|refused"),
        ("postgresql+asyncpg://user:hunter2@127.0.0.1/name?sslmode=require", "sslmode"),
    ],
)
async def test_a_wrong_url_is_one_sentence_without_the_password(url: str, reason: str) -> None:
    with pytest.raises(OperatorError, match=reason) as caught:
        async with Database.connect(url):
            pass
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("postgres:@", "stranger:hunter2@"), 'role "stranger" does not exist'),
        (("/there?", "/elsewhere?"), 'database "elsewhere" does not exist'),
    ],
)
async def test_what_postgresql_refuses_is_one_sentence(
    postgres_server: PostgresServer, change: tuple[str, str], reason: str
) -> None:
    with pytest.raises(OperatorError, match=reason) as caught:
        async with Database.connect(postgres_server.url("there").replace(*change)):
            pass
    assert caught.value.exit_code == 1
    assert "hunter2" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


async def test_a_write_gives_what_its_work_gives(empty_database_url: str) -> None:
    async def work(session: AsyncSession) -> int:
        return int(await session.scalar(text("SELECT 41")) or 0) + 1

    async with Database.connect(empty_database_url) as database:
        assert await database.write(work) == 42


async def test_foreign_keys_and_states_are_enforced(empty_database_url: str) -> None:
    async with Database.connect(empty_database_url) as database:
        nonsense = JobRow(
            id="x", state="napping", request=b"", created_at=datetime.now(UTC), locale="ja",
            attachment_size_limit=1,
        )  # fmt: skip
        for row in (orphan(), nonsense):
            with pytest.raises(IntegrityError):
                async with database.session() as session:
                    session.add(row)


async def test_a_job_comes_back_as_it_was(empty_database_url: str) -> None:
    origin = Origin(interaction_id=2**62, interaction_token="secret", user_id=2**62, locale="ja")
    async with Database.connect(empty_database_url) as database:
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


async def test_an_interaction_makes_one_job(empty_database_url: str) -> None:
    async with Database.connect(empty_database_url) as database:
        store = JobStore(database)
        await Reservations(database).reserve(REQUEST, Origin(interaction_id=7))
        with pytest.raises(DuplicateInteraction):
            await Reservations(database).reserve(REQUEST, Origin(interaction_id=7))
        await Reservations(database).reserve(REQUEST, Origin())
        await Reservations(database).reserve(REQUEST, Origin())
        assert len(await store.unfinished()) == 3


async def test_an_ended_job_stays_ended(empty_database_url: str) -> None:
    async with Database.connect(empty_database_url) as database:
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
