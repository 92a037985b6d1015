"""`trinart models verify`: what was harmed since the import, file by file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from engine.checkpoints.components import Component
from engine.checkpoints.errors import CheckpointError
from engine.checkpoints.origins import told_sources
from engine.checkpoints.progress import Bars
from engine.checkpoints.verifying import verify_model
from engine.models import DEMO_FOLDER
from tests.fixtures.checkpoints import components, compvis_model, do_import, save


def problems(folder: Path) -> dict[str, str]:
    return {verdict.file: verdict.problem for verdict in verify_model(folder, Bars()) if verdict.problem}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return do_import(tmp_path, save(tmp_path / "m.ckpt", compvis_model()))


def test_a_whole_model_is_verified(made: Path) -> None:
    assert problems(made) == {}
    assert {verdict.file for verdict in verify_model(made, Bars())} == set(json_of(made)["files"])
    assert problems(DEMO_FOLDER) == {}, "without a record the keys are all there is"


def json_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "trinart_import.json").read_text())


def test_harm_is_told_file_by_file(made: Path) -> None:
    unet, vae, text = (component.path for component in components())
    data = bytearray((made / unet).read_bytes())
    data[-1] ^= 1
    (made / unet).write_bytes(data)
    (made / vae).write_bytes((made / vae).read_bytes()[:-8])
    (made / "tokenizer/tokenizer.json").unlink()
    (made / "extra.bin").write_bytes(b"x")
    assert problems(made) == {
        unet: "was changed or damaged",
        vae: "was changed or damaged",
        "tokenizer/tokenizer.json": "is missing",
        "extra.bin": "was not there when the model was imported",
    }
    assert text not in problems(made)


def without_first_key(component: Component, folder: Path) -> str:
    weights = load_file(folder / component.path)
    key = sorted(weights)[0]
    del weights[key]
    save_file(weights, folder / component.path, {"format": "pt"})
    return key


def test_a_folder_of_other_make_is_held_to_its_configuration(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "mine"))
    component = components()[2]
    key = without_first_key(component, folder)
    assert problems(folder) == {component.path: f"lacks the weight {key}, or has it in another shape"}


def test_names_in_somebody_elses_folder_cannot_write_on_the_terminal(made: Path) -> None:
    (made / "\x1b[31m\n").touch()
    content = json_of(made)
    content["sources"][0] |= {"file": "\x1b]0;\a", "commit": "\r", "repo": "\x9b"}
    (made / "trinart_import.json").write_text(json.dumps(content))
    command = [sys.executable, "-m", "engine.checkpoints", "verify", str(made)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert all(line.isprintable() for line in ended.stdout.split("\n"))
    assert "?[31m?: was not there when the model was imported" in ended.stdout
    assert "?]0;?: commit ? of ?, sha256" in ended.stdout


def test_nor_can_a_weight_that_it_has_too_many(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "mine"))
    path = components()[2].path
    weights = load_file(folder / path)
    save_file(weights | {"\x1b[1m\n": next(iter(weights.values())).clone()}, folder / path)
    assert problems(folder) == {path: "has a weight that the model has not: ?[1m?"}


def test_a_folder_that_is_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no model folder"):
        verify_model(tmp_path / "none", Bars())


def test_it_is_told_where_a_model_came_from(made: Path) -> None:
    content = json_of(made)
    [local] = content["sources"]
    content["sources"].append(local | {"role": "vae", "repo": "naclbit/x", "commit": "c" * 40})
    (made / "trinart_import.json").write_text(json.dumps(content))
    command = [sys.executable, "-m", "engine.checkpoints", "verify", str(made)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-2:] == [
        f"m.ckpt: a file that was here, sha256 {local['sha256']}",
        f"m.ckpt: commit {'c' * 40} of naclbit/x, sha256 {local['sha256']}",
    ]
    assert told_sources(None) == [
        "There is no trinart_import.json: where this model came from was not written down."
    ]
