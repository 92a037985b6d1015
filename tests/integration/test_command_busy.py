"""An engine with too much to do: members hear at once that theirs was not taken, and why."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import simcord

from engine.protocol import Failed, JobEvent
from tests.integration.simcord_world import World, interactions_with, open_world, until


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[World]:
    """A bot whose engine draws one picture, lets one wait, and refuses the next."""
    monkeypatch.setenv("PLAIN_WORKER_DIR", str(tmp_path))
    monkeypatch.setenv("PLAIN_WORKER_GATE", str(tmp_path / "gate"))
    async with open_world(tmp_path, max_batch_size=1, queue_limit=1) as world:
        yield world


def text_of(result: simcord.InteractionResult) -> str:
    """What the message of a command says now."""
    return result.response.content if result.response else ""


async def test_a_full_queue_is_told_in_the_members_language(world: World, tmp_path: Path) -> None:
    taken = [await world.ask(prompt="slow")]
    await until(world.env, lambda: "step" in text_of(taken[0]))
    taken.append(await world.ask(prompt="slow"))
    await until(world.env, lambda: "queue" in text_of(taken[1]))

    refused = await world.ask(prompt="1girl")
    await until(world.env, lambda: text_of(refused).startswith("Too many pictures are waiting"))
    assert "Nothing was charged" in text_of(refused)
    with interactions_with(locale="ja"):
        in_japanese = await world.ask(prompt="1girl")
    await until(world.env, lambda: "順番待ちの絵が多すぎる" in text_of(in_japanese))
    assert [(job.state, job.error_code) for job in (await world.jobs())[2:]] == [
        ("refused", "queue_full")
    ] * 2

    (tmp_path / "gate").touch()
    for result in taken:
        assert (await world.answer_to(result)).attachments, "what was taken is drawn"
    assert (await world.draw(prompt="1girl")).attachments, "there is room again"


async def test_a_deadline_that_cannot_be_met_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(job_id: str, *_: Any, **__: Any) -> AsyncGenerator[JobEvent]:
        yield Failed(job_id, "deadline", "it would take 99 s, and has 10 s")

    monkeypatch.setattr(world.service.engine, "submit", refuse)
    refused = await world.answer_to(await world.ask(prompt="1girl"))
    assert "longer than the host allows" in refused.content
    assert (await world.last_job()).state == "refused"
