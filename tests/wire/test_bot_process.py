"""The bot as its host runs it, against a Discord on the loopback that can fail in Discord's ways.

Nothing in here looks into the bot: these tests see the requests that it makes, the lines that it logs, the
processes that it leaves. All but the first draw with a worker that needs no torch; words in the prompt tell
it what to do ("slow" waits for the gate's file, "big" makes large pictures).
"""

from __future__ import annotations

import io
import re
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import pytest
from PIL import Image as PillowImage

from bot.pictures import read_parameters

from .bot_process import REAL_BOT, BotProcess, gate, running_bot, until_it_can_draw, wait_gone
from .handles import Interaction, StoredFile
from .loopback_discord import LoopbackDiscord
from .payloads import JSON
from .people import Where
from .rest import RecordedRequest

DELIVERY_SECONDS = 30.0
"""For a picture to arrive, retries included; nothing but a broken bot ever waits this long."""

JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
DEFERRED = 5


@dataclass(frozen=True)
class Scene:
    """A bot that can draw, and the Discord that it is connected to."""

    server: LoopbackDiscord
    bot: BotProcess
    data_dir: Path


@pytest.fixture
async def server() -> AsyncIterator[LoopbackDiscord]:
    """A Discord; whatever a test does to it, the bot keeps to its rules."""
    # On a busy machine a RESUME can take longer than Discord's three seconds, which is not the point here.
    async with LoopbackDiscord(callback_window=60) as server:
        yield server
    assert server.unexpected == []
    assert_nobody_is_pinged(server)
    assert_nothing_comes_twice(server)


@pytest.fixture
async def scene(server: LoopbackDiscord, tmp_path: Path) -> AsyncIterator[Scene]:
    """A bot with the plain worker, ready to draw."""
    async with running_bot(server, tmp_path) as bot:
        await until_it_can_draw(server, bot)
        yield Scene(server, bot, tmp_path)
        if bot.is_running:
            bot.terminate()
            assert await bot.exit_code() == 0
    assert_log_is_json(bot, server.world.token)


# --- from a command to its pictures ---


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
        expected = {"Preset": "More Details", "Seed": "`7`", "Steps": "4", "CFG": "2"}
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


# --- a gateway that goes away ---


async def test_what_is_asked_while_the_gateway_is_away_is_answered_after_the_resume(scene: Scene) -> None:
    await scene.server.drop_gateway(how="abort")
    interaction = await scene.server.slash("trinart", {"prompt": "a lighthouse"})
    await interaction.wait(has_pictures, DELIVERY_SECONDS)
    assert (scene.server.resumes, scene.server.identifies) == (1, 1)


async def test_a_session_that_discord_ends_is_begun_anew(scene: Scene) -> None:
    await scene.server.drop_gateway(resumable=False, how="invalidate")
    await scene.server.connected(DELIVERY_SECONDS)
    interaction = await scene.server.slash("trinart", {"prompt": "a lighthouse"})
    await interaction.wait(has_pictures, DELIVERY_SECONDS)
    assert (scene.server.resumes, scene.server.identifies) == (0, 2)


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


# --- a small upload limit ---


async def test_pictures_over_the_limit_are_sent_as_webp_in_as_many_messages_as_it_takes(scene: Scene) -> None:
    options = {"prompt": "big", "seed": "1"}
    single = await scene.server.slash("trinart", options, attachment_size_limit=60_000)
    await single.wait(has_pictures, DELIVERY_SECONDS)
    [picture] = pictures(scene.server, single.message)
    assert_is_webp_with_settings(picture, 60_000, "big", "Seed: 1")

    several = await scene.server.slash("trinart", {**options, "images": 4}, attachment_size_limit=40_000)
    await several.wait(has_pictures, DELIVERY_SECONDS)
    await stop(scene)
    messages = [pictures(scene.server, message) for message in (several.message, *several.followups)]
    assert len(messages) > 1
    assert all(sum(len(picture.data) for picture in message) <= 40_000 for message in messages)
    sent = [picture for message in messages for picture in message]
    assert [picture.filename for picture in sent] == [f"trinart-{seed}.webp" for seed in (1, 2, 3, 4)]
    for seed, picture in enumerate(sent, start=1):
        assert_is_webp_with_settings(picture, 40_000, "big", f"Seed: {seed}")
        assert picture.description


# --- the host's side ---


async def test_a_refused_token_is_one_sentence_and_exit_code_2(
    server: LoopbackDiscord, tmp_path: Path
) -> None:
    token = "not.the.token"
    bot = await BotProcess.start({**server.env(), "DISCORD_TOKEN": token}, tmp_path)
    try:
        assert await bot.exit_code() == 2
    finally:
        await bot.clean_up()
    [sentence] = sentences(bot)
    assert "DISCORD_TOKEN" in sentence
    assert token not in "".join(bot.stdout + bot.stderr)


