"""Rows and services for the tests of appeals, reports and strikes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from bot.administration import Administration
from bot.database.models import ImageRow, JobRow
from bot.database.safety import ServerSafetyRow
from bot.database.session import Database
from bot.presets import PresetBook
from bot.quotas import HostRules
from tests.fixtures.safety import verdict
from tests.fixtures.stored import REQUEST

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)


def administration_of(database: Database, clock: Callable[[], datetime]) -> Administration:
    """What admins do, by a clock of the test's."""
    return Administration(database, HostRules(), PresetBook.load(), clock, kept_days=30)


def job_of(number: int, user_id: int) -> Callable[[AsyncSession], Awaitable[None]]:
    """Writes a delivered job whose prompt is `x`, with one daring picture."""

    async def write(session: AsyncSession) -> None:
        session.add(
            JobRow(
                id=f"{number:032x}",
                state="delivered",
                request=msgspec.msgpack.encode(msgspec.structs.replace(REQUEST, prompt="x")),
                cost=0,
                preset="",
                level="age-restricted",
                prompt_decision="allow",
                prompt_reasons=[],
                created_at=MIDNIGHT,
                user_id=user_id,
                locale="en-US",
                attachment_size_limit=1,
                images=[
                    ImageRow(
                        position=0,
                        seed=1,
                        width=64,
                        height=64,
                        sha256="0" * 64,
                        file_name="",
                        verdict=msgspec.to_builtins(verdict(0.4)),
                        is_withheld=False,
                    )
                ],
            )
        )

    return write


def strict_channel(guild_id: int, channel_id: int) -> Callable[[AsyncSession], Awaitable[None]]:
    """Writes that a server allows everything, and one of its channels little."""

    async def write(session: AsyncSession) -> None:
        session.add(
            ServerSafetyRow(
                guild_id=guild_id,
                level="age-restricted",
                channels={str(channel_id): "strict"},
                updated_at=MIDNIGHT,
            )
        )

    return write
