"""`/admin usage`: what is counted, the words in the answer, and the plot beside them."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import simcord
from discord.utils import format_dt
from PIL import Image
from sqlalchemy import delete

from bot.database.models import GuildSettingsRow, ImageRow, JobRow, RefusalRow
from bot.usage import Usage, Waiting, read_usage
from cogs.usage_plot import plot
from tests.integration.simcord_admins import Office, open_office
from tests.integration.simcord_world import embed_fields, interactions_with, is_japanese, open_world

SERVER = 77
NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """One bot and one engine for all tests of this file."""
    async with open_world(tmp_path_factory.mktemp("usage")) as world:
        yield open_office(world)


# --- counts ---


def job(created_at: datetime, number: int, **changes: Any) -> JobRow:
    """A job of that time, delivered, with one picture unless `images` says otherwise."""
    images = changes.pop("images", 1)
    shown = changes.pop("shown", images)
    values: dict[str, Any] = {
        "id": f"{number:032x}",
        "state": "delivered",
        "request": b"",
        "cost": 1000,
        "preset": "None",
        "created_at": created_at,
        "guild_id": SERVER,
        "user_id": 1,
        "locale": "en-US",
        "attachment_size_limit": 1,
    }
    pictures = [
        ImageRow(
            position=place, seed=0, width=1, height=1, sha256="", file_name="", is_withheld=place >= shown
        )
        for place in range(images)
    ]
    return JobRow(**values | changes, images=pictures)


@pytest.fixture
async def counted(office: Office) -> AsyncIterator[None]:
    """Jobs and refusals around midnight in Tokyo, 15:00 UTC."""
    midnight = datetime(2026, 3, 30, 15, tzinfo=UTC)
    waits = {"started_at": midnight + timedelta(seconds=4)}
    rows = [
        GuildSettingsRow(guild_id=SERVER, timezone="Asia/Tokyo", updated_at=NOON),
        job(midnight, 1, images=3, **waits),
        job(midnight - timedelta(microseconds=1), 2, preset="More Details"),
        # Of these two, one was withheld: nobody saw it, and it counts for nothing.
        job(midnight + timedelta(seconds=2), 3, user_id=2, images=2, shown=1, **waits),
        job(midnight, 4, state="failed", images=0),
        job(midnight, 5, state="refused", error_code="queue_full", images=0),
        job(midnight, 6, guild_id=SERVER + 1),
        job(NOON - timedelta(days=9), 7),
        *(RefusalRow(created_at=NOON, guild_id=SERVER, user_id=1, code="too_often") for _ in range(2)),
        RefusalRow(created_at=NOON, guild_id=SERVER + 1, user_id=1, code="too_often"),
    ]
    database = office.world.database
    async with database.session() as session:
        session.add_all(rows)
    yield
    async with database.session() as session:
        for table in (ImageRow, JobRow, RefusalRow, GuildSettingsRow):
            await session.execute(delete(table))


@pytest.mark.usefixtures("counted")
async def test_days_are_those_of_the_servers_time_zone(office: Office) -> None:
    async with office.world.database.session() as session:
        usage = await read_usage(session, SERVER, days=3, now=NOON, kept_days=30)
    assert usage.days == [date(2026, 3, 29), date(2026, 3, 30), date(2026, 3, 31)]
    assert usage.pictures == {"None": [0, 0, 4], "More Details": [0, 1, 0]}
    assert usage.refusals == {"too_often": 2, "queue_full": 1}
    assert usage.top_users == [(1, 4), (2, 1)]
    assert usage.waiting == {date(2026, 3, 31): Waiting(p50=2.0, p95=4.0)}


@pytest.mark.usefixtures("counted")
async def test_a_single_day(office: Office) -> None:
    async with office.world.database.session() as session:
        usage = await read_usage(session, SERVER, days=1, now=NOON, kept_days=30)
    assert usage.pictures == {"None": [4]}


@pytest.mark.usefixtures("counted")
async def test_where_the_records_begin(office: Office) -> None:
    """In the first day that was asked for, later, or before what the host keeps."""
    found: dict[int, Usage] = {}
    async with office.world.database.session() as session:
        for days in (10, 11, 90):
            found[days] = await read_usage(session, SERVER, days=days, now=NOON, kept_days=30)
    first = NOON - timedelta(days=9)
    assert [len(usage.days) for usage in found.values()] == [10, 11, 30]
    assert [usage.oldest for usage in found.values()] == [None, first, first]
    assert [usage.kept_days for usage in found.values()] == [None, None, 30]


async def test_a_server_without_anything(office: Office) -> None:
    async with office.world.database.session() as session:
        usage = await read_usage(session, SERVER + 5, days=2, now=NOON, kept_days=30)
    assert usage == Usage(days=[date(2026, 3, 30), date(2026, 3, 31)], top_users=[])


# --- the answer ---


async def shown(office: Office, locale: str, **options: Any) -> simcord.ResponseMessage:
    with interactions_with(locale=locale):
        result = await office.ask("admin usage", **options)
    assert result.response is not None
    return result.response


@pytest.mark.parametrize("locale", ["en-US", "ja"])
async def test_usage_in_words_and_as_a_plot(office: Office, locale: str) -> None:
    world = office.world
    await world.draw(prompt="1girl", images=2)
    await office.do("admin limits", enabled=False)
    await world.draw(prompt="1girl")
    await office.do("admin limits", enabled=True)
    message = await shown(office, locale)
    [embed] = message.embeds
    words = f"{embed.title} {embed.description} {embed_fields(message)}"
    assert is_japanese(words) == (locale == "ja")
    [file] = message.attachments
    with Image.open(io.BytesIO(await file.read())) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width == 1100
    assert embed.image.url is not None
    if locale == "en-US":
        fields = embed_fields(message)
        assert embed.title == "Usage of the last 30 days"
        assert fields["By preset"] == "1. None: 2"
        assert fields["Refusals"] == "1. switched off by the admins: 1"
        assert fields["Most pictures"] == "1. mika: 2", "a name, and no mention"
        assert fields["Waiting"].startswith("Half waited at most")


@pytest.mark.parametrize("locale", ["en-US", "ja"])
async def test_more_days_than_the_host_keeps(office: Office, locale: str) -> None:
    """The tests' host keeps 30."""
    await office.world.draw(prompt="1girl")
    [embed] = (await shown(office, locale, days=90)).embeds
    _, kept, oldest = (embed.description or "").splitlines()
    began = (await office.world.jobs())[0].created_at
    assert format_dt(began, "D") in oldest
    assert is_japanese(kept) == is_japanese(oldest) == (locale == "ja")
    assert "30" in kept
    if locale == "en-US":
        assert embed.title == "Usage of the last 30 days"
        assert kept == "The host keeps records for this many days: 30."
        assert oldest == f"The first record is from {format_dt(began, 'D')}."
    [today] = (await shown(office, locale, days=1)).embeds
    assert len((today.description or "").splitlines()) == 1
    assert locale == "ja" or today.title == "Usage of today"


