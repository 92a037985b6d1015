"""Model folders: found by name, checked before anybody loads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.installed import size_of
from engine.models import DEMO_FOLDER, SD1_SIZES, ModelError, find_model, read_model

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the demo model."""
    return Path(shutil.copytree(DEMO_FOLDER, tmp_path / "some-model"))


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("demo", DEMO_FOLDER),
        ("derrida", Path("/models/derrida")),
        ("/else/where", Path("/else/where")),
        ("./here", Path("here")),
        ("~/mine", Path.home() / "mine"),
    ],
)
def test_a_model_is_found_by_name_or_path(name: str, place: Path) -> None:
    assert find_model(name, Path("/models")) == place


def test_the_demo_model_is_whole() -> None:
    card = read_model(DEMO_FOLDER)
    assert card.name == "demo"
    assert card.sizes == {"square": (128, 128), "portrait": (128, 160), "landscape": (160, 128)}
    assert card.hash == "", "only a worker reads the weights"


def test_without_a_card_a_folder_is_a_stable_diffusion_model(folder: Path) -> None:
    (folder / "trinart_model.json").unlink()
    card = read_model(folder)
    assert card.name == "some-model"
    assert card.sizes == SD1_SIZES
    assert card.view_scale == 1


def test_weights_may_be_in_several_files(folder: Path) -> None:
    whole = folder / "unet" / WEIGHTS
    whole.rename(whole.with_name("diffusion_pytorch_model-00001-of-00002.safetensors"))
    (folder / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors").write_bytes(b"x")
    read_model(folder)


def write_card(**fields: object) -> Callable[[Path], None]:
    """Harm that replaces fields of the card."""

    def harm(folder: Path) -> None:
        path = folder / "trinart_model.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return harm


def write(name: str, data: bytes) -> Callable[[Path], None]:
    """Harm that replaces a file."""

    def harm(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return harm


def remove(name: str) -> Callable[[Path], None]:
    """Harm that takes a file away."""
    return lambda folder: (folder / name).unlink()


def file_not_folder(folder: Path) -> None:
    """One file in the folder's place."""
    shutil.rmtree(folder)
    folder.write_bytes(b"x")


def dangling_weights(folder: Path) -> None:
    """A link into a cache that was cleaned."""
    (folder / "unet" / WEIGHTS).unlink()
    (folder / "unet" / WEIGHTS).symlink_to(folder / "cleaned")


def unreadable_card(folder: Path) -> None:
    """The card is a folder."""
    (folder / "trinart_model.json").unlink()
    (folder / "trinart_model.json").mkdir()


HARMS: dict[str, Callable[[Path], None]] = {
    "no folder": shutil.rmtree,
    "a file, not a folder": file_not_folder,
    "no index": remove("model_index.json"),
    "index cut short": write("model_index.json", b'{"_class_name": '),
    "index not UTF-8": write("model_index.json", b"\xff\xfe"),
    "no UNet": lambda folder: shutil.rmtree(folder / "unet"),
    "no weights": remove(f"unet/{WEIGHTS}"),
    "empty weights": write(f"vae/{WEIGHTS}", b""),
    "weights link to nothing": dangling_weights,
    "text encoder's configuration cut short": write("text_encoder/config.json", b"{"),
    "no scheduler": remove("scheduler/scheduler_config.json"),
    "card cut short": write("trinart_model.json", b"{"),
    "card empty": write("trinart_model.json", b""),
    "card not UTF-8": write("trinart_model.json", b'{"name": "\xff", "sizes": {"square": [64, 64]}}'),
    "card is a folder": unreadable_card,
    "no name": write("trinart_model.json", b'{"sizes": {"square": [64, 64]}}'),
    "no size": write_card(sizes={}),
    "size of nothing": write_card(sizes={"square": [0, 64]}),
    "size of nothing below": write_card(sizes={"square": [64, -64]}),
    "size no multiple of 8": write_card(sizes={"square": [100, 64]}),
    "view scale of nothing": write_card(view_scale=0),
    "no steps": write_card(default_steps=0),
    "unknown sampler": write_card(default_sampler="Magic"),
}


@pytest.mark.parametrize("name", HARMS)
def test_a_broken_folder_is_told_in_one_sentence(folder: Path, name: str) -> None:
    HARMS[name](folder)
    with pytest.raises(ModelError) as told:
        read_model(folder)
    assert "\n" not in str(told.value)
    assert str(folder) in str(told.value)


def test_the_model_that_ships_is_small_and_knows_no_path_of_where_it_was_made() -> None:
    assert size_of(DEMO_FOLDER) <= 24_000_000
    for file in DEMO_FOLDER.rglob("config.json"):
        assert "_name_or_path" not in json.loads(file.read_text())
