"""`/admin moderation`: the moderators' channel, how many reports hide a picture, and members' strikes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.database.models import AuditRow
from bot.database.people import StrikeRow
from tests.integration.simcord_admins import told
from tests.integration.simcord_moderators import (  # noqa: F401 — pytest finds fixtures by name
    Court,
    audit_ids,
    court_of_file,
    court_of_test,
    court_world,
    refused,
)
from tests.integration.simcord_world import (
    interactions_with,
    is_japanese,
)

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])


async def test_the_channel_must_not_be_for_everybody(court: Court) -> None:
    result = await court.boss.slash(
        court.world.channel, "admin moderation settings", channel=court.world.channel
    )
    assert told(result).startswith("Everybody in the server can read <#")


@pytest.mark.parametrize("reports", [0, 101])
async def test_a_number_of_reports_that_cannot_be(court: Court, reports: int) -> None:
    result = await court.boss.slash(court.world.channel, "admin moderation settings", reports=reports)
    assert "`reports` must be between 1 and 100" in told(result)


@LOCALES
async def test_the_settings_are_shown(court: Court, locale: str) -> None:
    with interactions_with(locale=locale):
        result = await court.boss.slash(court.world.channel, "admin moderation settings")
    text = told(result)
    assert f"<#{court.queue.id}>" in text
    assert "3" in text
    assert is_japanese(text) == (locale == "ja")


@LOCALES
async def test_admins_see_and_clear_the_strikes_of_their_server(court: Court, locale: str) -> None:
    world, mika = court.world, court.world.mika
    now = datetime.now(UTC)
    async with world.database.session() as session:
        for guild_id, decision_id in ((world.guild.id, "a" * 32), (1, "b" * 32)):
            session.add(
                StrikeRow(
                    guild_id=guild_id, user_id=mika.id, weight=1, reason="report", decision_id=decision_id,
                    created_at=now,
                )
            )  # fmt: skip
    await refused(world, mika)
    with interactions_with(locale=locale):
        shown = await court.boss.slash(world.channel, "admin moderation strikes", member=mika)
        cleared = await court.boss.slash(world.channel, "admin moderation clear", member=mika)
    for result in (shown, cleared):
        assert is_japanese(told(result)) == (locale == "ja")
        assert f"<@{mika.id}>" in told(result)
    assert (await world.draw(prompt="1girl")).attachments
    async with world.database.session() as session:
        audit = await session.get_one(AuditRow, max(await audit_ids(world)))
    assert (audit.action, audit.before, audit.after) == ("strikes.clear", {"strikes": 1}, {"strikes": 0})
