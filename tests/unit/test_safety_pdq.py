"""PDQ hashes: those of the reference, and what they survive."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from engine.safety.block_list import MAX_PDQ_DISTANCE, MAX_PHASH_DISTANCE, BlockList, phash
from engine.safety.errors import CheckerError
from engine.safety.pdq import distance, pdq_hashes
from tools.nsfw_models.pictures import picture

REFERENCE = {
    (3, (224, 224)): "d8d3cf38342577184915918c66d3ccc32b377663db99b93b76ccc8d8b3224ac4",
    (6, (300, 200)): "86da32c9b1edb1e5e9b63fb24e193f5d6a2de02695c6c2831f03e0791de043e0",
    (11, (97, 411)): "13f1ff035f23100e862648fea4a9bbf87a81a721892fcc13b4ee39276bd876a4",
    (15, (64, 64)): "9c73ed4e4521e848c17378422d9969682e5be4eb01a6f13b71ecea89edc64b99",
    (22, (512, 512)): "bdd3630c3d73b79c37759cf3375c4863c28a336dc8a3b79c4823c39cc20a1863",
}
"""What the package pdqhash 0.2.8, which is the reference's own code, says of these pictures."""


def abstract(number: int, size: tuple[int, int] = (224, 224)) -> Image.Image:
    return Image.fromarray(picture(number)).resize(size, Image.Resampling.NEAREST)


def orientations(image: Image.Image) -> list[Image.Image]:
    turned = [
        image,
        *(
            image.transpose(turn)
            for turn in (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
        ),
    ]
    return [*turned, *(ImageOps.mirror(each) for each in turned)]


@pytest.mark.parametrize(("number", "size"), REFERENCE)
def test_hashes_are_those_of_the_reference(number: int, size: tuple[int, int]) -> None:
    assert pdq_hashes(abstract(number, size))[0] == REFERENCE[number, size]


def test_the_other_hashes_are_those_of_the_turned_and_mirrored_picture() -> None:
    image = abstract(6)
    hashes = pdq_hashes(image)
    turned = [pdq_hashes(each)[0] for each in orientations(image)]
    for one in turned:
        assert min(distance(one, other) for other in hashes) <= MAX_PDQ_DISTANCE
    for one, other in itertools.combinations(hashes, 2):
        assert distance(one, other) > MAX_PDQ_DISTANCE, "no two are the same orientation"


def block_list(folder: Path, *lines: str) -> BlockList:
    path = folder / "blocked.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return BlockList.read(path)


def test_a_blocked_picture_is_found_however_it_was_saved(tmp_path: Path) -> None:
    image = abstract(6, (448, 448))
    blocked = block_list(tmp_path, "# a comment", "", f"pdq:{pdq_hashes(image)[0]} the first")
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=50)
    for seen in (*orientations(image), Image.open(jpeg), image.resize((200, 200))):
        assert blocked.find(pdq_hashes(seen), seen) == "the first"
    for number in (10, 11, 13, 15):
        assert blocked.find(pdq_hashes(abstract(number)), abstract(number)) == ""


def test_the_perceptual_hash_finds_what_was_cropped(tmp_path: Path) -> None:
    image = abstract(6, (448, 448))
    cropped = image.crop((9, 9, 439, 439))
    assert distance(phash(image), phash(cropped)) <= MAX_PHASH_DISTANCE
    blocked = block_list(tmp_path, f"PHASH:{phash(image).upper()} \t the second")
    assert blocked.find(pdq_hashes(cropped), cropped) == "the second"
    other = abstract(10)
    assert blocked.find(pdq_hashes(other), other) == ""


def test_an_entry_without_a_name_is_called_by_its_hash(tmp_path: Path) -> None:
    image = abstract(6)
    (upright, *_) = hashes = pdq_hashes(image)
    assert block_list(tmp_path, f"pdq:{upright}").find(hashes, image) == upright


@pytest.mark.parametrize(
    "line", ["pdq:12", "phash:" + "0" * 64, "0" * 64, "pdq:" + "g" * 64, "pdq:" + "0" * 64 + "x"]
)
def test_a_line_that_cannot_be_understood_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(CheckerError, match=r"line 2 of the block list .*blocked\.txt"):
        block_list(tmp_path, "# first", line)


def test_a_block_list_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckerError, match="cannot be read: No such file"):
        BlockList.read(tmp_path / "nowhere")
    (tmp_path / "latin").write_bytes(b"\xff\xfe")
    with pytest.raises(CheckerError, match="no UTF-8 text"):
        BlockList.read(tmp_path / "latin")