async def test_days_that_cannot_be_shown(office: Office) -> None:
    assert "`days` must be between 1 and 90; you gave 91" in await office.do("admin usage", days=91)


# --- the plot ---

MANY = [date(2026, 6, 30) - timedelta(days=back) for back in range(90)][::-1]

PLOTS = {
    "nothing": Usage(days=MANY[:30]),
    "one day": Usage(days=MANY[:1], pictures={"None": [1]}, top_users=[(1, 1)]),
    "names that are markup or Japanese": Usage(
        days=MANY[:2], pictures={"$x$ _a": [1, 2], "和風": [0, 1], "_hidden": [1, 0], "x" * 64: [1, 1]}
    ),
    "much": Usage(
        days=MANY,
        pictures={f"preset {number}": [number] * 90 for number in range(15)},
        refusals={f"reason_{number}": number for number in range(1, 20)},
        top_users=[(number, 100 - number) for number in range(10)],
        waiting={day: Waiting(p50=0.1, p95=9e4) for day in MANY},
    ),
}


@pytest.mark.parametrize("usage", PLOTS.values(), ids=PLOTS.keys())
async def test_a_plot_of_any_counts(usage: Usage) -> None:
    """Without a warning: a letter that the font lacks would be one."""
    with Image.open(io.BytesIO(plot(usage))) as picture:
        assert picture.convert("RGB").getpixel((0, 0)) == (0x31, 0x33, 0x38)
        assert picture.width == 1100
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 10
