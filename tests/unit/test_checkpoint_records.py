"""Damage inside a checkpoint: a zip has a checksum of each record, and one flipped byte is found."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from engine.checkpoints import checksums
from engine.checkpoints.checksums import sha256_of
from engine.checkpoints.errors import CheckpointError
from engine.checkpoints.reading import open_checkpoint
from engine.checkpoints.records import checked_sha256
from tests.fixtures.checkpoints import Weights, compvis_model, compvis_vae, do_import, save

WEIGHTS: Weights = {"a.weight": torch.arange(6.0).reshape(2, 3), "none": torch.ones(0), "b": torch.ones(4)}


def flip(path: Path, at: int) -> Path:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    return path


def weights_of(path: Path) -> Weights:
    """What an import would read: the checksums are compared before any weight is."""
    checkpoint = open_checkpoint(path)
    checked_sha256(path, lambda _count: None)
    return {name: checkpoint.load(name) for name in checkpoint.shapes}


@pytest.mark.parametrize("chunk", [7, checksums.CHUNK])
def test_a_whole_file_has_its_sha256(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(checksums, "CHUNK", chunk)
    files = [
        save(tmp_path / "m.ckpt", WEIGHTS),
        save(tmp_path / "l.ckpt", WEIGHTS, legacy=True),
        save(tmp_path / "m.safetensors", WEIGHTS),
    ]
    for path in files:
        seen: list[int] = []
        assert checked_sha256(path, seen.append) == sha256_of(path)
        assert sum(seen) == path.stat().st_size


def test_no_flipped_byte_changes_a_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third byte of the file in its turn, read in pieces that end anywhere in a record."""
    monkeypatch.setattr(checksums, "CHUNK", 7)
    path = save(tmp_path / "m.ckpt", WEIGHTS)
    refused = 0
    for at in range(0, path.stat().st_size, 3):
        flip(path, at)
        try:
            found = weights_of(path)
        except CheckpointError:
            refused += 1
        else:
            assert found.keys() == WEIGHTS.keys(), at
            assert all(torch.equal(found[name], WEIGHTS[name]) for name in WEIGHTS), at
        flip(path, at)
    assert refused > 200


def test_a_flipped_byte_is_told_by_its_record_and_leaves_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "m.ckpt", {"state_dict": compvis_model()})
    flip(path, path.stat().st_size // 2)
    with pytest.raises(CheckpointError, match=r"m\.ckpt is damaged: its record m/data/\d+ does not") as told:
        do_import(tmp_path, path)
    assert told.value.exit_code == 2
    assert not (tmp_path / "models").exists()


def test_a_flipped_byte_of_the_autoencoder_is_told_too(tmp_path: Path) -> None:
    vae = save(tmp_path / "v.ckpt", compvis_vae())
    flip(vae, vae.stat().st_size // 2)
    with pytest.raises(CheckpointError, match=r"v\.ckpt is damaged: its record v/data/"):
        do_import(tmp_path, save(tmp_path / "m.ckpt", compvis_model()), vae)


def test_a_checkpoint_that_was_packed_again_is_told(tmp_path: Path) -> None:
    """torch maps the file into memory, and would take the compressed bytes for numbers."""
    path = save(tmp_path / "w.ckpt", WEIGHTS)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "m.ckpt", "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    with pytest.raises(CheckpointError, match=r"m\.ckpt was packed by something else than torch"):
        open_checkpoint(tmp_path / "m.ckpt")