async def test_a_missing_token_is_one_sentence_that_says_where_to_get_one(
    server: LoopbackDiscord, tmp_path: Path
) -> None:
    bot = await BotProcess.start({**server.env(), "DISCORD_TOKEN": ""}, tmp_path)
    try:
        assert await bot.exit_code() == 2
    finally:
        await bot.clean_up()
    [sentence] = bot.stderr
    assert "https://discord.com/developers/applications" in sentence
    assert server.requests == []


async def test_an_idle_bot_ends_in_order_and_leaves_nothing(scene: Scene) -> None:
    family = scene.bot.family()
    assert len(family) == 2
    await stop(scene)
    await wait_gone(family)
    records = scene.bot.records()
    assert all(record.keys() >= {"event", "level", "logger", "timestamp"} for record in records)
    assert {record["logger"] for record in records} >= {"bot.serve", "engine.core.server"}


async def test_a_job_is_finished_before_the_bot_ends(scene: Scene) -> None:
    family = scene.bot.family()
    interaction = await scene.server.slash("trinart", {"prompt": "slow"})
    await interaction.wait(shows_progress, DELIVERY_SECONDS)
    scene.bot.terminate()
    await scene.bot.said("stopping")
    latecomer = await scene.server.slash("trinart", {"prompt": "another"})
    await latecomer.wait(lambda i: i.message is not None, DELIVERY_SECONDS)
    gate(scene.data_dir).touch()
    assert await scene.bot.exit_code() == 0
    await wait_gone(family)
    assert has_pictures(interaction)
    assert interaction.message is not None
    assert (interaction.message["content"], interaction.message["components"]) == ("", [])
    assert "restarting" in latecomer.history[-1].content
    assert job_states(scene.data_dir) == ["delivered"]


async def test_a_bot_told_to_end_while_it_starts_ends(server: LoopbackDiscord, tmp_path: Path) -> None:
    async with running_bot(server, tmp_path) as bot:
        await bot.said("logging in")
        family = bot.family()
        bot.terminate()
        assert await bot.exit_code() == 0
        await wait_gone(family)
    assert_log_is_json(bot, server.world.token)


async def test_the_cancel_button_of_a_killed_bot_works_in_the_next(scene: Scene) -> None:
    interaction = await scene.server.slash("trinart", {"prompt": "slow"})
    await interaction.wait(shows_progress, DELIVERY_SECONDS)
    scene.bot.kill()
    await scene.bot.exit_code()
    async with running_bot(scene.server, scene.data_dir) as successor:
        await until_it_can_draw(scene.server, successor)
        assert interaction.message is not None
        [row] = interaction.message["components"]
        await scene.server.click(interaction.message, row["components"][0]["custom_id"])
        await interaction.wait(lambda i: "Cancelled" in i.history[-1].content, DELIVERY_SECONDS)
        successor.terminate()
        assert await successor.exit_code() == 0
    assert interaction.message["components"] == []
    assert job_states(scene.data_dir) == ["cancelled"]


async def test_a_job_too_slow_for_the_end_is_delivered_by_the_next_start(scene: Scene) -> None:
    family = scene.bot.family()
    interaction = await scene.server.slash("trinart", {"prompt": "slow"})
    await interaction.wait(shows_progress, DELIVERY_SECONDS)
    await stop(scene)
    await wait_gone(family)
    assert not has_pictures(interaction)
    await assert_next_start_delivers(scene, interaction)


async def test_a_killed_bot_leaves_nothing_running_and_loses_no_job(scene: Scene) -> None:
    family = scene.bot.family()
    interaction = await scene.server.slash("trinart", {"prompt": "slow"})
    await interaction.wait(shows_progress, DELIVERY_SECONDS)
    scene.bot.kill()
    await wait_gone(family)
    assert await scene.bot.exit_code() == -9
    assert not has_pictures(interaction)
    await assert_next_start_delivers(scene, interaction)


# --- what the tests above do ---


async def stop(scene: Scene) -> None:
    """End the bot in order, so that what it was about to do has been done."""
    scene.bot.terminate()
    assert await scene.bot.exit_code() == 0


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


async def assert_next_start_delivers(scene: Scene, interaction: Interaction) -> None:
    """The next bot on the same folder puts the picture where the first one showed the progress."""
    gate(scene.data_dir).touch()
    async with running_bot(scene.server, scene.data_dir) as successor:
        await interaction.wait(has_pictures, DELIVERY_SECONDS)
        successor.terminate()
        assert await successor.exit_code() == 0
    assert scene.server.messages(scene.server.channel["id"]) == [interaction.message]
    assert interaction.followups == []
    assert job_states(scene.data_dir) == ["delivered"]
    assert_log_is_json(successor, scene.server.world.token)


