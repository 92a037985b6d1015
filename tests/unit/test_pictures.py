"""Files on disk, and uploads that fit Discord's limits with their settings in them."""

from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from bot.pictures import PicturesNotWritable, PictureStore, pack_uploads, read_parameters
from engine.protocol import Image
from tests.fixtures.safety import CLEAN, released, verdict

PARAMETERS = "青い髪, smile\nNegative prompt: bad hands\nSteps: 20, Sampler: Euler a, Seed: 1"


def noise_image(seed: int, side: int = 192) -> Image:
    """A picture that compresses badly, with settings that are not Latin."""
    pixels = random.Random(seed).randbytes(side * side * 3)
    info = PngInfo()
    info.add_text("parameters", PARAMETERS)
    buffer = io.BytesIO()
    PillowImage.frombytes("RGB", (side, side), pixels).save(buffer, "PNG", pnginfo=info)
    return Image(png=buffer.getvalue(), seed=seed, width=side, height=side, verdict=CLEAN)


PICTURES = [noise_image(seed) for seed in range(4)]
RELEASED = [released(picture) for picture in PICTURES]
TOTAL = sum(len(picture.png) for picture in PICTURES)


async def test_of_pictures_that_do_not_all_fit_none_stays(tmp_path: Path) -> None:
    (tmp_path / "job-2.png.part").mkdir()  # no file can be written there
    with pytest.raises(IsADirectoryError):
        await PictureStore(tmp_path).save("job", PICTURES)
    assert [path.name for path in tmp_path.iterdir()] == ["job-2.png.part"]


@pytest.mark.parametrize("kind", ["file", "takes nothing", "under a file"])
async def test_a_folder_that_takes_nothing_is_found_before_there_is_a_picture(
    tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "pictures"
    if kind == "takes nothing":
        folder.symlink_to("/sys")  # nobody can make a file there, not even root
    else:
        folder.touch()
    with pytest.raises(PicturesNotWritable, match=r"Pictures cannot be kept in .*/pictures.*: \w") as caught:
        await PictureStore(folder / "data" if kind == "under a file" else folder).prepare()
    assert caught.value.exit_code == 1


async def test_a_folder_that_is_missing_is_made_and_left_empty(tmp_path: Path) -> None:
    await PictureStore(tmp_path / "data" / "pictures").prepare()
    assert list((tmp_path / "data" / "pictures").iterdir()) == []


def test_pictures_that_fit_go_as_they_are() -> None:
    uploads = pack_uploads(RELEASED, TOTAL)
    assert [upload.data for upload in uploads] == [picture.png for picture in PICTURES]
    assert [upload.file_name for upload in uploads] == [f"trinart-{seed}.png" for seed in range(4)]


def test_one_byte_too_many_makes_them_webp() -> None:
    uploads = pack_uploads(RELEASED, TOTAL - 1)
    assert [upload.file_name for upload in uploads] == [f"trinart-{seed}.webp" for seed in range(4)]
    assert {read_parameters(upload.data) for upload in uploads} == {PARAMETERS}


@given(limit=st.integers(6_000, TOTAL + 10), count=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_every_picture_is_sent_once_and_together_they_fit(limit: int, count: int) -> None:
    uploads = pack_uploads(RELEASED[:count], limit)
    assert [upload.seed for upload in uploads] == list(range(count))
    assert sum(len(upload.data) for upload in uploads) <= limit
    for upload in uploads:
        assert read_parameters(upload.data) == PARAMETERS
        PillowImage.open(io.BytesIO(upload.data)).load()


async def test_saved_pictures_come_back_and_can_be_deleted(tmp_path: Path) -> None:
    store = PictureStore(tmp_path / "pictures")
    stored = await store.save("job", PICTURES)
    assert await store.load(stored) == dict(enumerate(PICTURES))
    await store.delete(stored)
    assert list((tmp_path / "pictures").iterdir()) == []
    await store.delete(stored)  # again: no error


async def test_a_withheld_picture_is_never_written(tmp_path: Path) -> None:
    store = PictureStore(tmp_path)
    stored = await store.save("job", PICTURES[:3], withheld={1})
    assert [image.is_withheld for image in stored] == [False, True, False]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["job-0.png", "job-2.png"]
    assert stored[1].sha256 == hashlib.sha256(PICTURES[1].png).hexdigest()
    assert await store.load(stored) == {0: PICTURES[0], 2: PICTURES[2]}
    await store.delete(stored)
    assert list(tmp_path.iterdir()) == []


async def test_scores_that_are_no_numbers_are_not_kept(tmp_path: Path) -> None:
    picture = msgspec.structs.replace(PICTURES[0], verdict=verdict(float("nan")))
    [stored] = await PictureStore(tmp_path).save("job", [picture])
    assert stored.verdict is None


@pytest.mark.parametrize("damage", [b"", b"\x89PNG", None])
async def test_a_damaged_or_missing_file_is_noticed(tmp_path: Path, damage: bytes | None) -> None:
    store = PictureStore(tmp_path)
    stored = await store.save("job", PICTURES[:2])
    if damage is None:
        (tmp_path / stored[1].file_name).unlink()
    else:
        (tmp_path / stored[1].file_name).write_bytes(damage)
    assert await store.load(stored) is None
