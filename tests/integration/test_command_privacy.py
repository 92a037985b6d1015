"""`/privacy`: a member's own data as a file, and its deletion; nobody else's is touched."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import simcord
from sqlalchemy import func, select, text, update

import cogs.reply
from bot.database.models import (
    AuditRow,
    Base,
    BlockRow,
    GrantRow,
    ImageRow,
    JobRow,
    LedgerEntryRow,
    PresetRow,
    QuotaRow,
    RateBucketRow,
    RefusalRow,
)
from bot.database.people import (
    AppealRow,
    ReportedPictureRow,
    ReportRow,
    StrikeRow,
    UseTermsAcceptanceRow,
)
from bot.privacy import ExportTooLarge, Privacy
from tests.integration.simcord_limits import COST, Place, new_place
from tests.integration.simcord_world import (
    World,
    buttons,
    interactions_with,
    is_japanese,
    open_world,
    sent_messages,
    until,
)

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])
TABLES = {
    "jobs": JobRow,
    "images": ImageRow,
    "ledger_entries": LedgerEntryRow,
    "grants": GrantRow,
    "quotas": QuotaRow,
    "rate_buckets": RateBucketRow,
    "blocks": BlockRow,
    "refusals": RefusalRow,
    "presets": PresetRow,
    "audit_log": AuditRow,
    "use_terms_acceptances": UseTermsAcceptanceRow,
    "appeals": AppealRow,
    "strikes": StrikeRow,
    "reported_pictures": ReportedPictureRow,
    "reports": ReportRow,
}


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slow jobs go on when this file exists."""
    path = tmp_path / "gate"
    monkeypatch.setenv("PLAIN_WORKER_GATE", str(path))
    monkeypatch.setattr(cogs.reply, "PROGRESS_SECONDS", 0.0)
    return path


@pytest.fixture
async def world(tmp_path: Path, gate: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path / "data") as world:
        yield world


@pytest.fixture
async def place(world: World) -> Place:
    """Mika drew, was refused, has a grant, a quota and an old block, and wrote a preset; so did Ren."""
    place = await new_place(world)
    place.guild.add_member(world.ren.user)
    ren = simcord.MemberActor(world.env, place.guild, world.ren.user)
    await world.env.settle()
    await place.drawn(seed="1")
    await world.answer_to(await ren.slash(place.channel, "trinart", prompt="ren's secret"))
    past = datetime(2026, 1, 1, tzinfo=UTC)
    for user in (world.mika, world.ren):
        await place.quota("member", 3 * COST, subject_id=user.id)
        await place.add(
            GrantRow(guild_id=place.guild.id, user_id=user.id, expires_at=None),
            RefusalRow(created_at=past, guild_id=place.guild.id, user_id=user.id, code="too_often"),
            BlockRow(
                guild_id=place.guild.id, user_id=user.id, until=past, reason="?", actor_id=99, created_at=past
            ),
            PresetRow(
                guild_id=place.guild.id,
                key=user.name,
                version=1,
                name=user.name,
                description="",
                prompt="fog",
                negative="",
                deleted=False,
                actor_id=user.id,
                created_at=past,
            ),
            AuditRow(
                created_at=past, guild_id=place.guild.id, actor_id=user.id, action="preset.create", target="?"
            ),
            UseTermsAcceptanceRow(user_id=user.id, version="1", accepted_at=past),
            *decided_against(place, user.id, past),
        )
        await place.add(
            ReportRow(message_id=user.id, reporter_id=user.id, created_at=past),
            ReportRow(message_id=user.id, reporter_id=98, created_at=past),
        )
    return place


def decided_against(place: Place, user_id: int, at: datetime) -> list[Base]:
    """A refused prompt that counted, and a reported picture; moderator 99 had to do with both."""
    where = {"guild_id": place.guild.id, "channel_id": place.channel.id, "created_at": at, "actor_id": 99}
    decision_id = f"{user_id:032x}"
    return [
        AppealRow(
            decision_id=decision_id,
            state="possible",
            kind="prompt",
            user_id=user_id,
            reasons=["sexual"],
            prompt="?",
            prompt_hash="",
            locale="ja",
            **where,
        ),
        StrikeRow(
            guild_id=place.guild.id,
            user_id=user_id,
            weight=1,
            reason="?",
            decision_id=decision_id,
            created_at=at,
        ),
        ReportedPictureRow(
            message_id=user_id,
            state="restored",
            job_id="?",
            author_id=user_id,
            content="",
            embeds=[],
            files=[],
            **where,
        ),
    ]


