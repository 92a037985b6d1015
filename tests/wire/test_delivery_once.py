"""Pictures that arrived although the bot never heard of it are not sent again, whatever was killed when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cogs.reply import HISTORY_LIMIT

from .bot_process import BotProcess, gate, running_bot, until_it_can_draw
from .handles import Interaction
from .payloads import JSON
from .scene import DELIVERY_SECONDS, Scene, kill, stop
from .seen import has_pictures, job_states, shows_progress, with_pictures

SEND = "/channels/*/messages"


async def ask_too_slowly(scene: Scene) -> Interaction:
    """A picture that is finished only when the token of its interaction is over."""
    interaction = await scene.server.slash("trinart", {"prompt": "a slow lighthouse"})
    await interaction.wait(shows_progress, DELIVERY_SECONDS)
    interaction.expire()
    return interaction


async def arrive_unheard_of(scene: Scene) -> JSON:
    """A picture that comes as a new message while the bot that sends it is killed."""
    await ask_too_slowly(scene)
    held = scene.server.hold_next("POST", SEND, uploads_only=True)
    gate(scene.data_dir).touch()
    await held.arrived(DELIVERY_SECONDS)
    await kill(scene)
    held.release()
    await scene.server.world.pulse.until(
        lambda: bool(with_pictures(scene.server)), DELIVERY_SECONDS, "the late message"
    )
    [message] = with_pictures(scene.server)
    message.pop("nonce")  # Discord forgets it after some minutes
    return message


@asynccontextmanager
async def next_start(scene: Scene) -> AsyncIterator[BotProcess]:
    """Another bot on the same folder, until it has ended in order and its jobs are done."""
    async with running_bot(scene.server, scene.data_dir) as successor:
        await until_it_can_draw(scene.server, successor)
        yield successor
        successor.terminate()
        assert await successor.exit_code() == 0


async def test_a_message_that_arrived_while_the_bot_was_killed_is_not_sent_again(scene: Scene) -> None:
    message = await arrive_unheard_of(scene)
    async with next_start(scene):
        pass
    assert with_pictures(scene.server) == [message]
    assert job_states(scene.data_dir) == ["delivered"]


async def test_an_answer_that_arrived_before_its_token_was_over_is_not_sent_to_the_channel(
    scene: Scene,
) -> None:
    held = scene.server.hold_next("PATCH", "/webhooks/*", uploads_only=True)
    interaction = await scene.server.slash("trinart", {"prompt": "a lighthouse"})
    await held.arrived(DELIVERY_SECONDS)
    await kill(scene)
    held.release()
    await interaction.wait(has_pictures, DELIVERY_SECONDS)
    interaction.expire()
    async with next_start(scene):
        pass
    assert with_pictures(scene.server) == [interaction.message]
    assert job_states(scene.data_dir) == ["delivered"]


async def test_a_message_that_never_arrived_is_sent_by_the_next_start(scene: Scene) -> None:
    await ask_too_slowly(scene)
    held = scene.server.hold_next("POST", SEND, uploads_only=True)
    gate(scene.data_dir).touch()
    await held.arrived(DELIVERY_SECONDS)
    await kill(scene)
    held.lose()
    assert with_pictures(scene.server) == []
    async with next_start(scene):
        pass
    assert len(with_pictures(scene.server)) == 1
    assert job_states(scene.data_dir) == ["delivered"]


@pytest.mark.parametrize("status", [503, None])
async def test_a_message_whose_confirmation_is_lost_is_not_sent_again(
    scene: Scene, status: int | None
) -> None:
    await ask_too_slowly(scene)
    scene.server.fail_next("POST", SEND, status, apply=True, uploads_only=True)
    gate(scene.data_dir).touch()
    await scene.server.world.pulse.until(
        lambda: bool(with_pictures(scene.server)), DELIVERY_SECONDS, "the message"
    )
    await stop(scene)
    assert job_states(scene.data_dir) == ["delivered"]
    assert len(with_pictures(scene.server)) == 1


async def test_a_message_that_arrived_is_found_behind_no_others(scene: Scene) -> None:
    """Since the first attempt there were more messages than are looked through, all of them older."""
    await ask_too_slowly(scene)
    first = scene.server.hold_next("POST", SEND, uploads_only=True)
    gate(scene.data_dir).touch()
    await first.arrived(DELIVERY_SECONDS)
    for _ in range(HISTORY_LIMIT + 1):
        world = scene.server.world
        world.post(world.draft(scene.server.channel["id"]), {"content": "chatter"}, {})
    scene.server.fail_next("POST", SEND, None, apply=True, uploads_only=True)
    first.lose()
    await scene.server.world.pulse.until(
        lambda: bool(with_pictures(scene.server)), DELIVERY_SECONDS, "the message"
    )
    for message in with_pictures(scene.server):
        message.pop("nonce")  # Discord forgets it after some minutes
    looked = len(scene.server.requests)
    await stop(scene)
    assert job_states(scene.data_dir) == ["delivered"]
    assert len(with_pictures(scene.server)) == 1
    [page] = [r for r in scene.server.requests[looked:] if r.fits("GET", SEND)]
    assert page.query.keys().isdisjoint({"after", "before"}), "the newest ones, and no further"
