"""`/jobs`: a member's own pictures, in progress and ended, and what a cancelled one costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import simcord
from discord.utils import format_dt
from sqlalchemy import func, select

import cogs.reply
from bot.database.models import JobRow, LedgerEntryRow
from tests.integration.simcord_limits import COST_TOLD, Place, new_place
from tests.integration.simcord_world import (
    STEPPING_WORKER,
    Steps,
    World,
    buttons,
    interactions_with,
    is_japanese,
    open_world,
    until,
)

LOCALES = pytest.mark.parametrize("locale", ["en-US", "ja"])


@pytest.fixture(scope="module")
def steps_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("steps")


@pytest.fixture
def steps(steps_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    monkeypatch.setattr(cogs.reply, "PROGRESS_SECONDS", 0.0)
    steps = Steps(steps_folder)
    steps.hold()
    return steps


@pytest.fixture(scope="module")
async def world(steps_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPPING_WORKER_DIR", str(steps_folder))
        patch.setenv("PLAIN_WORKER_DIR", str(tmp_path_factory.mktemp("marks")))
        async with open_world(tmp_path_factory.mktemp("jobs"), worker_module=STEPPING_WORKER) as world:
            yield world


async def a_member(world: World) -> Place:
    """A place with a member who has not asked for anything yet."""
    place = await new_place(world)
    user = world.env.create_user(f"member{place.guild.id}")
    newcomer = place.guild.add_member(user)
    await world.env.settle()
    return Place(world=world, guild=place.guild, channel=place.channel, mika=newcomer, role=place.role)


@pytest.fixture
async def place(world: World) -> Place:
    return await a_member(world)


async def start(place: Place, locale: str = "en-US", **options: object) -> simcord.InteractionResult:
    """A picture that is held at a step."""
    with interactions_with(locale=locale):
        result = await place.mika.slash(place.channel, "trinart", **({"prompt": "1girl"} | options))
    await until(place.world.env, lambda: "step" in text_of(result) or "ステップ" in text_of(result))
    return result


@LOCALES
async def test_a_row_that_cannot_be_read_takes_no_other_away(
    place: Place, steps: Steps, locale: str, caplog: pytest.LogCaptureFixture
) -> None:
    await start(place, prompt="a lighthouse")
    lost = JobRow(
        id=f"{place.guild.id:032x}",
        state="delivered",
        request=b"\xc1 secret words",
        cost=1,
        preset="None",
        created_at=datetime.now(UTC),
        user_id=place.mika.id,
        locale=locale,
        attachment_size_limit=1,
    )
    await place.add(lost)
    lines = listed(await place.says("jobs", locale))
    assert "a lighthouse" in lines[0]
    assert lines[-1] == (
        "-# ⚠️ Requests that cannot be read: 1" if locale == "en-US" else "-# ⚠️ 読み込めないリクエスト: 1件"
    )
    logged = [record.getMessage() for record in caplog.records if record.name == "bot.history"]
    assert logged == [f"job {lost.id} cannot be read"]
    assert "secret" not in caplog.text
    steps.release("all")


def text_of(result: simcord.InteractionResult) -> str:
    return result.response.content if result.response else ""


def listed(message: simcord.ResponseMessage) -> list[str]:
    """The lines of the list."""
    [embed] = message.embeds
    return (embed.description or "").splitlines()


async def paid(place: Place) -> int:
    """What the ledger says of the member."""
    async with place.world.database.session() as session:
        amount = await session.scalar(
            select(-func.sum(LedgerEntryRow.amount)).where(LedgerEntryRow.user_id == place.mika.id)
        )
    return int(amount or 0)


@LOCALES
async def test_who_has_asked_for_nothing(place: Place, locale: str) -> None:
    message = await place.says("jobs", locale)
    [line] = listed(message)
    assert is_japanese(line) == (locale == "ja")
    assert "/trinart" in line
    assert len(buttons(message)) == 1


@LOCALES
async def test_what_goes_on_comes_first_with_its_step_and_a_button(
    place: Place, steps: Steps, locale: str
) -> None:
    steps.release("all")
    done = await place.drawn(locale, seed="1")
    steps.hold()
    result = await start(place, locale, prompt="1boy *smile*", steps=8)
    message = await place.says("jobs", locale)
    lines = listed(message)
    at = format_dt((await place.world.last_job()).created_at, "R")
    assert result.response is not None
    link = f"https://discord.com/channels/{place.guild.id}/{place.channel.id}/{result.response.id}"
    if locale == "en-US":
        assert lines[:2] == [
            "**1.** 🎨 ▰▱▱▱▱▱▱▱▱▱▱▱ step 1 of 8: 1boy \\*smile\\*",
            f"-# costs 0.01 · {at} · [message]({link})",
        ]
        assert lines[2] == "✅ done: 1girl"
        assert lines[3].startswith(f"-# cost {COST_TOLD} · <t:")
        assert buttons(message) == ["Cancel 1", "Look again"]
    assert all(is_japanese(line) == (locale == "ja") for line in lines)
    assert link in lines[1]
    assert f"/{done.id})" in lines[3]
    steps.release("all")
    await place.world.finish()


@LOCALES
async def test_a_picture_is_cancelled_from_the_list_and_the_steps_done_are_paid(
    place: Place, steps: Steps, locale: str
) -> None:
    result = await start(place, locale, steps=60, images=4)
    steps.release(1)
    await until(place.world.env, lambda: "2" in text_of(result).partition("60")[0])
    message = await place.says("jobs", locale)
    await place.mika.click(message, label=buttons(message)[0])
    told = (await place.world.answer_to(result)).content
    done = (await place.world.last_job()).cost * 2
    assert await paid(place) == -(-done // 60)
    if locale == "en-US":
        assert told == (
            "Cancelled. No picture was drawn. The 2 of 60 steps that were done cost 0.01 instead of 0.12."
        )
    assert is_japanese(told) == (locale == "ja")
    assert "0.12" in told

    with interactions_with(locale=locale):
        await place.mika.click(message, label=buttons(message)[-1])
    assert len(buttons(message)) == 1, "nothing is left to cancel"
    lines = listed(message)
    assert lines[0].startswith("⏹️")
    assert "0.01" in lines[1], "what it took, not what it would have"


async def test_what_failed_cost_nothing(place: Place, steps: Steps) -> None:
    steps.release("all")
    await place.world.answer_to(await place.mika.slash(place.channel, "trinart", prompt="1girl raise"))
    lines = listed(await place.says("jobs"))
    assert lines[0] == "⚠️ failed: 1girl raise"
    assert lines[1].startswith("-# cost 0 · ")


async def test_a_job_in_the_queue_says_its_place(place: Place, steps: Steps) -> None:
    ahead = await start(place, images=4)
    waiting = await place.mika.slash(place.channel, "trinart", prompt="1girl", images=4)
    await until(place.world.env, lambda: "queue" in text_of(waiting))
    message = await place.says("jobs")
    assert "number 1 in the queue" in listed(message)[0]
    assert buttons(message) == ["Cancel 1", "Cancel 2", "Look again"]
    await place.mika.click(message, label="Cancel 1")
    await until(place.world.env, lambda: "Cancelled" in text_of(waiting))
    assert text_of(waiting) == "Cancelled. No picture was drawn. Nothing was charged."
    steps.release("all")
    assert (await place.world.answer_to(ahead)).attachments


async def test_nobody_sees_what_others_asked_for(world: World, place: Place, steps: Steps) -> None:
    steps.release("all")
    await place.drawn(seed="2")
    other = await a_member(world)
    assert "✅" not in "".join(listed(await other.says("jobs")))


async def test_a_long_list_is_cut_and_fits(place: Place, steps: Steps) -> None:
    """Discord takes 4096 characters, and every one of these needs a backslash."""
    steps.release("all")
    for _ in range(10):
        await place.world.answer_to(await place.mika.slash(place.channel, "trinart", prompt="*_" * 900))
    message = await place.says("jobs")
    lines = listed(message)
    assert len(lines) == 16
    assert all(line.endswith("…") for line in lines[::2])
    [embed] = message.embeds
    assert (embed.description or "").endswith(")")  # the last one is whole


async def test_in_a_private_message(world: World, place: Place, steps: Steps) -> None:
    """All of a member's pictures, wherever they were asked for."""
    steps.release("all")
    await place.drawn(seed="3")
    result = await place.mika.user.slash("jobs")
    assert result.response is not None
    assert f"/{place.guild.id}/" in listed(result.response)[1]
