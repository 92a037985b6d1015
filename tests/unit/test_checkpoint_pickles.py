"""Pickles: hostile ones are refused by name and never run; Lightning's genuine ones are read."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import socket
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.checkpoints.errors import CheckpointError
from engine.checkpoints.reading import open_checkpoint
from tests.fixtures.checkpoints import (
    Made,
    Named,
    Run,
    Weights,
    do_import,
    lightning,
    naming_pickle,
    save,
    save_lightning,
)

WEIGHTS: Weights = {"a.weight": torch.ones(2, 3), "b.bias": torch.zeros(4, dtype=torch.float16)}


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as told:
        open_checkpoint(path)
    assert told.value.exit_code == 2
    assert str(told.value).isprintable()
    return str(told.value)


def touch(marker: Path) -> Run:
    return Run(os.system, f"touch {marker}")


Wrap = Callable[[Any], Any]

HOSTILE_PLACES: dict[str, Wrap] = {
    "the file itself": lambda evil: evil,
    "a value": lambda evil: {**WEIGHTS, "evil": evil},
    "nested": lambda evil: {"state_dict": OrderedDict(WEIGHTS), "callbacks": [{"x": (1, [evil])}]},
    "a key": lambda evil: {"state_dict": {**WEIGHTS, evil: 1}},
    "beside a genuine file": lambda evil: {"state_dict": WEIGHTS, "optimizer_states": {0: evil}},
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("place", HOSTILE_PLACES)
def test_a_hostile_pickle_is_refused_by_name_and_never_runs(tmp_path: Path, place: str, legacy: bool) -> None:
    marker = tmp_path / "ran"
    path = save(tmp_path / "m.ckpt", HOSTILE_PLACES[place](touch(marker)), legacy=legacy)
    assert "m.ckpt wants to run os.system" in refusal(path)
    assert not marker.exists()


HOSTILE_CALLS: dict[str, tuple[Any, str]] = {
    "eval": (Run(eval, "open('ran', 'w')"), "builtins.eval"),
    "exec": (Run(exec, "open('ran', 'w')"), "builtins.exec"),
    "import": (Run(builtins.__import__, "antigravity"), "builtins.__import__"),
    "open": (Run(open, "ran", "w"), "io.open"),
    "getattr": (Run(getattr, 1, "real"), "builtins.getattr"),
    "Popen": (Run(subprocess.Popen, ["touch", "ran"]), "subprocess.Popen"),
    "torch.load": (Run(torch.load, "x"), "torch.serialization.load"),
    "torch.hub": (Made("torch.hub.load_state_dict_from_url", "http://x"), "torch.hub"),
    "a class that looks like Lightning's": (
        Made("pytorch_lightning.callbacks_x.Y"),
        "pytorch_lightning.callbacks_x.Y",
    ),
    "a function of Lightning": (Made("pytorch_lightning.utilities.cloud_io.load", "x"), "cloud_io.load"),
    "a function among the callbacks": (
        Made("pytorch_lightning.callbacks.base.load", "x"),
        "pytorch_lightning.callbacks.base.load",
    ),
    "a function of the training script": (Made("main.get_parser"), "main.get_parser"),
    "a method of its callback": (Made("main.SetupCallback.run"), "main.SetupCallback.run"),
    "what its callback's module imports": (Made("main.os.system", "true"), "main.os.system"),
    "another class of that name": (Made("domain.ImageLogger"), "domain.ImageLogger"),
    "a function of ldm": (Made("ldm.util.instantiate_from_config", {}), "ldm.util.instantiate_from_config"),
    "a method in ldm": (Made("ldm.models.x.Y.load"), "ldm.models.x.Y.load"),
    "a function of numpy": (Made("numpy.load", "x"), "numpy.load"),
    "a class alone": (Named("os.system"), "os.system"),
}


@pytest.mark.parametrize("call", HOSTILE_CALLS)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_whatever_no_checkpoint_needs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, legacy: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    content, name = HOSTILE_CALLS[call]
    torch.save(
        {"state_dict": WEIGHTS, "x": content},
        tmp_path / "m.ckpt",
        pickle_module=naming_pickle,
        _use_new_zipfile_serialization=not legacy,
    )
    assert name in refusal(tmp_path / "m.ckpt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_bare_pickle_of_any_protocol_is_refused_by_name(tmp_path: Path, protocol: int) -> None:
    marker, path = tmp_path / "ran", tmp_path / "m.ckpt"
    path.write_bytes(pickle.dumps({"again": "again", "x": touch(marker)}, protocol))
    assert "wants to run os.system" in refusal(path)
    assert not marker.exists()


def test_a_name_from_the_memo_and_an_old_instance_are_found(tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    path.write_bytes(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93\x8c\x04true\x85R.")
    assert "os.system" in refusal(path)
    path.write_bytes(b"(S'touch ran'\nios\nsystem\n.")
    assert "os.system" in refusal(path)
    path.write_bytes(b"\x80\x02\x82\x01.")
    assert "registered extension 1" in refusal(path)


def test_a_second_pickle_in_the_zip_is_looked_at(tmp_path: Path) -> None:
    path = save(tmp_path / "m.ckpt", WEIGHTS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("m/other.pkl", pickle.dumps(touch(tmp_path / "ran")))
    assert "os.system" in refusal(path)


def test_a_hostile_autoencoder_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    vae = save(tmp_path / "vae.ckpt", {"state_dict": {"x": touch(marker)}})
    with pytest.raises(CheckpointError, match=r"vae\.ckpt wants to run os\.system"):
        do_import(tmp_path, save(tmp_path / "m.ckpt", WEIGHTS), vae)
    assert not marker.exists()
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_lightning_file_is_read(tmp_path: Path, legacy: bool) -> None:
    """Callback classes as keys, numpy scalars, AttributeDict; none of their packages is imported."""
    opened = open_checkpoint(save_lightning(tmp_path / "m.ckpt", WEIGHTS, legacy=legacy))
    assert opened.shapes == {"a.weight": (2, 3), "b.bias": (4,)}
    assert torch.equal(opened.load("a.weight"), WEIGHTS["a.weight"])
    assert set(opened.leftovers) == {str(key) for key in lightning({})} - {"state_dict"}


LEFT_BY_TRAINING = [
    "main.SetupCallback",
    "main.ImageLogger",
    "main.CUDACallback",
    "ldm.modules.ema.LitEma",
    "pytorch_lightning.callbacks.lr_monitor.LearningRateMonitor",
    "pytorch_lightning.trainer.states.TrainerFn",
    "lightning.pytorch.utilities.enums.AMPType",
]
MODULES = sorted({name.partition(".")[0] for name in LEFT_BY_TRAINING})


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", LEFT_BY_TRAINING)
def test_what_the_training_script_left_is_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, legacy: bool
) -> None:
    """As a key, as an instance with a state, called with arguments; with a module of that name at hand."""
    marker = tmp_path / "ran"
    for module in MODULES:
        (tmp_path / f"{module}.py").write_text(f"open({str(marker)!r}, 'w')")
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    callbacks = {Named(name): {"x": 1}, "made": Made(name, "a", 1, state={"y": [torch.ones(1)]})}
    torch.save(
        {"state_dict": WEIGHTS, "callbacks": callbacks},
        tmp_path / "m.ckpt",
        pickle_module=naming_pickle,
        _use_new_zipfile_serialization=not legacy,
    )
    opened = open_checkpoint(tmp_path / "m.ckpt")
    assert torch.equal(opened.load("a.weight"), WEIGHTS["a.weight"])
    assert opened.leftovers == ["callbacks"]
    assert not marker.exists()
    assert not sys.modules.keys() & {*MODULES}


def test_numpys_own_scalars_are_read(tmp_path: Path) -> None:
    import numpy as np

    path = save(tmp_path / "m.ckpt", {"state_dict": WEIGHTS, "loss": np.float64(1.5), "lr": np.float32(2)})
    assert set(open_checkpoint(path).leftovers) == {"loss", "lr"}


def test_parameters_are_weights_too(tmp_path: Path) -> None:
    path = save(tmp_path / "m.ckpt", {"a": torch.nn.Parameter(torch.ones(3))})
    assert torch.equal(open_checkpoint(path).load("a"), torch.ones(3))


def cut(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def empty_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "no")
    return path


def socket_at(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    return path


BIG: Weights = {"a": torch.ones(1000), "b": torch.ones(5000)}

DAMAGED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no file": (lambda folder: folder / "none.ckpt", "There is no file"),
    "a folder": (lambda folder: folder, "is a folder: name the .ckpt or .safetensors file itself"),
    "a device": (lambda _folder: Path("/dev/zero"), "/dev/zero is a device"),
    "a socket": (lambda folder: socket_at(folder / "m.ckpt"), "m.ckpt is a socket"),
    "empty": (lambda folder: written(folder / "m.ckpt", b""), "is empty"),
    "zip cut": (lambda folder: cut(save(folder / "m.ckpt", BIG)), "cut short"),
    "legacy cut": (lambda folder: cut(save(folder / "m.ckpt", BIG, legacy=True)), "cut short"),
    "legacy cut in a pickle": (
        lambda folder: written(
            folder / "m.ckpt", save(folder / "w.ckpt", BIG, legacy=True).read_bytes()[:60]
        ),
        "cut short",
    ),
    "safetensors cut": (lambda folder: cut(save(folder / "m.safetensors", BIG)), "cut short"),
    "no checkpoint": (lambda folder: written(folder / "m.ckpt", b"hello world, hello"), "neither"),
    "a web page": (lambda folder: written(folder / "m.ckpt", b"<!doctype html><html>"), "neither"),
    "a text as safetensors": (lambda folder: written(folder / "m.safetensors", b"hello"), "cut short"),
    "a plain pickle": (lambda folder: written(folder / "m.ckpt", pickle.dumps({"a": 1})), "is a pickle, but"),
    "another zip": (lambda folder: empty_zip(folder / "m.ckpt"), "is a zip file without"),
    "a list": (lambda folder: save(folder / "m.ckpt", [torch.ones(1)]), "holds a list"),
    "a tensor outside": (
        lambda folder: save(folder / "m.ckpt", {"state_dict": {}, "odd": torch.ones(1)}),
        "key odd beside its state_dict",
    ),
    "a key that would write on the terminal": (
        lambda folder: save(folder / "m.ckpt", {"state_dict": {}, "\x1b[1m\n" + "y" * 500: torch.ones(1)}),
        f"key ?[1m?{'y' * 115}… beside",
    ),
    "a tensor without a name": (
        lambda folder: save(folder / "m.ckpt", {7: torch.ones(1)}),
        "a weight without a name (7)",
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_told_in_one_sentence(tmp_path: Path, kind: str) -> None:
    make, sentence = DAMAGED[kind]
    assert sentence in refusal(make(tmp_path))


def test_a_script_module_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps({}, 2))
        archive.writestr("m/constants.pkl", pickle.dumps((), 2))
        archive.writestr("m/code/__torch__.py", "import os")
    path.write_bytes(buffer.getvalue())
    assert "not a checkpoint of torch" in refusal(path)
