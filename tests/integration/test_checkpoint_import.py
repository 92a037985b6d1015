"""Checkpoints become model folders: the same weights, the same picture, and nothing half-made."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from engine.checkpoints import importing, staging
from engine.checkpoints.components import SD1_FOLDER
from engine.checkpoints.errors import CannotNow, CheckpointError
from engine.checkpoints.reading import sha256_of
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


def left_behind(tmp_path: Path) -> list[str]:
    models = tmp_path / "models"
    return sorted(path.name for path in models.iterdir()) if models.exists() else []


# --- what is made -----------------------------------------------------------------------------------


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


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["demo", "Derrida", "../up", ".hidden", "a/b", "", "a b", "x" * 65])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="name"):
        do_import(tmp_path, tmp_path / "none.ckpt", name=name)


def test_a_missing_key_leaves_nothing(tmp_path: Path) -> None:
    weights = compvis_model()
    name = "cond_stage_model.transformer.text_model.final_layer_norm.weight"
    del weights[name]
    with pytest.raises(CheckpointError, match=rf"m\.ckpt has no key {name}"):
        do_import(tmp_path, save(tmp_path / "m.ckpt", weights))
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "dtype", "sentence"),
    [(1e6, "fp16", "too large for fp16"), (float("nan"), "fp32", "NaN"), (float("inf"), "fp16", "infinite")],
)
def test_a_number_that_cannot_be_kept_is_told(
    tmp_path: Path, number: float, dtype: str, sentence: str
) -> None:
    weights = compvis_model()
    name = sorted(weights)[5]
    weights[name] = weights[name].clone().fill_(number)
    with pytest.raises(CheckpointError, match=sentence) as told:
        do_import(tmp_path, save(tmp_path / "m.ckpt", weights), dtype=dtype)
    assert name in str(told.value)
    assert left_behind(tmp_path) == []


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save(tmp_path / "m.ckpt", compvis_model())
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(9, 9, 10**8))
    with pytest.raises(CannotNow, match=r"0\.29 GB are needed at .*, and 0\.10 GB are free") as told:
        do_import(tmp_path, model)
    assert told.value.exit_code == 1
    assert left_behind(tmp_path) == []


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(importing, "write_part", full)
    with pytest.raises(CannotNow, match="No space left on device"):
        do_import(tmp_path, save(tmp_path / "m.ckpt", compvis_model()))
    assert left_behind(tmp_path) == []


# --- an old model of that name ----------------------------------------------------------------------


def test_a_taken_name_is_refused_unless_it_is_replaced(tmp_path: Path) -> None:
    model = save(tmp_path / "m.ckpt", compvis_model())
    folder = do_import(tmp_path, model)
    before = {path: sha256_of(path) for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match="There is a model made already"):
        do_import(tmp_path, model, dtype="fp16")
    assert {path: sha256_of(path) for path in folder.rglob("*") if path.is_file()} == before
    unet = folder / components()[0].path
    old = unet.read_bytes()
    with unet.open("rb") as served:  # as a worker has it
        do_import(tmp_path, model, dtype="fp16", replace=True)
        assert served.read() == old, "a served file is never written over"
    assert weights_of(folder, "unet").popitem()[1].dtype == torch.float16
    assert left_behind(tmp_path) == ["made"]


def test_a_linked_model_is_replaced_by_its_link_alone(tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "elsewhere"))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "made").symlink_to(elsewhere)
    folder = do_import(tmp_path, save(tmp_path / "m.ckpt", compvis_model()), replace=True)
    assert not folder.is_symlink()
    assert read_model(elsewhere).name == "demo"
    assert left_behind(tmp_path) == ["made"]


def test_a_failed_replacement_keeps_the_old_model(tmp_path: Path) -> None:
    folder = do_import(tmp_path, save(tmp_path / "m.ckpt", compvis_model()))
    broken = compvis_model()
    broken[sorted(broken)[-1]] = torch.full_like(broken[sorted(broken)[-1]], float("nan"))
    with pytest.raises(CheckpointError, match="NaN"):
        do_import(tmp_path, save(tmp_path / "b.ckpt", broken), replace=True)
    assert is_demo(folder)
    assert left_behind(tmp_path) == ["made"]


# --- the process dies -------------------------------------------------------------------------------

HALF_WAY = """
import sys
from engine.checkpoints import importing
from engine.checkpoints.__main__ import main
write_part, written = importing.write_part, []
def stop_half_way(*args):
    if written:
        print("half", flush=True)
        sys.stdin.read()
    written.append(write_part(*args))
    return written[-1]
importing.write_part = stop_half_way
sys.exit(main(sys.argv[1:]))
"""
"""An import that waits after the first of its three files."""


@contextmanager
def importing_half_way(tmp_path: Path, model: Path) -> Iterator[subprocess.Popen[str]]:
    args = ["import", str(model), "--models-dir", str(tmp_path / "models"), "--name", "dying"]
    child = subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, *args, "--config-dir", str(DEMO_FOLDER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "half\n"
        yield child
        if child.poll() is None:
            child.kill()


def test_a_killed_import_leaves_no_model_and_is_cleaned_up_by_the_next(tmp_path: Path) -> None:
    model = save(tmp_path / "m.ckpt", compvis_model())
    with importing_half_way(tmp_path, model) as child:
        (partial,) = left_behind(tmp_path)
        assert partial.startswith(".partial-dying-")
        do_import(tmp_path, model, name="other")
        assert left_behind(tmp_path) == [partial, "other"], "a living import is left alone"
        child.kill()
        child.wait()
    assert left_behind(tmp_path) == [partial, "other"]
    do_import(tmp_path, model, name="dying")
    assert left_behind(tmp_path) == ["dying", "other"]


def test_a_stopped_import_leaves_nothing(tmp_path: Path) -> None:
    with importing_half_way(tmp_path, save(tmp_path / "m.ckpt", compvis_model())) as child:
        child.send_signal(signal.SIGTERM)
        _, stderr = child.communicate()
        assert child.returncode == 130
        assert stderr == "Stopped; nothing was installed.\n"
    assert left_behind(tmp_path) == []


def test_a_name_that_is_taken_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    model = save(tmp_path / "m.ckpt", compvis_model())
    with importing_half_way(tmp_path, model) as child:
        folder = do_import(tmp_path, model, name="dying")
        _, stderr = child.communicate("")
        assert child.returncode == 2
        assert "There is a model dying already" in stderr
    assert is_demo(folder)
    assert left_behind(tmp_path) == ["dying"]
