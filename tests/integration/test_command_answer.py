"""From a member's command to the pictures in the channel, drawn by a worker without torch."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import simcord

from bot.pictures import read_parameters
from engine.protocol import Sampler
from tests.integration.simcord_world import (
    STUDIO,
    World,
    buttons,
    embed_fields,
    interactions_with,
    is_japanese,
    open_world,
    parameters,
    pictures,
    progress_edits,
    read_png,
    request_of,
    sent_messages,
)

ANATOMY = "bad hands, fewer digits, bad anatomy, extra digit, missing fingers"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One bot and one engine for all tests of this file."""
    async with open_world(tmp_path_factory.mktemp("answer")) as world:
        yield world


async def test_a_command_becomes_a_picture_in_its_own_message(world: World) -> None:
    """Discord hears at once that the bot is thinking; that message is later the picture."""
    first = len(world.env.http_requests)
    result = await world.ask(prompt="1girl, blue hair", seed="7")
    message = await world.answer_to(result)

    callback = world.env.http_requests[first]
    assert callback.path.endswith("/callback")
    assert callback.json == {"type": 5}, "deferred, and for everybody to see"
    assert not message.ephemeral
    assert [attachment.filename for attachment in message.attachments] == ["trinart-7.png"]
    assert message.content == ""
    assert buttons(message) == ["Report"], "nothing is left to cancel"
    assert world.channel.last_message is not None
    assert world.channel.last_message.id == message.id, "one message, from thinking to picture"
    assert progress_edits(world.env, first)[0] == "⏳ Starting …\n-# costs 0.003"


async def test_the_embed_tells_everything_needed_to_draw_it_again(world: World) -> None:
    message = await world.draw(
        prompt="1girl, smile", preset="More Details", negative="blurry", seed="7", steps=5, cfg=4.5
    )
    assert message.embeds[0].description == "1girl, smile"
    fields = embed_fields(message)
    assert re.fullmatch(r"\d+\.\d s", fields.pop("Time"))
    assert fields == {
        "Negative prompt": f"flat color, flat shading, {ANATOMY}, blurry",
        "Preset": "More Details",
        "Seed": "`7`",
        "Steps": "5",
        "CFG": "4.5",
        "Sampler": "Euler a",
        "Size": "64×64, enlarged ×2 for viewing",
        "Model": "studio `0000000000`",
        "Cost": "0.003",
    }


async def test_the_file_carries_its_settings_as_other_tools_write_them(world: World) -> None:
    """The PNG's `parameters` text is in the form of AUTOMATIC1111's web UI."""
    [png] = await pictures(await world.draw(prompt="1girl, *smile*", negative="blurry", seed="7"))
    text, size = read_png(png)
    assert size == (128, 128)
    assert text == (
        "1girl, *smile*\n"
        f"Negative prompt: {ANATOMY}, blurry\n"
        "Steps: 4, Sampler: Euler a, CFG scale: 6.5, Seed: 7, Size: 64x64, "
        "Model hash: 0000000000, Model: studio, Preset: None"
    )


async def test_a_picture_can_be_read_aloud(world: World) -> None:
    """Each attachment has an alt text that begins by saying what it is."""
    message = await world.draw(prompt="1girl, blue hair", images=2)
    expected = "AI-generated anime picture: 1girl, blue hair"
    assert [attachment.description for attachment in message.attachments] == [expected, expected]


async def test_a_long_prompt_fits_into_every_limit(world: World) -> None:
    message = await world.draw(prompt="x" * 2000, negative="y" * 2000)
    [attachment] = message.attachments
    assert attachment.description is not None
    assert len(attachment.description) <= 1024
    assert len(embed_fields(message)["Negative prompt"]) <= 1024
    [text] = await parameters(message)
    assert "x" * 2000 in text, "the file has the whole of what the message has to shorten"
    assert "y" * 2000 in text


async def test_a_delivered_job_leaves_a_row_but_no_file_and_no_secret(world: World) -> None:
    result = await world.ask(prompt="1girl", images=2, seed="40")
    message = await world.answer_to(result)
    row = await world.last_job()
    assert row.state == "delivered"
    assert row.delivered_at is not None
    assert row.finished_at is not None
    assert row.interaction_token is None, "it could be used to speak as the bot"
    assert (row.user_id, row.channel_id, row.guild_id) == (world.mika.id, world.channel.id, world.guild.id)
    assert row.message_id == message.id
    assert [(image.position, image.seed, image.width, image.height) for image in row.images] == [
        (0, 40, 128, 128),
        (1, 41, 128, 128),
    ]
    assert world.picture_files() == []


