"""Each group of commands once on PostgreSQL, by way of one bot: whatever it asks of the database is answered.

What the commands say in all cases is tested on SQLite, in files of their own.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator

import pytest
import simcord
from sqlalchemy import delete, func, select

from bot.database.models import GuildSettingsRow, ImageRow, LedgerEntryRow, QuotaRow
from tests.fixtures.postgres import PostgresServer
from tests.integration.simcord_admins import Office, open_office, told
from tests.integration.simcord_limits import COST
from tests.integration.simcord_world import buttons, embed_fields, open_world


@pytest.fixture(scope="module")
async def office(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Office]:
    """One bot for all tests of this file."""
    folder = tmp_path_factory.mktemp("postgres")
    async with postgres_server.new_database() as url, open_world(folder, database_url=url) as world:
        yield open_office(world)


@pytest.fixture(autouse=True)
async def _no_rules(office: Office) -> None:
    async with office.world.database.session() as session:
        for table in (QuotaRow, GuildSettingsRow):
            await session.execute(delete(table))


async def mikas(office: Office, command: str) -> simcord.ResponseMessage:
    """What Mika is answered."""
    result = await office.ask(command, by=office.world.mika)
    assert result.response is not None
    return result.response


async def charged(office: Office) -> int:
    async with office.world.database.session() as session:
        return -int(await session.scalar(select(func.sum(LedgerEntryRow.amount))) or 0)


async def test_quotas(office: Office) -> None:
    world = office.world
    await office.do("admin quota set", window="day", amount=COST / 1000)
    assert (await world.draw(prompt="1girl", seed="1")).attachments
    assert "you have 0 of" in (await world.draw(prompt="1girl")).content
    assert "0 of 0.003 left today" in embed_fields(await mikas(office, "quota"))["You, here"]
    assert f"{COST / 1000} pictures (a day, from midnight)" in await office.do("admin quota show")
    assert "Member: 0 left of" in await office.do("admin quota show", member=world.mika)

    await office.do("admin quota grant", member=world.mika, amount=1, days=3)
    assert (await world.draw(prompt="1girl")).attachments
    await office.do("admin quota reset", member=world.mika, reason="a gift")
    assert (await world.draw(prompt="1girl")).attachments
    result = await office.ask("admin quota export")
    assert result.response is not None
    [file] = result.response.attachments
    rows = list(csv.DictReader(io.StringIO((await file.read()).decode("utf-8-sig"))))
    kinds = ["reserve", "settle", "grant", "reserve", "settle", "reset", "reserve", "settle"]
    assert [row["kind"] for row in reversed(rows)] == kinds


async def test_limits_and_blocks(office: Office) -> None:
    world = office.world
    await office.do("admin limits", rate="1/h")
    assert (await world.draw(prompt="1girl")).attachments
    assert (await world.draw(prompt="1girl")).content.startswith("That was too fast")
    await office.do("admin limits", rate="off")
    await office.do("admin block", member=world.mika, reason="spam", hours=1)
    assert "spam" in (await world.draw(prompt="1girl")).content
    await office.do("admin unblock", member=world.mika)
    assert (await world.draw(prompt="1girl")).attachments


async def test_the_log_and_the_usage(office: Office) -> None:
    await office.world.draw(prompt="1girl", images=2)
    await office.do("admin settings", timezone="Asia/Tokyo")
    await office.do("admin limits", at_once=4)
    log = (await office.do("admin log")).splitlines()
    assert log[1] == "-# requests at a time: — → 4"
    assert log[3] == "-# time zone: UTC → Asia/Tokyo"
    result = await office.ask("admin usage")
    assert result.response is not None
    async with office.world.database.session() as session:
        drawn = await session.scalar(select(func.count()).select_from(ImageRow))
    assert f"Pictures: {drawn}." in told(result)
    assert embed_fields(result.response)["Most pictures"].startswith("1. mika: ")


async def test_presets(office: Office) -> None:
    world = office.world
    form = await office.boss.slash(world.channel, "preset create")
    await office.boss.submit_modal(form, {"name": "Foggy", "prompt": "fog"})
    assert embed_fields(await world.draw(prompt="1girl", preset="foggy"))["Preset"] == "Foggy@1"
    await office.ask("preset delete", name="foggy")
    assert "no presets" in told(await office.ask("preset list"))
    assert embed_fields(await world.draw(prompt="1girl", preset="foggy@1"))["Preset"] == "Foggy@1"


async def test_jobs_and_privacy(office: Office) -> None:
    world = office.world
    await world.draw(prompt="a lighthouse")
    listed = (await mikas(office, "jobs")).embeds[0].description or ""
    assert listed.splitlines()[0] == "✅ done: a lighthouse"

    [file] = (await mikas(office, "privacy export")).attachments
    content = json.loads(await file.read())
    assert content["jobs"][-1]["request"]["prompt"] == "a lighthouse"
    assert content["ledger_entries"]
    before = await charged(office)
    question = await mikas(office, "privacy delete")
    await world.mika.click(question, label=buttons(question)[0])
    assert await world.jobs() == []
    assert await charged(office) == before, "what was charged stays"
