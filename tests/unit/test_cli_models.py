"""`trinart models` as a host uses it: exit codes, one sentence, no secrets in the importer."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from bot import cli_models
from bot.cli_models import Known
from engine.checkpoints.hub import KNOWN
from engine.models import DEMO_FOLDER
from engine.safety_models import published
from tests.fixtures.checkpoints import compvis_model, do_import, save
from tests.fixtures.command_line import trinart


def installed(tmp_path: Path, name: str = "mine") -> Path:
    """A model in the data folder that `trinart` uses when it is started in `tmp_path`."""
    return do_import(tmp_path / "data", save(tmp_path / "mine.ckpt", compvis_model()), name=name)


def listed(cwd: Path, **env: str) -> dict[str, list[str]]:
    """What `trinart models list` says in a terminal of 80 columns: its lines below each model's name."""
    result = trinart("models", "list", cwd=cwd, COLUMNS="80", **env)
    assert result.returncode == 0, result.stderr
    models: dict[str, list[str]] = {}
    for line in result.stdout.splitlines():
        if line.startswith(" "):
            models[list(models)[-1]].append(line.strip())
        else:
            models[line] = []
    return models


def test_list_says_what_a_model_is_in_80_columns(tmp_path: Path) -> None:
    record = installed(tmp_path) / "trinart_import.json"
    (tmp_path / "data/models/.partial-x-1").mkdir()
    content = json.loads(record.read_text())
    source = content["sources"][0] | {"repo": "naclbit/trinart", "commit": "c" * 40}
    vae = source | {"role": "vae", "file": "autoencoder_fix_kl-f8-trinart_characters.ckpt"}
    record.write_text(json.dumps(content | {"sources": [source, vae]}))
    models = listed(tmp_path)
    assert list(models) == ["demo (in use)", "mine"]
    sha256, date = source["sha256"][:10], content["date"][:10]
    assert models["mine"] == [
        f"disk    0.04 GB, fp32, imported {date}",
        "sizes   512x512, 512x768, 768x512, 448x832, 832x448",
        f"from    mine.ckpt ({sha256})",
        f"from    autoencoder_fix_kl-f8-trinart_characters.ckpt ({sha256})",
        f"commit  {'c' * 40}",
        "folder  data/models/mine",
    ]
    assert max(len(line) for line in models["mine"]) <= 76, "4 more are the indentation"
    assert [line.split()[0] for line in models["demo (in use)"]] == ["disk", "sizes", "folder"]


def test_a_record_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    record = installed(tmp_path) / "trinart_import.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"date": "\x1b[2J2026"}))
    [first, *others] = listed(tmp_path)["mine"]
    assert first.endswith("imported ?[2J2026")
    assert all(line.isprintable() for line in others)


def test_list_says_which_model_is_in_use(tmp_path: Path) -> None:
    shutil.copytree(DEMO_FOLDER, tmp_path / "data/models/mine")
    shutil.copytree(DEMO_FOLDER, tmp_path / "elsewhere")
    assert list(listed(tmp_path, TRINART_MODEL="mine")) == ["demo", "mine (in use)"]
    assert list(listed(tmp_path, TRINART_MODEL="data/models/mine")) == ["demo", "mine (in use)"]
    assert listed(tmp_path, TRINART_MODEL="./elsewhere")["./elsewhere (in use)"][-1] == "folder  elsewhere"
    [problem] = listed(tmp_path, TRINART_MODEL="gone")["gone (in use)"]
    assert problem.startswith("problem There is no model folder at data/models/gone: set TRINART_MODEL")


def test_list_says_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    shutil.copytree(DEMO_FOLDER, tmp_path / "data/models/other")
    (tmp_path / "data/models/other/trinart_import.json").write_text("{")
    [problem] = listed(tmp_path)["other"]
    assert "trinart_import.json cannot be read" in problem


def test_an_import_that_cannot_be_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "bad.ckpt").write_bytes(b"hello, this is no checkpoint")
    result = trinart("models", "import", "bad.ckpt", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "bad.ckpt is neither a checkpoint of torch nor a safetensors file.\n"
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["import", "x.ckpt", "--name", "demo"], "The name demo belongs to the model that is shipped"),
        (["import", "Some Model.ckpt"], "'some model' cannot be a model's name"),
        (["pull", "derrida", "--name", "../up"], "cannot be a model's name"),
        (["remove", "nothing"], "There is no model nothing in data/models."),
        (["remove", "demo"], "The name demo belongs"),
    ],
)
def test_a_mistake_is_told_before_the_importer_is_started(
    tmp_path: Path, args: list[str], sentence: str
) -> None:
    result = trinart("models", *args, cwd=tmp_path)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_verify_tells_a_harmed_file(tmp_path: Path) -> None:
    vocabulary = installed(tmp_path) / "tokenizer/tokenizer.json"
    vocabulary.write_text("{}")
    result = trinart("models", "verify", "mine", cwd=tmp_path)
    assert result.returncode == 2
    assert "tokenizer/tokenizer.json: was changed or damaged\n" in result.stdout
    assert "unet/diffusion_pytorch_model.safetensors: ok\n" in result.stdout
    assert result.stderr == "mine is not as it should be in 1 of its files: install it again.\n"


def test_remove_asks_and_keeps_the_model_in_use(tmp_path: Path) -> None:
    folder = tmp_path / "data/models/mine"
    shutil.copytree(DEMO_FOLDER, folder)
    refused = trinart("models", "remove", "mine", "--yes", cwd=tmp_path, TRINART_MODEL="mine")
    assert refused.returncode == 2
    assert "mine is the model that TRINART_MODEL names" in refused.stderr
    unanswered = trinart("models", "remove", "mine", cwd=tmp_path)
    assert unanswered.returncode == 1
    assert "Delete data/models/mine" in unanswered.stderr
    assert folder.is_dir()
    assert trinart("models", "remove", "mine", "--yes", cwd=tmp_path).returncode == 0
    assert list(folder.parent.iterdir()) == []


def started(monkeypatch: pytest.MonkeyPatch, code: str) -> int:
    """The exit code when this Python code runs in the importer's place."""
    popen = cli_models.subprocess.Popen

    def instead(_command: list[str], **fields: Any) -> Any:
        return popen([sys.executable, "-c", code], **fields)

    monkeypatch.setattr(cli_models.subprocess, "Popen", instead)
    with pytest.raises(typer.Exit) as ended:
        cli_models.import_model(Path("x.ckpt"))
    return ended.value.exit_code


def test_the_importer_gets_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DISCORD_TOKEN", "TRINART_DATABASE_URL"):
        monkeypatch.setenv(name, "sqlite+aiosqlite:///hunter2")
    secrets = "[name for name, value in os.environ.items() if 'hunter2' in value]"
    assert started(monkeypatch, f"import os, sys; sys.exit(len({secrets}))") == 0


def test_a_ctrl_c_is_the_importers_to_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    send = f"import os, signal; os.kill({os.getpid()}, signal.SIGINT); raise SystemExit(130)"
    assert started(monkeypatch, send) == 130


def test_what_pull_offers_is_what_the_importer_knows() -> None:
    assert {known.value for known in Known} == {*KNOWN, *published()}
