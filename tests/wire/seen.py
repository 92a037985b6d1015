"""What the tests of the bot process see of it in Discord, in its log and in its database.

Some of it must be true whatever a test does.
"""

from __future__ import annotations

import io
import json
import re
import sqlite3
from pathlib import Path

from PIL import Image as PillowImage

from bot.pictures import read_parameters

from .bot_process import BotProcess
from .handles import Interaction, StoredFile
from .loopback_discord import LoopbackDiscord
from .payloads import JSON
from .refusals import walk_components
from .rest import RecordedRequest

JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def has_pictures(interaction: Interaction) -> bool:
    """Whether the answer has come: previews have no embed."""
    message = interaction.message
    return message is not None and bool(message["embeds"]) and bool(message["attachments"])


def is_answered(interaction: Interaction) -> bool:
    """Whether the bot has said anything at all."""
    return bool(interaction.history)


def shows_progress(interaction: Interaction) -> bool:
    """Whether the bot has said more than "is thinking"."""
    return interaction.message is not None and bool(interaction.message["content"])


def pictures(server: LoopbackDiscord, message: JSON | None) -> list[StoredFile]:
    """A message's files as they arrived."""
    assert message is not None
    return [server.file(attachment) for attachment in message["attachments"]]


def with_pictures(server: LoopbackDiscord) -> list[JSON]:
    """All messages that show pictures, in all channels."""
    return [
        message
        for message in server.world.messages.values()
        if any(file["filename"].startswith("trinart-") for file in message["attachments"])
    ]


def embed_fields(interaction: Interaction) -> dict[str, str]:
    """The settings under the pictures."""
    assert interaction.message is not None
    [embed] = interaction.message["embeds"]
    return {field["name"]: field["value"] for field in embed["fields"]}


def deliveries(server: LoopbackDiscord) -> list[RecordedRequest]:
    """The requests that brought a job's settings and its first pictures, and were accepted."""
    return [r for r in server.requests if r.files and r.status == 200 and r.json.get("embeds")]


def progress_edits(server: LoopbackDiscord, interaction: Interaction) -> list[RecordedRequest]:
    """The accepted edits of an answer before its pictures."""
    return [
        r
        for r in server.requests
        if r.fits("PATCH", f"/webhooks/*/{interaction.token}/*")
        and r.status == 200
        and "embeds" not in r.json
    ]


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


def logged_errors(bot: BotProcess) -> list[JSON]:
    """What the log has for the host to look into."""
    records: list[JSON] = [json.loads(line) for line in bot.stderr if line.startswith("{")]
    return [record for record in records if record["level"] in ("error", "critical")]


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
    assert logged_errors(bot) == []
    assert bot.stdout == []
    assert token not in "".join(bot.stderr)


# --- pictures and texts ---


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
    [command] = [each for each in server.world.commands[None].values() if each["name"] == "trinart"]
    described = [command, *command["options"]]
    assert {"prompt", "preset"} <= {option["name"] for option in command["options"]}
    assert all(JAPANESE.search(each["description_localizations"]["ja"]) for each in described)


def button_labels(message: JSON) -> list[str]:
    """What the buttons below a message say, in their order."""
    return [part["label"] for part in walk_components(message["components"]) if "label" in part]
