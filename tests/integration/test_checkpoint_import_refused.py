"""What cannot be imported is told in one sentence, and leaves nothing."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.checkpoints import importing, staging
from engine.checkpoints.errors import CannotNow, CheckpointError
from tests.fixtures.checkpoints import (
    compvis_model,
    do_import,
    save,
)


def left_behind(tmp_path: Path) -> list[str]:
    models = tmp_path / "models"
    return sorted(path.name for path in models.iterdir()) if models.exists() else []


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
