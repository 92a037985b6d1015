"""From a command to its pictures, against a Discord on the loopback that can fail in Discord's ways.

Nothing in here looks into the bot: these tests see the requests that it makes, the lines that it logs, the
processes that it leaves. All but the first draw with a worker that needs no torch; words in the prompt tell
it what to do ("slow" waits for the gate's file, "big" makes large pictures).
"""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import pytest

from .bot_process import REAL_BOT, gate, running_bot, until_it_can_draw
from .handles import Interaction
from .loopback_discord import LoopbackDiscord
from .payloads import JSON
from .people import Where
from .scene import DELIVERY_SECONDS, Scene, stop
from .seen import (
    JAPANESE,
    assert_command_speaks_japanese,
    assert_is_png_with_settings,
    assert_is_webp_with_settings,
    assert_log_is_json,
    assert_names_but_does_not_ping,
    deliveries,
    embed_fields,
    has_pictures,
    job_states,
    pictures,
    shows_progress,
)


async def test_a_command_becomes_a_picture_of_the_real_model(server: LoopbackDiscord, tmp_path: Path) -> None:
    async with running_bot(server, tmp_path, REAL_BOT) as bot:
        await until_it_can_draw(server, bot)
        assert_command_speaks_japanese(server)

        options = {"prompt": "1girl, blue hair", "preset": "More Details", "steps": 4, "seed": "7"}
        interaction = await server.slash("trinart", options)
        await interaction.wait(has_pictures, DELIVERY_SECONDS)

        assert interaction.deferred
        assert interaction.history[0].loading
        [picture] = pictures(server, interaction.message)
        assert [r.files for r in deliveries(server)] == [[picture.sha256]]
        assert_is_png_with_settings(picture, "1girl, blue hair", "Seed: 7", "Steps: 4")
        assert picture.description is not None
        assert "1girl, blue hair" in picture.description
        shown = embed_fields(interaction)
        expected = {"Preset": "More Details", "Seed": "`7`", "Steps": "4", "CFG": "6"}
        assert shown.items() >= expected.items()
        assert "flat shading" in shown["Negative prompt"]
        assert "bad hands" in shown["Negative prompt"]
        assert shown.keys() >= {"Sampler", "Size", "Model", "Time"}
        assert server.messages(server.channel["id"]) == [interaction.message]

        bot.terminate()
        assert await bot.exit_code() == 0
    assert_log_is_json(bot, server.world.token)
    assert server.world.token not in "".join(bot.stdout + bot.stderr)


async def test_the_japanese_are_answered_in_japanese(scene: Scene) -> None:
    spoken = {locale: await everything_said(scene, locale) for locale in ("en-US", "ja")}
    for english, japanese in zip(spoken["en-US"], spoken["ja"], strict=True):
        assert not JAPANESE.search(english)
        assert english == "CFG" or JAPANESE.search(japanese), japanese


async def everything_said(scene: Scene, locale: str) -> list[str]:
    """What somebody with that language reads: progress, alt text, names of settings, a refusal."""
    gate(scene.data_dir).unlink(missing_ok=True)
    drawn = await scene.server.slash("trinart", {"prompt": "slow"}, locale=locale)
    refused = await scene.server.slash("trinart", {"prompt": "x", "steps": 999}, locale=locale)
    await drawn.wait(shows_progress, DELIVERY_SECONDS)
    await refused.wait(shows_progress, DELIVERY_SECONDS)
    assert refused.ephemeral
    said = [drawn.history[-1].content, refused.history[-1].content]
    gate(scene.data_dir).touch()
    await drawn.wait(has_pictures, DELIVERY_SECONDS)
    [picture] = pictures(scene.server, drawn.message)
    return [*said, picture.description or "", *embed_fields(drawn)]


async def test_an_interaction_that_comes_twice_is_answered_once(scene: Scene) -> None:
    interaction = await scene.server.slash("trinart", {"prompt": "a lighthouse"})
    await scene.server.slash("trinart", repeat_of=interaction)
    await scene.server.requested(
        "POST", f"/interactions/{interaction.id}/*", count=2, timeout=DELIVERY_SECONDS
    )
    await interaction.wait(has_pictures, DELIVERY_SECONDS)
    await stop(scene)
    assert job_states(scene.data_dir) == ["delivered"]
    assert scene.server.messages(scene.server.channel["id"]) == [interaction.message]


# --- an upload that fails ---


