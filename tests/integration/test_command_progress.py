"""Between the command and the picture: progress, the Cancel button, and jobs that fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import simcord

import cogs.reply
from tests.integration.simcord_world import (
    STEPPING_WORKER,
    Steps,
    World,
    buttons,
    interactions_with,
    is_japanese,
    open_world,
    progress_edits,
    shows_button,
    until,
)


@pytest.fixture(scope="module")
def steps_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("steps")


@pytest.fixture
def steps(steps_folder: Path) -> Steps:
    """Steps that are held until the test releases them."""
    steps = Steps(steps_folder)
    steps.hold()
    return steps


@pytest.fixture(scope="module")
async def world(steps_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A bot whose worker draws step by step, as far as it is told."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPPING_WORKER_DIR", str(steps_folder))
        patch.setenv("PLAIN_WORKER_DIR", str(tmp_path_factory.mktemp("marks")))
        async with open_world(tmp_path_factory.mktemp("progress"), worker_module=STEPPING_WORKER) as world:
            yield world


def text_of(result: simcord.InteractionResult) -> str:
    """What the message of a command says now."""
    return result.response.content if result.response else ""


async def start_drawing(world: World, prompt: str = "1girl") -> simcord.InteractionResult:
    """A command whose picture has begun and is held at its first step."""
    result = await world.ask(prompt=prompt)
    await until(world.env, lambda: shows_button(result))
    return result


# --- progress ---


async def test_a_member_can_watch_the_steps(
    world: World, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the pause between two edits, each step is seen."""
    monkeypatch.setattr(cogs.reply, "PROGRESS_SECONDS", 0.0)
    result = await world.ask(prompt="1girl", steps=4)
    await until(world.env, lambda: "step 1 of 4" in text_of(result))
    assert "▰▰▰▱▱▱▱▱▱▱▱▱" in text_of(result)
    steps.release(1)
    await until(world.env, lambda: "step 2 of 4" in text_of(result))
    assert (await world.last_job()).state == "running"
    assert shows_button(result)
    steps.release("all")
    assert (await world.answer_to(result)).attachments


