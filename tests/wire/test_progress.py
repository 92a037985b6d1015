"""Progress by edits: often enough for people, seldom enough for Discord, and never over the pictures."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from .bot_process import gate
from .handles import Interaction
from .loopback_discord import LoopbackDiscord
from .scene import DELIVERY_SECONDS, Scene, cancel, playing, stop
from .seen import button_labels, has_pictures, job_states, progress_edits, shows_progress

EDIT_SECONDS = 2.0
"""Least time between two edits that show progress."""
CLOCK_SECONDS = 0.05
"""What a timer may be early, and two readings of the clock differ."""


async def test_the_first_answer_does_not_wait_for_what_is_being_drawn(scene: Scene) -> None:
    """The server refuses what comes after Discord's three seconds: a first answer that it has was in time."""
    server = scene.server
    drawn = await server.slash("trinart", {"prompt": "slow"})
    await drawn.wait(shows_progress, DELIVERY_SECONDS)
    others = [
        await server.slash("trinart", {"prompt": "another"}),
        await server.slash("trinart", {"prompt": "x", "steps": 999}),
        await server.autocomplete("trinart", {"prompt": "", "preset": ""}, "preset"),
    ]
    for interaction in others:
        await interaction.wait(lambda i: i.acknowledged, DELIVERY_SECONDS)
    assert [interaction.callback_type for interaction in others] == [5, 4, 8]
    assert not has_pictures(drawn)
    gate(scene.data_dir).touch()
    await others[0].wait(has_pictures, DELIVERY_SECONDS)


async def test_progress_is_edited_in_at_most_every_two_seconds(
    server: LoopbackDiscord, tmp_path: Path
) -> None:
    # Two images are all that a worker for batches of one takes; those who wait behind them are told each
    # place that they move up.
    async with playing(server, tmp_path, {"TRINART_MAX_BATCH_SIZE": "1"}) as scene:
        queue: list[Interaction] = []
        for images in (2, 1, 1, 1):
            queue.append(await server.slash("trinart", {"prompt": "slow", "images": images}))
            await queue[-1].wait(shows_progress, DELIVERY_SECONDS)
        drawn, *ahead, last = queue
        for place, leaver in enumerate(ahead, start=1):
            await cancel(server, leaver)
            await last.wait(lambda _, seen=place: len(progress_edits(server, last)) > seen, DELIVERY_SECONDS)
        gate(scene.data_dir).touch()
        await drawn.wait(has_pictures, DELIVERY_SECONDS)
        await last.wait(has_pictures, DELIVERY_SECONDS)
    edits = progress_edits(server, last)
    assert len({edit.json["content"] for edit in edits}) >= 3
    assert all(later.at - edit.at > EDIT_SECONDS - CLOCK_SECONDS for edit, later in pairwise(edits))


async def test_an_edit_that_takes_long_does_not_cover_the_pictures(scene: Scene) -> None:
    """The last edit of the progress is still on its way when the picture is drawn."""
    held = scene.server.hold_next("PATCH", "/webhooks/*")
    interaction = await scene.server.slash("trinart", {"prompt": "slow"})
    await held.arrived(DELIVERY_SECONDS)
    gate(scene.data_dir).touch()
    # Drawn after it, and delivered by the same bot: it has had all the time to deliver the first too early.
    next_one = await scene.server.slash("trinart", {"prompt": "another"})
    await next_one.wait(has_pictures, DELIVERY_SECONDS)
    held.release()
    await interaction.wait(has_pictures, DELIVERY_SECONDS)
    await stop(scene)
    assert has_pictures(interaction)
    assert [bool(shown.embeds) for shown in interaction.history] == [False, False, True]
    assert interaction.message is not None
    assert (interaction.message["content"], button_labels(interaction.message)) == ("", ["Report"])
    assert job_states(scene.data_dir) == ["delivered", "delivered"]
