"""Every way that discord.py has of sending is watched: each picture that goes out was released before."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import discord
import pytest
from PIL import Image, UnidentifiedImageError

from bot.safety.release import ReleasedFile, ReleasedImage
from tests.integration.simcord_moderators import hidden, open_court
from tests.integration.simcord_world import World, buttons, open_world, until

SENDS: list[tuple[type[Any], str]] = [
    (discord.abc.Messageable, "send"),
    (discord.Webhook, "send"),
    (discord.Webhook, "edit_message"),
    (discord.Message, "edit"),
    (discord.PartialMessage, "edit"),
    (discord.InteractionResponse, "send_message"),
    (discord.InteractionResponse, "edit_message"),
    (discord.Interaction, "edit_original_response"),
    (discord.InteractionMessage, "edit"),
]


class Watch:
    """What was released, and what was sent."""

    def __init__(self) -> None:
        self.released: set[bytes] = set()
        self.pictures_sent = 0
        self.strangers: list[str] = []

    def look_at(self, where: str, arguments: dict[str, Any]) -> None:
        single = [arguments[name] for name in ("file",) if arguments.get(name)]
        several = [each for name in ("files", "attachments") for each in arguments.get(name) or ()]
        for file in [*single, *several]:
            if isinstance(file, discord.File) and is_picture(data := read(file)):
                self.pictures_sent += 1
                if data not in self.released:
                    self.strangers.append(f"{where}: {file.filename}")


def read(file: discord.File) -> bytes:
    file.fp.seek(0)
    data = file.fp.read()
    file.fp.seek(0)
    return data


def is_picture(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data)):
            return True
    except UnidentifiedImageError:
        return False


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    watch = Watch()

    def watched(where: str, real: Callable[..., Any]) -> Callable[..., Any]:
        async def send(self: Any, *positional: Any, **arguments: Any) -> Any:
            watch.look_at(where, arguments)
            return await real(self, *positional, **arguments)

        return send

    def noting(kind: type[Any], data: str) -> Callable[[Any, object], None]:
        real = kind.__post_init__

        def noted(self: Any, key: object) -> None:
            real(self, key)
            watch.released.add(getattr(self, data))

        return noted

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in SENDS:
            patch.setattr(owner, name, watched(f"{owner.__name__}.{name}", getattr(owner, name)))
        for kind, data in ((ReleasedImage, "png"), (ReleasedFile, "data")):
            patch.setattr(kind, "__post_init__", noting(kind, data))
        patch.setattr("cogs.reply.PROGRESS_SECONDS", 0.0)
        yield watch


@pytest.fixture(scope="module")
async def world(watch: Watch, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        gate = tmp_path_factory.mktemp("gate") / "gate"
        patch.setenv("PLAIN_WORKER_GATE", str(gate))
        async with open_world(tmp_path_factory.mktemp("sends")) as world:
            yield world


async def by_the_interaction(world: World) -> None:
    await world.draw(prompt="1girl", images=2)


async def some_withheld(world: World) -> None:
    await world.draw(prompt="1girl mixed", images=3, seed="8")


async def all_withheld(world: World) -> None:
    await world.draw(prompt="1girl bare", images=4)


async def as_a_new_message(world: World) -> None:
    """After the token's quarter of an hour; the worker waits meanwhile."""
    gate = Path(os.environ["PLAIN_WORKER_GATE"])
    result = await world.ask(prompt="1girl slow")
    await until(world.env, lambda: result.response and buttons(result.response))
    await world.env.advance_time(16 * 60)
    gate.touch()
    await world.finish()
    gate.unlink()


async def by_direct_message(world: World) -> None:
    world.env.inject_error("POST", f"/channels/{world.channel.id}/messages", status=403, code=50013)
    await as_a_new_message(world)
    assert world.mika.user.dm_channel.last_message is not None


async def fetched_from_jobs(world: World) -> None:
    world.env.inject_error("PATCH", "/webhooks/*/messages/*", status=400, code=50035, times=None)
    result = await world.ask(prompt="1girl")
    await world.finish()
    world.env.backend.faults.clear()
    assert result.response is not None
    listed = await world.mika.slash(world.channel, "jobs")
    assert listed.response is not None
    [label] = [label for label in buttons(listed.response) if label.startswith("Show")]
    shown = await world.mika.click(listed.response, label=label)
    assert shown.response is not None
    assert shown.response.attachments


async def reported_and_shown_again(world: World) -> None:
    """Once to the moderators, and once where it was."""
    court = await open_court(world)
    await court.open_queue()
    await hidden(court)
    assert len(court.posted().attachments) == 2
    await court.judge.click(court.posted(), label="Show again")


@pytest.mark.parametrize(
    ("way", "least"),
    [
        (by_the_interaction, 2),
        (some_withheld, 2),
        (all_withheld, 0),
        (as_a_new_message, 1),
        (by_direct_message, 1),
        (fetched_from_jobs, 1),
        (reported_and_shown_again, 6),
    ],
)
async def test_every_picture_that_is_sent_was_released(
    world: World, watch: Watch, way: Callable[[World], Any], least: int
) -> None:
    before = watch.pictures_sent
    await way(world)
    await asyncio.sleep(0)
    assert watch.strangers == []
    assert watch.pictures_sent - before >= least
    if way is all_withheld:
        assert watch.pictures_sent == before


async def test_a_picture_that_nobody_released_would_be_noticed(world: World, watch: Watch) -> None:
    """The watch itself works: a picture of somebody else's, sent past the desk."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    bot = world.env.bot
    assert bot is not None
    channel = bot.get_partial_messageable(world.channel.id)
    with world.env.time_context():
        await channel.send(file=discord.File(io.BytesIO(buffer.getvalue()), "stranger.png"))
    assert watch.strangers == ["Messageable.send: stranger.png"]
    watch.strangers.clear()