async def rows_of(world: World, user_id: int) -> dict[str, int]:
    """How many rows of each table are about somebody."""
    counts: dict[str, int] = {}
    async with world.database.session() as session:
        jobs = select(JobRow.id).where(JobRow.user_id == user_id)
        for name, model in TABLES.items():
            condition = {
                "images": ImageRow.job_id.in_(jobs),
                "presets": PresetRow.actor_id == user_id,
                "audit_log": AuditRow.actor_id == user_id,
                "quotas": QuotaRow.subject_id == user_id,
                "reported_pictures": ReportedPictureRow.author_id == user_id,
                "reports": ReportRow.reporter_id == user_id,
            }.get(name)
            about = model.user_id == user_id if condition is None else condition  # pyright: ignore
            counts[name] = await session.scalar(select(func.count()).select_from(model).where(about)) or 0
    return counts


async def exported(place: Place, locale: str = "en-US") -> dict[str, Any]:
    message = await place.says("privacy export", locale)
    assert is_japanese(message.content) == (locale == "ja")
    [attachment] = message.attachments
    assert attachment.filename == f"trinart-{place.mika.id}.json"
    return json.loads(await attachment.read())


async def delete(place: Place, locale: str = "en-US") -> simcord.ResponseMessage:
    """Ask for it, and press the button."""
    message = await place.says("privacy delete", locale)
    [label] = buttons(message)
    with interactions_with(locale=locale):
        await place.mika.click(message, label=label)
    return message


# --- export ---


@LOCALES
async def test_the_file_has_every_row_about_the_member(place: Place, locale: str) -> None:
    content = await exported(place, locale)
    counts = await rows_of(place.world, place.mika.id)
    assert {name: len(content[name]) for name in TABLES} == counts
    assert all(counts.values()), "a table without rows would prove nothing"
    [job] = content["jobs"]
    assert job["request"]["prompt"] == "1girl"
    assert job["cost"] == COST
    assert job["channel_id"] == str(place.channel.id), "as text: JSON's numbers have too few digits"
    assert content["user_id"] == str(place.mika.id)


@LOCALES
async def test_values_that_cannot_be_read_take_no_other_away(
    place: Place, locale: str, caplog: pytest.LogCaptureFixture
) -> None:
    await place.drawn(seed="2")
    jobs = sorted((await exported(place))["jobs"], key=lambda job: job["created_at"])
    lost = jobs[0]["id"]
    async with place.world.database.session() as session:
        await session.execute(update(JobRow).where(JobRow.id == lost).values(request=b"\xc1 secret"))
        await session.execute(text("UPDATE jobs SET model = 'secret{' WHERE id = :id"), {"id": lost})
    message = await place.says("privacy export", locale)
    assert (
        message.content.splitlines()[1]
        == {
            "en-US": "⚠️ Values in it that could not be read: 2",
            "ja": "⚠️ 読み込めなかった項目: 2件",
        }[locale]
    )
    told = {job["id"]: job for job in json.loads(await message.attachments[0].read())["jobs"]}
    assert told.keys() == {job["id"] for job in jobs}
    assert (told[lost]["request"], told[lost]["model"]) == ("could not be read", "could not be read")
    assert told[lost]["cost"] == COST
    assert told[jobs[1]["id"]]["request"]["seed"] == 2
    assert [record.getMessage() for record in caplog.records if record.name == "bot.privacy"] == [
        f"jobs: row {lost} cannot be read"
    ]
    assert "secret" not in caplog.text
    assert (await delete(place, locale)).content, "nor does it keep the member from deleting all of it"
    assert (await rows_of(place.world, place.mika.id))["jobs"] == 0


async def test_the_file_has_no_secret_and_nobody_else(place: Place) -> None:
    told = json.dumps(await exported(place))
    assert "interaction_token" not in told
    assert str(place.world.ren.id) not in told
    assert "secret" not in told
    assert '"actor_id": "99"' not in told, "who blocked a member is not the member's data"
    assert '"98"' not in told, "nor who reported a picture"


