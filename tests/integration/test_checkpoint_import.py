"""Checkpoints become model folders: the same weights, the same picture, and what they were made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from engine.checkpoints.checksums import sha256_of
from engine.checkpoints.components import SD1_FOLDER
from engine.installed import ImportRecord, read_record
from engine.models import DEMO_FOLDER, SD1_SIZES, read_model
from engine.protocol import Assign
from engine.worker.interfaces import Pixels
from engine.worker.loading import ModelOptions, load_model
from tests.fixtures.checkpoints import (
    Weights,
    components,
    compvis_model,
    compvis_vae,
    do_import,
    save,
    save_lightning,
    training_extras,
)
from tests.fixtures.engine import make_request


def weights_of(folder: Path, part: str) -> Weights:
    (component,) = [component for component in components() if component.folder == part]
    return load_file(folder / component.path)


def is_demo(folder: Path, *, besides: str = "") -> bool:
    """Whether the weights are the demo model's, bit for bit; one part may differ."""
    for component in components():
        if component.folder == besides:
            continue
        ours, theirs = load_file(folder / component.path), load_file(DEMO_FOLDER / component.path)
        if ours.keys() != theirs.keys() or any(not torch.equal(ours[k], theirs[k].float()) for k in ours):
            return False
    return True


def draw(folder: Path) -> Pixels:
    model = load_model(folder, ModelOptions())
    [sample] = model.start(Assign("job", make_request("1girl, blue hair")))
    while sample.done < 1:
        model.step([sample])
    [picture] = model.decode([sample])()
    assert picture is not None
    return picture


def test_an_imported_demo_model_draws_the_demo_models_picture(tmp_path: Path) -> None:
    folder = do_import(tmp_path, save(tmp_path / "m.ckpt", {"state_dict": compvis_model()}))
    assert np.array_equal(draw(folder), draw(DEMO_FOLDER))


FORMS = {
    "wrapped": lambda folder: save(folder / "m.ckpt", {"state_dict": compvis_model()}),
    "bare": lambda folder: save(folder / "m.ckpt", compvis_model()),
    "legacy": lambda folder: save(folder / "m.ckpt", {"state_dict": compvis_model()}, legacy=True),
    "safetensors": lambda folder: save(folder / "m.safetensors", compvis_model()),
    "safetensors named .ckpt": lambda folder: save(folder / "m.safetensors", compvis_model()).rename(
        folder / "m.ckpt"
    ),
    "training": lambda folder: save(folder / "m.ckpt", {"state_dict": compvis_model() | training_extras()}),
    "training, bare": lambda folder: save(
        folder / "m.ckpt", compvis_model() | training_extras() | {"epoch": 1}
    ),
    "lightning": lambda folder: save_lightning(folder / "m.ckpt", compvis_model() | training_extras()),
    "lightning, legacy": lambda folder: save_lightning(folder / "m.ckpt", compvis_model(), legacy=True),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_checkpoint_gives_the_same_model(tmp_path: Path, form: str) -> None:
    assert is_demo(do_import(tmp_path, FORMS[form](tmp_path)))


@pytest.mark.parametrize("form", ["ckpt", "safetensors", "legacy"])
def test_the_vae_file_takes_the_place_of_the_checkpoints_own(tmp_path: Path, form: str) -> None:
    vae = compvis_vae(shift=0.1)  # no number of it fits float16
    path = tmp_path / ("vae.safetensors" if form == "safetensors" else "vae.ckpt")
    save(path, vae if form == "safetensors" else {"state_dict": vae}, legacy=form == "legacy")
    folder = do_import(tmp_path, save(tmp_path / "m.ckpt", compvis_model()), path)
    made = weights_of(folder, "vae")
    own = components()[1]
    for key, name in own.names.items():
        assert torch.equal(made[key].flatten(), vae[name.removeprefix("first_stage_model.")].flatten()), key
    assert is_demo(folder, besides="vae")
    assert not is_demo(folder)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_the_data_type_is_as_asked(tmp_path: Path, stored: torch.dtype, dtype: str) -> None:
    weights = {name: tensor.to(stored) for name, tensor in compvis_model().items()}
    folder = do_import(tmp_path, save(tmp_path / "m.ckpt", weights), dtype=dtype)
    wanted = torch.float16 if dtype == "fp16" else torch.float32
    for component in components():
        for key, tensor in load_file(folder / component.path).items():
            expected = weights[component.names[key]].to(wanted).reshape(tensor.shape)
            assert tensor.dtype == wanted
            assert torch.equal(tensor, expected), key


def test_a_new_data_folder_is_its_owners_alone(tmp_path: Path) -> None:
    do_import(tmp_path / "data", save(tmp_path / "m.ckpt", compvis_model()))
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_the_folder_says_what_it_was_made_of(tmp_path: Path) -> None:
    model, vae = save(tmp_path / "m.ckpt", compvis_model()), save(tmp_path / "v.ckpt", compvis_vae())
    folder = do_import(tmp_path, model, vae)
    record = read_record(folder)
    assert isinstance(record, ImportRecord)
    assert [(s.role, s.file, s.size, s.sha256) for s in record.sources] == [
        ("model", "m.ckpt", model.stat().st_size, sha256_of(model)),
        ("vae", "v.ckpt", vae.stat().st_size, sha256_of(vae)),
    ]
    assert record.dtype == "fp32"
    assert record.ignored == {"replaced by the VAE file": 188, "training loss": 2}
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(record.files) == files - {"trinart_import.json"}
    assert all(sha256_of(folder / name) == sha256 for name, sha256 in record.files.items())
    card = read_model(folder)
    assert (card.name, card.sizes, card.hash) == ("made", SD1_SIZES, "")
    with safe_open(folder / components()[0].path, "pt") as opened:
        assert "Modified files" in opened.metadata()["notice"]  # so the licence wants it


def test_the_configuration_of_stable_diffusion_is_shipped_whole() -> None:
    names = {str(path.relative_to(SD1_FOLDER)) for path in SD1_FOLDER.rglob("*") if path.is_file()}
    assert {"tokenizer/vocab.json", "tokenizer/merges.txt", "scheduler/scheduler_config.json"} < names
    from transformers import CLIPTokenizer

    tokenizer: Any = CLIPTokenizer.from_pretrained(str(SD1_FOLDER / "tokenizer"), local_files_only=True)
    assert len(tokenizer) == 49408
    assert tokenizer("1girl, blue hair").input_ids == [49406, 272, 1611, 267, 1746, 2225, 49407]
