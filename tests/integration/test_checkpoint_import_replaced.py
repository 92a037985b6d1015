"""A model's place: taken, replaced, or left by an import that died. Nothing is half-made."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.checkpoints.checksums import sha256_of
from engine.checkpoints.errors import CheckpointError
from engine.models import DEMO_FOLDER, read_model
from tests.fixtures.checkpoints import (
    components,
    compvis_model,
    do_import,
    left_behind,
    save,
)


def hashes(folder: Path) -> dict[Path, str]:
    return {path: sha256_of(path) for path in folder.rglob("*") if path.is_file()}


def test_a_taken_name_is_refused_unless_it_is_replaced(tmp_path: Path) -> None:
    model = save(tmp_path / "m.ckpt", compvis_model())
    folder = do_import(tmp_path, model)
    before = hashes(folder)
    with pytest.raises(CheckpointError, match="There is a model made already"):
        do_import(tmp_path, model, dtype="fp16")
    assert hashes(folder) == before
    unet = folder / components()[0].path
    old = unet.read_bytes()
    with unet.open("rb") as served:  # as a worker has it
        do_import(tmp_path, model, dtype="fp16", replace=True)
        assert served.read() == old, "a served file is never written over"
    assert load_file(unet).popitem()[1].dtype == torch.float16
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
    before = hashes(folder)
    broken = compvis_model()
    broken[sorted(broken)[-1]] = torch.full_like(broken[sorted(broken)[-1]], float("nan"))
    with pytest.raises(CheckpointError, match="NaN"):
        do_import(tmp_path, save(tmp_path / "b.ckpt", broken), replace=True)
    assert hashes(folder) == before
    assert left_behind(tmp_path) == ["made"]


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
        before = hashes(folder)
        _, stderr = child.communicate("")
        assert child.returncode == 2
        assert "There is a model dying already" in stderr
    assert hashes(folder) == before
    assert left_behind(tmp_path) == ["dying"]
