"""Rows and services for the tests of appeals, reports and strikes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from bot.administration import Administration
from bot.database.models import JobRow
from bot.database.session import Database
from bot.presets import PresetBook
from bot.quotas import HostRules
from tests.fixtures.stored import REQUEST

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)


def administration_of(database: Database, clock: Callable[[], datetime]) -> Administration:
    """What admins do, by a clock of the test's."""
    return Administration(database, HostRules(), PresetBook.load(), clock, kept_days=30)


def job_of(number: int, user_id: int) -> Callable[[AsyncSession], Awaitable[None]]:
    """Writes a delivered job whose prompt is `x`."""

    async def write(session: AsyncSession) -> None:
        session.add(
            JobRow(
                id=f"{number:032x}",
                state="delivered",
                request=msgspec.msgpack.encode(msgspec.structs.replace(REQUEST, prompt="x")),
                cost=0,
                preset="",
                level="default",
                prompt_decision="allow",
                prompt_reasons=[],
                created_at=MIDNIGHT,
                user_id=user_id,
                locale="en-US",
                attachment_size_limit=1,
            )
        )

    return write
