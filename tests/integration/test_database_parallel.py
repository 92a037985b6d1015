"""Several bots at one database: at its first start, and later."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from datetime import UTC, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from bot.database.models import GuildSettingsRow
from bot.database.session import Database, head_revision
from tests.fixtures.database_user import GUILD, TIMES

PROCESSES = 4


async def use_at_once(url: str, work: str) -> list[str]:
    """Let several processes begin at the same moment; returns what each said of its failure, if it failed."""
    command = (sys.executable, "-m", "tests.fixtures.database_user", url, work)
    pipe = asyncio.subprocess.PIPE
    users = [
        await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        for _ in range(PROCESSES)
    ]
    try:
        for user in users:
            assert user.stdout is not None
            assert await user.stdout.readline() == b"ready\n"
        ends = await asyncio.gather(*(user.communicate(b"\n") for user in users))
        return [errors.decode() for user, (_, errors) in zip(users, ends, strict=True) if user.returncode]
    finally:
        for user in users:
            with contextlib.suppress(ProcessLookupError):
                user.kill()
            await user.wait()


@pytest.mark.parametrize("work", ["start", "migrate"])
async def test_bots_that_start_at_once_migrate_once(empty_database_url: str, work: str) -> None:
    """Also when all of them have seen that there are no tables before the first one makes them."""
    assert await use_at_once(empty_database_url, work) == []
    async with Database.connect(empty_database_url, upgrade=False) as database:
        assert await database.revision() == head_revision()
        await database.check()


async def test_without_the_lock_a_start_would_fail(empty_database_url: str) -> None:
    failures = await use_at_once(empty_database_url, "migrate without lock")
    assert failures
    assert all("OperatorError: The database" in failure for failure in failures)


async def test_bots_that_read_and_then_write_wait_for_each_other(empty_database_url: str) -> None:
    async with Database.connect(empty_database_url) as database:

        async def begin(session: AsyncSession) -> None:
            session.add(GuildSettingsRow(guild_id=GUILD, updated_at=datetime.now(UTC)))

        await database.write(begin)
        assert await use_at_once(empty_database_url, "count") == []
        async with database.session() as session:
            row = await session.get_one(GuildSettingsRow, GUILD)
            assert row.default_preset == str(PROCESSES * TIMES)