async def test_no_table_about_members_is_forgotten() -> None:
    """Whoever adds a table with a member in it has to decide what /privacy does with it."""
    about_members = {"user_id", "actor_id", "subject_id", "author_id", "reporter_id"}
    named = {
        table.name
        for table in Base.metadata.tables.values()
        if about_members & {column.name for column in table.columns}
    }
    assert named == set(TABLES) - {"images"}


async def test_a_large_file_is_compressed_and_a_larger_one_refused(place: Place) -> None:
    privacy = place.world.env.bot.services.privacy  # pyright: ignore
    assert isinstance(privacy, Privacy)
    whole = await privacy.export(place.mika.id, 10_000_000)
    small = await privacy.export(place.mika.id, len(whole.data) - 1)
    assert small.file_name == whole.file_name + ".gz"
    assert len(json.loads(gzip.decompress(small.data))["jobs"]) == 1
    with pytest.raises(ExportTooLarge):
        await privacy.export(place.mika.id, 100)


async def test_a_member_of_whom_nothing_is_known(world: World) -> None:
    result = await world.mika.user.slash("privacy export")
    assert result.response is not None
    content = json.loads(await result.response.attachments[0].read())
    assert all(content[name] == [] for name in TABLES)


# --- delete ---


@LOCALES
async def test_what_has_words_goes_and_what_limits_need_stays(place: Place, locale: str) -> None:
    world = place.world
    mika, ren = await rows_of(world, place.mika.id), await rows_of(world, world.ren.id)
    message = await delete(place, locale)
    assert buttons(message) == []
    assert is_japanese(message.content) == (locale == "ja")
    if locale == "en-US":
        assert message.content.startswith(
            "Deleted: requests with their prompts (1), notes of refusals by a limit (1).\n\n"
            "What is kept, and why: amounts and times of what you drew"
        )
    after = await rows_of(world, place.mika.id)
    gone = {name for name, count in after.items() if count < mika[name]}
    assert gone == {
        "jobs", "images", "refusals", "presets", "rate_buckets",
        "use_terms_acceptances", "appeals", "reported_pictures", "reports",
    }  # fmt: skip
    assert all(after[name] == 0 for name in gone)
    assert await rows_of(world, world.ren.id) == ren


async def test_deleting_gives_no_new_allowance(place: Place) -> None:
    await place.drawn()
    await place.drawn()
    assert "you have 0 of" in await place.refused()
    await delete(place)
    assert "you have 0 of" in await place.refused()


async def test_a_preset_stays_for_its_server(place: Place) -> None:
    await delete(place)
    await place.grant(COST)
    assert (await place.drawn(preset="mika")).attachments
    message = await place.says("preset show", name="mika")
    assert str(place.mika.id) not in str(message.embeds[0].to_dict())


@LOCALES
async def test_a_job_that_goes_on_is_to_be_cancelled_first(place: Place, gate: Path, locale: str) -> None:
    before = await rows_of(place.world, place.mika.id)
    result = await place.mika.slash(place.channel, "trinart", prompt="1girl slow")
    await until(place.world.env, lambda: result.response and "▰" in result.response.content)
    message = await delete(place, locale)
    assert "/jobs" in message.content
    assert is_japanese(message.content) == (locale == "ja")
    gate.touch()
    assert (await place.world.answer_to(result)).attachments
    after = await rows_of(place.world, place.mika.id)
    assert after["jobs"] == before["jobs"] + 1
    await delete(place)
    assert (await rows_of(place.world, place.mika.id))["jobs"] == 0


async def test_pictures_that_were_left_on_disk_go_too(place: Place) -> None:
    world = place.world
    file = world.settings.pictures_dir / "left-0.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"picture")
    job = next(job for job in await world.jobs() if job.user_id == place.mika.id)
    await place.add(
        ImageRow(job_id=job.id, position=9, seed=1, width=1, height=1, sha256="", file_name=file.name)
    )
    await delete(place)
    assert not file.exists()


async def test_nothing_goes_before_the_button_is_pressed(place: Place) -> None:
    before = await rows_of(place.world, place.mika.id)
    first = len(place.world.env.http_requests)
    message = await place.says("privacy delete")
    assert message.content.startswith("This deletes all your requests")
    assert "What is kept, and why" in message.content
    assert await rows_of(place.world, place.mika.id) == before
    assert all(body["allowed_mentions"] == {"parse": []} for body in sent_messages(place.world.env, first))