async def test_who_has_to_wait_sees_a_place_in_the_queue(
    world: World, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker has room for a batch; what comes after waits in the engine."""
    monkeypatch.setattr(cogs.reply, "PROGRESS_SECONDS", 0.0)
    await world.ask(prompt="1girl", images=4)
    waiting = [await world.ask(prompt="1girl", images=4) for _ in range(2)]
    await until(world.env, lambda: "number 1 in the queue" in text_of(waiting[0]))
    await until(world.env, lambda: "number 2 in the queue" in text_of(waiting[1]))
    steps.release("all")
    for result in waiting:
        assert len((await world.answer_to(result)).attachments) == 4


async def test_many_steps_make_few_edits(world: World, steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Discord allows five edits in five seconds: in the pause after one, the others are left out."""
    assert cogs.reply.PROGRESS_SECONDS >= 2
    monkeypatch.setattr(cogs.reply, "PROGRESS_SECONDS", 3600.0)
    first = len(world.env.http_requests)
    steps.release("all")
    message = await world.draw(prompt="1girl", steps=60)
    assert message.attachments, "the picture does not wait for the pause to end"
    assert len(progress_edits(world.env, first)) == 1


async def test_progress_never_covers_the_picture(world: World, steps: Steps) -> None:
    """Whatever was on its way when the job ended, the last edit is the picture."""
    steps.release("all")
    results = [await world.ask(prompt="1girl", steps=20) for _ in range(6)]
    await world.finish()
    for result in results:
        assert result.response is not None
        assert result.response.attachments
        assert buttons(result.response) == ["Report"]


async def test_a_picture_comes_though_progress_could_not_be_shown(world: World, steps: Steps) -> None:
    world.env.inject_error("PATCH", "/webhooks/*/messages/*", status=500)
    steps.release("all")
    assert (await world.draw(prompt="1girl")).attachments


async def test_pictures_that_discord_finds_too_large_are_sent_smaller(
    world: World, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever limit the command had promised."""
    monkeypatch.setattr(cogs.reply, "PROGRESS_SECONDS", 3600.0)
    with interactions_with(attachment_size_limit=3_500_000):
        result = await start_drawing(world, "big noise")
    world.env.inject_error("PATCH", "/webhooks/*/messages/*", status=413, code=40005)
    steps.release("all")
    [attachment] = (await world.answer_to(result)).attachments
    assert attachment.filename.endswith(".webp")
    assert attachment.size <= 1_750_000
    assert (await world.last_job()).state == "delivered"


# --- cancel ---


@pytest.mark.parametrize(
    ("locale", "label", "says"),
    [("en-US", "Cancel", "Cancelled. No picture was drawn."), ("ja", "キャンセル", "キャンセルしました")],
)
async def test_who_asked_can_cancel(world: World, steps: Steps, locale: str, label: str, says: str) -> None:
    with interactions_with(locale=locale):
        result = await start_drawing(world)
        assert result.response is not None
        click = await world.mika.click(result.response, label=label)
    message = await world.answer_to(result)
    assert message.content.startswith(says)
    assert message.attachments == []
    assert buttons(message) == []
    assert not message.ephemeral
    assert click.followups == []
    row = await world.last_job()
    assert (row.state, row.interaction_token, row.images) == ("cancelled", None, [])
    assert row.finished_at is not None


async def test_somebody_else_cannot_cancel(world: World, steps: Steps) -> None:
    result = await start_drawing(world)
    assert result.response is not None
    click = await world.ren.click(result.response, label="Cancel")
    assert click.response is not None
    assert click.response.ephemeral
    assert click.response.content == "This picture belongs to another member."
    steps.release("all")
    assert (await world.answer_to(result)).attachments


async def test_somebody_else_hears_it_in_their_own_language(world: World, steps: Steps) -> None:
    result = await start_drawing(world)
    assert result.response is not None
    with interactions_with(locale="ja"):
        click = await world.ren.click(result.response, label="Cancel")
    assert click.response is not None
    assert is_japanese(click.response.content)
    steps.release("all")
    await world.finish()


async def test_a_click_that_comes_too_late_is_answered(world: World, steps: Steps) -> None:
    """The picture arrived while the member's client still showed the button."""
    result = await start_drawing(world)
    assert result.response is not None
    old_buttons = result.response.components
    steps.release("all")
    message = await world.answer_to(result)
    world.env.backend.get_message(message.channel_id, message.id).components = old_buttons

    click = await world.mika.click(message, label="Cancel")
    assert click.response is not None
    assert click.response.ephemeral
    assert click.response.content == "This picture is already finished."
    assert (await world.last_job()).state == "delivered"


async def test_a_job_that_waits_in_the_queue_can_be_cancelled(
    world: World, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cogs.reply, "PROGRESS_SECONDS", 0.0)
    ahead = [await world.ask(prompt="1girl", images=4) for _ in range(2)]
    result = await start_drawing(world)
    await until(world.env, lambda: "queue" in text_of(result))
    assert result.response is not None
    await world.mika.click(result.response, label="Cancel")
    await until(world.env, lambda: "Cancelled" in text_of(result))
    assert (await world.last_job()).state == "cancelled"
    steps.release("all")
    for other in ahead:
        assert (await world.answer_to(other)).attachments


# --- failure ---


@pytest.mark.parametrize("prompt", ["1girl raise", "1girl nan"])
@pytest.mark.parametrize("locale", ["en-US", "ja"])
async def test_a_job_that_fails_says_so_where_the_picture_was_to_be(
    world: World, steps: Steps, prompt: str, locale: str
) -> None:
    steps.release("all")
    with interactions_with(locale=locale):
        message = await world.draw(prompt=prompt)
    row = await world.last_job()
    assert row.id[:8] in message.content, "the host can look it up"
    assert is_japanese(message.content) == (locale == "ja")
    if locale == "en-US":
        assert message.content.startswith("The picture could not be drawn. Nothing was charged")
    assert "asked" not in message.content, "the cause is for the log"
    assert message.attachments == []
    assert buttons(message) == []
    assert (row.state, row.error_code, row.interaction_token) == ("failed", "generation_error", None)
    assert world.picture_files() == []


@pytest.mark.parametrize("locale", ["en-US", "ja"])
async def test_a_picture_that_discord_refuses_for_good_is_not_tried_again(
    world: World, steps: Steps, monkeypatch: pytest.MonkeyPatch, locale: str
) -> None:
    """Its own word filter, for example: the member hears that it was not taken here."""
    monkeypatch.setattr(cogs.reply, "PROGRESS_SECONDS", 3600.0)
    with interactions_with(locale=locale):
        result = await start_drawing(world)
    world.env.inject_error("PATCH", "/webhooks/*/messages/*", status=403, code=200000)
    steps.release("all")
    message = await world.answer_to(result)
    assert is_japanese(message.content) == (locale == "ja")
    assert "Discord" in message.content
    assert buttons(message) == []
    row = await world.last_job()
    assert (row.state, row.undelivered_at is not None) == ("succeeded", True)
    assert world.picture_files()


async def test_a_failure_does_not_hurt_others_in_its_batch(world: World, steps: Steps) -> None:
    """Drawn one by one after the batch has failed, so that only the guilty job does."""
    first = await start_drawing(world)
    bad = await world.ask(prompt="1girl raise")
    good = await world.ask(prompt="1boy")
    steps.release("all")
    assert (await world.answer_to(first)).attachments
    assert "could not be drawn" in (await world.answer_to(bad)).content
    assert (await world.answer_to(good)).attachments


async def test_a_worker_that_dies_costs_nobody_a_picture(world: World, steps: Steps) -> None:
    steps.release("all")
    message = await world.draw(prompt="1girl die", seed="5")
    assert [attachment.filename for attachment in message.attachments] == ["trinart-5.png"]
    assert (await world.last_job()).state == "delivered"
