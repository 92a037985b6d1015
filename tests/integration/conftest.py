"""For the tests of those who moderate: one bot for a file, and its moderators.

Other files have a world of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import delete

from bot.database.models import BlockRow, GuildSettingsRow
from bot.database.people import AppealRow, ReportedPictureRow, StrikeRow
from bot.database.safety import ServerSafetyRow
from tests.integration.simcord_moderators import Court, kept, open_court
from tests.integration.simcord_world import World, open_world


@pytest.fixture(scope="module", name="world")
async def court_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One bot and one engine for all tests of a file."""
    async with open_world(tmp_path_factory.mktemp("people")) as world:
        yield world


@pytest.fixture(scope="module", name="whole_court")
async def court_of_file(world: World) -> Court:
    """Its moderators, for all tests of a file."""
    return await open_court(world)


@pytest.fixture(name="court")
async def court_of_test(world: World, whole_court: Court) -> AsyncIterator[Court]:
    """A court with its channel, where nothing was decided and nothing is reported yet."""
    await whole_court.open_queue()
    yield whole_court
    async with world.database.session() as session:
        for table in (AppealRow, StrikeRow, BlockRow, ReportedPictureRow, GuildSettingsRow, ServerSafetyRow):
            await session.execute(delete(table))
    for file in kept(world):
        file.unlink()
