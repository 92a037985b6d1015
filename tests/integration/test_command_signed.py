"""A host with a certificate: every picture that leaves is signed, and none leaves that cannot be."""

from __future__ import annotations

import io
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import c2pa
import pytest
from PIL import Image as PillowImage
from rich.progress import Progress

from bot.content_credentials import ContentSigner
from bot.doctor import EXPIRES_SOON, examine
from bot.errors import OperatorError
from bot.generate import FileReply
from bot.i18n import translator
from bot.jobs import Job, Origin, utc_now
from bot.pictures import read_parameters
from bot.settings import Settings
from engine.protocol import Image
from tests.fixtures import certificates
from tests.fixtures.certificates import NOW, Files, new_key, write
from tests.fixtures.safety import ReadyDelivery
from tests.fixtures.stored import REQUEST
from tests.integration.simcord_world import (
    World,
    buttons,
    interactions_with,
    open_world,
    pictures,
    sent_messages,
)

NOT_SIGNED = (
    "The picture could not be signed just now, and the host lets none out unsigned. "
    "It is kept: please try again in a few minutes."
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return write(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def nobody_there() -> str:
    """The address of a timestamp authority that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/"


def is_signed(data: bytes, media_type: str) -> bool:
    reader = c2pa.Reader(media_type, io.BytesIO(data))
    return reader.get_validation_state() == "Valid"


async def test_pictures_arrive_signed_in_both_formats(tmp_path: Path, files: Files) -> None:
    async with open_world(tmp_path / "data", **files.settings) as world:
        for picture in await pictures(await world.draw(prompt="1girl", images=2)):
            assert is_signed(picture, "image/png")
            assert read_parameters(picture).startswith("1girl")
        with interactions_with(attachment_size_limit=1_500_000):
            message = await world.draw(prompt="big noise", seed="3")
        [webp] = await pictures(message)
        assert is_signed(webp, "image/webp")
        assert len(webp) <= 1_500_000


async def show(world: World, locale: str) -> str:
    """What the button for a kept picture in Mika's /jobs answers."""
    with interactions_with(locale=locale):
        listed = await world.mika.slash(world.channel, "jobs")
        assert listed.response is not None
        t = translator(locale)
        assert t("Show {number}", number=1) in buttons(listed.response)
        click = await world.mika.click(listed.response, label=t("Show {number}", number=1))
    assert click.response is not None
    assert click.response.ephemeral
    assert click.response.attachments == []
    return click.response.content


async def test_a_picture_that_cannot_be_signed_waits_and_comes_signed_later(
    tmp_path: Path, files: Files, nobody_there: str
) -> None:
    data_dir = tmp_path / "data"
    async with open_world(data_dir, **files.settings, c2pa_tsa_url=nobody_there) as before:
        result = await before.ask(prompt="1girl", seed="9")
        await before.finish()
        row = await before.last_job()
        assert (row.state, row.undelivered_at is not None) == ("succeeded", True)
        assert before.picture_files() != []
        assert await show(before, "en-US") == NOT_SIGNED
        assert await show(before, "ja") == translator("ja")(NOT_SIGNED)
        assert not any(body.get("attachments") for body in sent_messages(before.env)), "nothing unsigned left"

    async with open_world(data_dir, after=before, **files.settings) as world:
        [picture] = await pictures(await world.answer_to(result))
        assert is_signed(picture, "image/png")
        assert (await world.last_job()).state == "delivered"
        assert world.picture_files() == []


# --- the command line ---


def a_delivery() -> ReadyDelivery:
    buffer = io.BytesIO()
    PillowImage.new("RGB", (64, 64)).save(buffer, "PNG")
    image = Image(png=buffer.getvalue(), seed=1, width=64, height=64)
    job = Job(id="0" * 32, request=REQUEST, origin=Origin(), state="succeeded", cost=0, created_at=utc_now())
    return ReadyDelivery(job, image)


async def test_generate_writes_signed_files_or_none(tmp_path: Path, files: Files, nobody_there: str) -> None:
    delivery, out = a_delivery(), tmp_path / "out.png"
    for url, written in ((nobody_there, False), ("", True)):
        signer = ContentSigner.from_settings(Settings(**files.settings, c2pa_tsa_url=url))
        progress = Progress(disable=True)
        reply = FileReply(out, progress, progress.add_task(""), signer=signer)
        await reply.deliver(delivery)
        assert out.exists() == written
        assert isinstance(reply.error, OperatorError) != written
    assert is_signed(out.read_bytes(), "image/png")


async def test_doctor_says_whether_pictures_can_be_signed(
    tmp_path: Path, files: Files, nobody_there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The check of the engine sets it for its own process, which here is everybody's.
    monkeypatch.setenv("TRINART_LOG_LEVEL", "ERROR")
    folder, key = tmp_path / "late", new_key()
    folder.mkdir()
    late = write(folder, key, leaf=certificates.certificate(key, "Late", until=NOW + EXPIRES_SOON / 2))
    last_day = (NOW + EXPIRES_SOON / 2).date()
    far = (NOW + timedelta(days=365)).date()

    async def finding(**changes: Any) -> tuple[bool, str]:
        settings = Settings(data_dir=tmp_path / "data", model="./nowhere", **changes)
        (found,) = [each for each in await examine(settings) if each.check == "Signing"]
        return found.ok, found.text

    assert await finding() == (True, "off: pictures are not signed (TRINART_C2PA_CERTIFICATE)")
    assert await finding(**files.settings) == (True, f"as CN=Test host,O=Tests, until {far}")
    ok, text = await finding(**late.settings)
    assert (ok, text.partition(";")[0]) == (False, f"as CN=Late,O=Tests, until {last_day}")
    ok, text = await finding(**files.settings, c2pa_tsa_url=nobody_there)
    assert not ok
    assert text.startswith("a picture could not be signed: ")
    assert "TRINART_C2PA_TSA_URL" in text
    ok, text = await finding(c2pa_certificate=files.certificate)
    assert not ok
    assert "TRINART_C2PA_PRIVATE_KEY" in text
