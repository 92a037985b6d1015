"""The host hears by direct message that nothing can be drawn or checked: once, and when it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.safety.outages import LEAST_BETWEEN, Notice, Outages
from tests.integration.simcord_admins import application_of
from tests.integration.simcord_world import World, is_japanese, open_world, until


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Mika hosts the bot, and Ren is of her team."""
    async with open_world(tmp_path) as world:
        with application_of(world.mika, team={world.mika: "admin", world.ren: "developer"}):
            yield world


def heard(world: World, since: int = 0) -> list[str]:
    """What Mika and Ren were told; asserts that it is the same."""
    mika, ren = ([m.content for m in member.user.dm_channel.history()] for member in (world.mika, world.ren))
    assert mika == ren
    return mika[since:]


async def test_a_picture_that_cannot_be_checked_is_told_once_and_its_end_too(world: World) -> None:
    for _ in range(2):
        assert (await world.draw(prompt="1girl unchecked")).attachments == []
    await until(world.env, lambda: heard(world))
    [text] = heard(world)
    assert text.startswith("🚨 **A picture could not be checked.**")
    assert is_japanese(text), "nobody knows the host's language"
    assert "1girl" not in text
    assert (await world.draw(prompt="1girl")).attachments
    await until(world.env, lambda: len(heard(world)) == 2)
    assert heard(world)[1].startswith("✅ Pictures are drawn and checked again.")
    for prompt in ("1girl unchecked", "1girl"):
        await world.draw(prompt=prompt)
    await world.env.settle()
    assert world.services.outages.due() is None, "nothing is on its way"
    assert len(heard(world)) == 2, "not more often than the bound allows"


async def test_a_check_that_never_works_is_told_once_over_restarts_and_its_end_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIN_WORKER_DIR", str(tmp_path))
    broken = tmp_path / "checker-broken"
    async with open_world(tmp_path) as world:
        pass
    with application_of(world.mika, team={world.mika: "admin", world.ren: "developer"}):
        broken.touch()
        for _ in range(2):
            async with open_world(tmp_path, after=world) as world:
                await until(world.env, lambda: heard(world))
                await world.env.settle()
                assert world.services.outages.due() is None, "nothing is on its way"
                assert len(heard(world)) == 1
        assert heard(world)[0].startswith("🚨 **No pictures are drawn any more.** broken, as asked")
        broken.unlink()
        async with open_world(tmp_path, after=world) as world:
            await until(world.env, lambda: len(heard(world)) == 2)
            assert heard(world)[1].startswith("✅")


async def test_a_host_without_direct_messages_costs_the_bot_nothing(world: World) -> None:
    world.env.inject_error("POST", "/users/@me/channels", status=403, code=50007, times=None)
    await world.draw(prompt="1girl unchecked")
    assert (await world.draw(prompt="1girl")).attachments
    assert heard(world) == []


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def test_what_fails_and_works_in_turns_is_told_once_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    outages = Outages(tmp_path / "outages.json", clock)
    assert outages.due() is None
    assert outages.seconds_left() is None
    told: list[Notice] = []
    for _ in range(60):
        for problem in ("", "a crash", ""):
            outages.checked(problem)
            if (notice := outages.due()) is not None:
                told.append(notice)
                await outages.told(notice)
        clock.now += timedelta(minutes=2)
    crash, over = Notice(part="check", reason="a crash"), Notice(part=None)
    assert told == [crash, over] * 2

    outages.checked("it stays")
    await outages.told(Notice(part="check"))
    outages.works("engine")
    assert outages.due() is None, "the check does not work yet"


async def test_an_outage_within_the_hour_is_told_when_it_is_over(tmp_path: Path) -> None:
    clock = Clock()
    outages = Outages(tmp_path / "outages.json", clock)
    for problem in ("first", "", "second"):
        outages.checked(problem)
        if (notice := outages.due()) is not None:
            await outages.told(notice)
    assert outages.due() is None
    assert outages.seconds_left() == LEAST_BETWEEN.total_seconds()
    clock.now += LEAST_BETWEEN
    assert outages.due() == Notice(part="check", reason="second")


async def test_a_damaged_file_is_no_reason_for_silence(tmp_path: Path) -> None:
    (tmp_path / "outages.json").write_text("{", encoding="utf-8")
    outages = Outages(tmp_path / "outages.json")
    outages.failed("engine", "gone")
    assert outages.due() == Notice(part="engine", reason="gone")