# --- what is seen ---


def has_pictures(interaction: Interaction) -> bool:
    """Whether the answer has come: previews have no embed."""
    message = interaction.message
    return message is not None and bool(message["embeds"]) and bool(message["attachments"])


def shows_progress(interaction: Interaction) -> bool:
    """Whether the bot has said more than "is thinking"."""
    return interaction.message is not None and bool(interaction.message["content"])


def pictures(server: LoopbackDiscord, message: JSON | None) -> list[StoredFile]:
    """A message's files as they arrived."""
    assert message is not None
    return [server.file(attachment) for attachment in message["attachments"]]


def embed_fields(interaction: Interaction) -> dict[str, str]:
    """The settings under the pictures."""
    assert interaction.message is not None
    [embed] = interaction.message["embeds"]
    return {field["name"]: field["value"] for field in embed["fields"]}


def deliveries(server: LoopbackDiscord) -> list[RecordedRequest]:
    """The requests that brought a job's settings and its first pictures, and were accepted."""
    return [r for r in server.requests if r.files and r.status == 200 and r.json.get("embeds")]


def job_states(data_dir: Path) -> list[str]:
    """The states of all jobs in the bot's database, oldest first."""
    database = sqlite3.connect(data_dir / "trinart.db")
    try:
        return [state for (state,) in database.execute("select state from jobs order by created_at")]
    finally:
        database.close()


def sentences(bot: BotProcess) -> list[str]:
    """What the bot said to a person, not to the log."""
    return [line for line in bot.stderr if not line.startswith("{")]


# --- what is always true ---


def assert_nobody_is_pinged(server: LoopbackDiscord) -> None:
    """Every message that was made or changed says that it pings nobody."""
    checked = [message_of(r) for r in server.requests if makes_message(r)]
    assert [m for m in checked if m.get("allowed_mentions") != {"parse": []}] == []


def makes_message(request: RecordedRequest) -> bool:
    """Whether a request makes or changes a message's text, embeds or files."""
    if request.path.endswith("/callback"):
        return bool(request.json) and request.json["type"] in (4, 7)
    return request.method in ("POST", "PATCH") and bool(re.match("/webhooks/|.*/messages", request.path))


def message_of(request: RecordedRequest) -> JSON:
    """The message in a request's body; a callback wraps it. Empty where the body was never read."""
    if request.json is None:
        return {"allowed_mentions": {"parse": []}}
    return request.json["data"] if request.path.endswith("/callback") else request.json


def assert_nothing_comes_twice(server: LoopbackDiscord) -> None:
    """Each job's settings, and so its first pictures, were accepted once; a path is one job's."""
    paths = [request.path for request in deliveries(server)]
    assert len(paths) == len(set(paths))


def assert_log_is_json(bot: BotProcess, token: str) -> None:
    """Where stderr is no terminal, each line is one JSON object; the token is in none of them."""
    assert sentences(bot) == []
    assert [record for record in bot.records() if record["level"] in ("error", "critical")] == []
    assert bot.stdout == []
    assert token not in "".join(bot.stderr)


def assert_names_but_does_not_ping(message: JSON, interaction: Interaction) -> None:
    assert f"<@{interaction.user['id']}>" in message["content"]
    assert message["mentions"] == []


def assert_is_png_with_settings(picture: StoredFile, *texts: str) -> None:
    """A whole PNG, whose text chunk says how it was made."""
    assert picture.filename.endswith(".png")
    with PillowImage.open(io.BytesIO(picture.data)) as image:
        image.load()
        assert image.format == "PNG"
        assert all(text in str(image.info["parameters"]) for text in texts)


def assert_is_webp_with_settings(picture: StoredFile, limit: int, *texts: str) -> None:
    """A whole WebP within the limit, which still says how it was made."""
    assert picture.filename.endswith(".webp")
    assert len(picture.data) <= limit
    with PillowImage.open(io.BytesIO(picture.data)) as image:
        image.load()
        assert image.format == "WEBP"
    assert all(text in read_parameters(picture.data) for text in texts)


def assert_command_speaks_japanese(server: LoopbackDiscord) -> None:
    """The command as Discord registered it has a Japanese description, and so has each option."""
    [command] = server.world.commands[None].values()
    described = [command, *command["options"]]
    assert {"prompt", "preset"} <= {option["name"] for option in command["options"]}
    assert all(JAPANESE.search(each["description_localizations"]["ja"]) for each in described)