async def test_an_upload_that_discord_refuses_for_now_is_tried_again(scene: Scene) -> None:
    scene.server.fail_next("PATCH", "/webhooks/*", 503, uploads_only=True)
    scene.server.fail_next("PATCH", "/webhooks/*", 429, uploads_only=True)
    interaction = await scene.server.slash("trinart", {"prompt": "big"})
    await interaction.wait(has_pictures, DELIVERY_SECONDS)
    await stop(scene)
    [picture] = pictures(scene.server, interaction.message)
    assert_is_png_with_settings(picture, "big")
    uploads = [(r.status, r.files) for r in scene.server.requests if r.files]
    assert uploads == [(status, [picture.sha256]) for status in (503, 429, 200)]
    assert job_states(scene.data_dir) == ["delivered"]


async def test_an_upload_whose_connection_breaks_is_tried_again(scene: Scene) -> None:
    # Cut before the body is read: a megabyte is still on its way.
    scene.server.fail_next("PATCH", "/webhooks/*", status=None, after_body=False, uploads_only=True)
    interaction = await scene.server.slash("trinart", {"prompt": "big"})
    await interaction.wait(has_pictures, DELIVERY_SECONDS)
    await stop(scene)
    [picture] = pictures(scene.server, interaction.message)
    assert_is_png_with_settings(picture, "big")
    assert [r.json for r in scene.server.requests if r.status is None] == [None]
    assert [r.files for r in deliveries(scene.server)] == [[picture.sha256]]
    assert job_states(scene.data_dir) == ["delivered"]


@pytest.mark.parametrize("status", [503, None])
async def test_a_first_answer_whose_confirmation_is_lost_leads_to_a_picture(
    scene: Scene, status: int | None
) -> None:
    """Discord shows "is thinking" but the bot hears an error, or nothing, and does not know that it does."""
    scene.server.fail_next("POST", "/interactions/*/callback", status, apply=True)
    interaction = await scene.server.slash("trinart", {"prompt": "a lighthouse"})
    await interaction.wait(has_pictures, DELIVERY_SECONDS)


# --- a token that expires ---


async def test_a_picture_that_comes_too_late_goes_to_the_channel(scene: Scene) -> None:
    interaction = await ask_and_let_the_token_expire(scene)
    await arrival(scene.server, scene.server.channel)
    [_, late] = scene.server.messages(scene.server.channel["id"])
    assert_names_but_does_not_ping(late, interaction)
    assert late["embeds"]
    [picture] = pictures(scene.server, late)
    assert_is_png_with_settings(picture, "a slow lighthouse")


@pytest.mark.parametrize("fault", [None, 503])
async def test_where_the_channel_is_closed_it_comes_by_direct_message(
    scene: Scene, fault: int | None
) -> None:
    private = scene.server.dm()
    if fault is not None:
        scene.server.fail_next("POST", f"/channels/{private['id']}/messages", fault)
    interaction = await ask_and_let_the_token_expire(scene, guild_id="424242")
    await arrival(scene.server, private)
    [late] = scene.server.messages(private["id"])
    assert_names_but_does_not_ping(late, interaction)
    [picture] = pictures(scene.server, late)
    assert_is_png_with_settings(picture, "a slow lighthouse")


async def ask_and_let_the_token_expire(scene: Scene, **where: Unpack[Where]) -> Interaction:
    """Ask for a picture that is drawn only after the fifteen minutes of the interaction's token."""
    interaction = await scene.server.slash("trinart", {"prompt": "a slow lighthouse"}, **where)
    await interaction.wait(shows_progress, DELIVERY_SECONDS)
    interaction.expire()
    gate(scene.data_dir).touch()
    return interaction


async def arrival(server: LoopbackDiscord, channel: JSON) -> None:
    """Wait until a message with a picture stands in the channel."""

    def arrived() -> bool:
        return any(message["attachments"] for message in server.messages(channel["id"]))

    await server.world.pulse.until(arrived, DELIVERY_SECONDS, "a picture in the channel")


# --- a small upload limit ---


async def test_pictures_over_the_limit_are_sent_as_webp_in_one_message(scene: Scene) -> None:
    options = {"prompt": "big", "seed": "1"}
    for images, limit in ((1, 60_000), (4, 80_000)):
        asked = {**options, "images": images}
        interaction = await scene.server.slash("trinart", asked, attachment_size_limit=limit)
        await interaction.wait(has_pictures, DELIVERY_SECONDS)
        assert interaction.followups == []
        sent = pictures(scene.server, interaction.message)
        assert sum(len(picture.data) for picture in sent) <= limit
        assert [picture.filename for picture in sent] == [
            f"trinart-{seed}.webp" for seed in range(1, images + 1)
        ]
        for seed, picture in enumerate(sent, start=1):
            assert_is_webp_with_settings(picture, limit // images, "big", f"Seed: {seed}")
            assert picture.description