async def test_markdown_in_a_prompt_is_shown_as_it_was_typed(world: World) -> None:
    prompt = "*bold* _it_ ||spoiler|| `code` ~~no~~ [here](https://example.com)"
    message = await world.draw(prompt=prompt, negative="**worse**")
    assert message.embeds[0].description == (
        r"\*bold\* \_it\_ \|\|spoiler\|\| \`code\` \~\~no\~\~ \[here](https://example.com)"
    )
    assert embed_fields(message)["Negative prompt"] == ANATOMY + r", \*\*worse\*\*"
    [text] = await parameters(message)
    assert text.startswith(prompt), "the model and the file get what was typed"


async def test_nobody_is_pinged_by_a_prompt(world: World) -> None:
    """The mentions are broken in the embed, and every request forbids them besides."""
    first = len(world.env.http_requests)
    someone = f"<@{world.ren.id}>"
    message = await world.draw(prompt=f"@everyone @here {someone} <@&{world.guild.default_role.id}>")
    description = message.embeds[0].description or ""
    assert "@everyone" not in description
    assert "@here" not in description
    assert someone not in description
    assert "@\u200beveryone" in description

    bodies = sent_messages(world.env, first)
    assert len(bodies) >= 2, "progress, and the picture"
    assert [body["allowed_mentions"] for body in bodies] == [{"parse": []}] * len(bodies)
    assert message.message.mentions == []
    assert not message.message.mention_everyone


async def test_what_is_left_out_comes_from_the_model(world: World) -> None:
    await world.draw(prompt="1girl")
    request = request_of(await world.last_job())
    assert (request.width, request.height) == STUDIO.sizes["square"], "the first size on the card"
    assert request.num_inference_steps == STUDIO.default_steps
    assert request.guidance_scale == STUDIO.default_cfg
    assert request.sampler == STUDIO.default_sampler
    assert request.num_images_per_prompt == 1
    assert request.negative_prompt == ANATOMY
    assert 0 <= request.seed < 2**32


async def test_two_commands_without_a_seed_get_different_ones(world: World) -> None:
    await world.ask(prompt="1girl")
    await world.ask(prompt="1girl")
    await world.finish()
    first, second = [request_of(row).seed for row in (await world.jobs())[-2:]]
    assert first != second


async def test_every_option_reaches_the_engine(world: World) -> None:
    await world.draw(
        prompt="  1girl,\n blue   hair ",
        preset="2022 Artstyle",
        negative="blurry",
        size="portrait",
        steps=9,
        cfg=12.5,
        seed=" 00123 ",
        sampler="DPM++ 2M Karras",
        images=3,
        anatomy=False,
    )
    row = await world.last_job()
    request = request_of(row)
    assert request.prompt == "1girl, blue hair"
    assert request.negative_prompt.startswith("retro style, 1980s")
    assert request.negative_prompt.endswith("2019, blurry")
    assert (request.width, request.height) == (64, 96)
    assert (request.num_inference_steps, request.guidance_scale) == (9, 12.5)
    assert (request.seed, request.sampler, request.num_images_per_prompt) == (123, "DPM++ 2M Karras", 3)
    assert [(image.width, image.height) for image in row.images] == [(128, 192)] * 3


@pytest.mark.parametrize("size", ["landscape", "Landscape", "96x64", "96×64", "96 * 64"])
async def test_a_size_can_be_named_or_typed(world: World, size: str) -> None:
    [png] = await pictures(await world.draw(prompt="1girl", size=size))
    assert read_png(png)[1] == (192, 128)


@pytest.mark.parametrize("sampler", ["Euler a", "DDIM", "Heun"])
async def test_a_sampler_is_chosen_from_the_list(world: World, sampler: Sampler) -> None:
    message = await world.draw(prompt="1girl", sampler=sampler)
    assert embed_fields(message)["Sampler"] == sampler


