"""What cannot be imported is told in one sentence, and leaves nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from engine.checkpoints import staging
from engine.checkpoints.accounting import Part
from engine.checkpoints.errors import CannotNow, CheckpointError
from engine.checkpoints.reading import Checkpoint
from engine.checkpoints.staging import staged
from engine.checkpoints.writing import write_part
from engine.models import DEMO_FOLDER
from tests.fixtures.checkpoints import (
    components,
    compvis_model,
    do_import,
    left_behind,
    save,
)


@pytest.mark.parametrize("name", ["demo", "Derrida", "../up", ".hidden", "a/b", "", "a b", "x" * 65])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="name"):
        do_import(tmp_path, tmp_path / "none.ckpt", name=name)


@contextmanager
def pipe_at(path: Path) -> Iterator[Path]:
    """A pipe with a writer and some bytes in it: whoever opens it after all fails here, and does not wait."""
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR)
    os.write(held, b"12345678{")
    try:
        yield path
    finally:
        os.close(held)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    model = save(tmp_path / "m.ckpt", compvis_model())
    with pipe_at(tmp_path / "pipe") as pipe:
        with pytest.raises(CheckpointError, match="pipe is a pipe: name the"):
            do_import(tmp_path, pipe)
        with pytest.raises(CheckpointError, match="pipe is a pipe: name the"):
            do_import(tmp_path, model, pipe)
    assert left_behind(tmp_path) == []


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
    with pytest.raises(CannotNow, match=r"0\.31 GB are needed at .*, and 0\.10 GB are free") as told:
        do_import(tmp_path, model)
    assert told.value.exit_code == 1
    assert left_behind(tmp_path) == []


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    sentence = (
        r"made could not be written \(No space left on device\): make room, or set TRINART_DATA_DIR to a"
    )
    with (
        pytest.raises(CannotNow, match=sentence) as told,
        staged(tmp_path / "models" / "made", replace=False),
        Path("/dev/full").open("wb") as full,
    ):
        full.write(b"a weight")
    assert told.value.exit_code == 1
    assert left_behind(tmp_path) == []


def test_a_limit_on_the_size_of_files_says_how_to_raise_it(tmp_path: Path) -> None:
    model = save(tmp_path / "m.ckpt", compvis_model())
    command = [sys.executable, "-m", "engine.checkpoints", "import", str(model), "--name", "made"]
    command += ["--models-dir", str(tmp_path / "models"), "--config-dir", str(DEMO_FOLDER)]
    limited = ["bash", "-c", 'ulimit -f 4096; exec "$@"', "bash", *command]
    ended = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "made could not be written (File too large): raise the limit on the size" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert left_behind(tmp_path) == []


UNREADABLE = Path("/proc/self/mem")
"""A regular file whose first bytes are an input/output error, for everybody."""


def test_a_source_that_cannot_be_read_is_not_told_as_the_target(tmp_path: Path) -> None:
    """While the folder is filled, as a disk does whose sectors go one by one."""

    def load(_name: str) -> torch.Tensor:
        return torch.frombuffer(bytearray(UNREADABLE.read_bytes()), dtype=torch.float32)

    component = components()[1]
    source = Checkpoint(UNREADABLE, component.shapes, {}, load)
    part = Part(component, source, component.names)
    sentence = r"^/proc/self/mem cannot be read \(Input/output error\): check the disk that it is on"
    with (
        pytest.raises(CannotNow, match=sentence),
        staged(tmp_path / "models" / "made", replace=False) as folder,
    ):
        write_part(folder / "weights", part, "fp16", {}, lambda _count: None)
    assert left_behind(tmp_path) == []


def test_a_source_that_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CannotNow, match=r"cannot be read \(Input/output error\): check the disk") as told:
        do_import(tmp_path, UNREADABLE)
    assert told.value.exit_code == 1


def test_a_folder_that_may_not_be_written_says_what_to_do(tmp_path: Path) -> None:
    """/proc takes no folder from anybody, root included."""
    with (
        pytest.raises(CannotNow, match=r"could not be written .*TRINART_DATA_DIR"),
        staged(Path("/proc/trinart/made"), replace=False),
    ):
        pass