async def test_discord_itself_refuses_a_sampler_that_is_not_on_the_list(world: World) -> None:
    """The option has choices, so nothing else can be sent."""
    with pytest.raises(simcord.OptionError):
        await world.ask(prompt="1girl", sampler="Leonardo")


async def test_the_same_seed_gives_the_same_file(world: World) -> None:
    once = await pictures(await world.draw(prompt="1girl", seed="11"))
    again = await pictures(await world.draw(prompt="1girl", seed="11"))
    other = await pictures(await world.draw(prompt="1girl", seed="12"))
    assert once == again
    assert once != other


async def test_four_pictures_have_four_seeds_in_a_row(world: World) -> None:
    """Each of them can be drawn again on its own."""
    four = await world.draw(prompt="1girl", seed="50", images=4)
    assert [attachment.filename for attachment in four.attachments] == [
        f"trinart-{seed}.png" for seed in (50, 51, 52, 53)
    ]
    assert embed_fields(four)["Seed"] == "`50`, `51`, `52`, `53`"
    third = await world.draw(prompt="1girl", seed="52")
    assert (await pictures(four))[2] == (await pictures(third))[0]


async def test_seeds_go_on_at_zero_after_the_greatest(world: World) -> None:
    message = await world.draw(prompt="1girl", seed=str(2**63 - 1), images=2)
    assert embed_fields(message)["Seed"] == f"`{2**63 - 1}`, `0`"


async def test_two_members_at_once_get_each_their_own(world: World) -> None:
    mine = await world.ask(prompt="1girl", seed="1")
    theirs = await world.ren.slash(world.channel, "trinart", prompt="1boy", seed="2")
    await world.finish()
    assert mine.response is not None
    assert theirs.response is not None
    assert mine.response.attachments[0].filename == "trinart-1.png"
    assert theirs.response.attachments[0].filename == "trinart-2.png"
    assert theirs.response.embeds[0].description == "1boy"


async def test_a_command_that_discord_sends_twice_is_drawn_once(world: World) -> None:
    """Its gateway may repeat an event after a lost connection."""
    jobs, messages = len(await world.jobs()), len(world.channel.history())
    await world.ask(prompt="1girl")
    gateway = world.env.backend
    event = [payload for _, name, payload in gateway.transcript if name == "INTERACTION_CREATE"][-1]
    gateway.emit("INTERACTION_CREATE", event)
    await world.env.settle()
    await world.finish()
    assert len(await world.jobs()) == jobs + 1
    assert len(world.channel.history()) == messages + 1


async def test_a_japanese_member_reads_japanese(world: World) -> None:
    first = len(world.env.http_requests)
    with interactions_with(locale="ja"):
        message = await world.draw(prompt="1girl, 青い髪", preset="More Details")
    assert is_japanese(progress_edits(world.env, first)[0])
    fields = embed_fields(message)
    assert fields["プリセット"] == "More Details"
    assert is_japanese(fields["サイズ"])
    assert message.embeds[0].description == "1girl, 青い髪"
    description = message.attachments[0].description or ""
    assert is_japanese(description.partition(":")[0])


async def test_pictures_too_large_for_the_server_come_smaller(world: World) -> None:
    """Over Discord's limit the PNGs become WebP; the settings are still in the file."""
    with interactions_with(attachment_size_limit=1_500_000):
        message = await world.draw(prompt="big noise", seed="3")
    [attachment] = message.attachments
    assert attachment.filename == "trinart-3.webp"
    assert attachment.size <= 1_500_000
    assert "Seed: 3" in read_parameters(await attachment.read())


async def test_pictures_too_large_together_share_the_room_of_one_message(world: World) -> None:
    first = len(world.env.http_requests)
    with interactions_with(attachment_size_limit=1_500_000):
        result = await world.ask(prompt="big noise @everyone", seed="3", images=2)
        message = await world.answer_to(result)
    assert result.followups == []
    assert [attachment.filename for attachment in message.attachments] == ["trinart-3.webp", "trinart-4.webp"]
    assert sum(attachment.size for attachment in message.attachments) <= 1_500_000
    assert all(body["allowed_mentions"] == {"parse": []} for body in sent_messages(world.env, first))
    assert (await world.last_job()).state == "delivered"
