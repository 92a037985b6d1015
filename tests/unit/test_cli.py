"""The command line as a host uses it: real processes, exit codes, one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from bot.pictures import read_parameters

ROOT = Path(__file__).parents[2]


def trinart(*args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("TRINART_", "DISCORD_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "bot", *args],
        cwd=cwd,
        env={**clean, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


def test_run_without_a_token_says_where_to_get_one(tmp_path: Path) -> None:
    result = trinart("run", cwd=tmp_path)
    assert result.returncode == 2
    assert "DISCORD_TOKEN" in result.stderr
    assert "https://discord.com/developers/applications" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_generate_writes_a_picture_that_says_how_it_was_made(tmp_path: Path) -> None:
    result = trinart(
        *("generate", "1girl, blue hair, smile", "--preset", "More Details", "--seed", "7"),
        *("--steps", "4", "--images", "2", "-o", "out.png"),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    for number, seed in ((1, 7), (2, 8)):
        path = tmp_path / f"out-{number}.png"
        with Image.open(path) as image:
            assert image.size == (512, 512)
        parameters = read_parameters(path.read_bytes())
        assert parameters.startswith("1girl, blue hair, smile\nNegative prompt: flat color, flat shading, ")
        assert f"Steps: 4, Sampler: DPM++ 2M Karras, CFG scale: 2, Seed: {seed}, Size: 64x64" in parameters
        assert "Model: demo, Preset: More Details" in parameters


@pytest.mark.parametrize(
    ("args", "env", "sentence"),
    [
        (["generate", " "], {}, "The prompt is empty"),
        (["generate", "x", "--steps", "99"], {}, "`steps` must be between 1 and 60"),
        (["generate", "x"], {"TRINART_MODEL": "./nowhere"}, "There is no model folder at"),
        (["generate", "x", "-o", "no/such/folder/x.png"], {}, "There is no folder"),
        (["generate", "x"], {"TRINART_DEVICES": "gpu"}, "TRINART_DEVICES is 'gpu'"),
        (["db", "upgrade"], {"TRINART_DATABASE_URL": "nonsense"}, "TRINART_DATABASE_URL"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    tmp_path: Path, args: list[str], env: dict[str, str], sentence: str
) -> None:
    result = trinart(*args, cwd=tmp_path, **env)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("*.png"))


def test_db_commands_move_the_revision(tmp_path: Path) -> None:
    assert "revision 0001" in trinart("db", "upgrade", cwd=tmp_path).stdout
    assert "revision base" in trinart("db", "downgrade", "base", cwd=tmp_path).stdout
    assert "database: base, newest: 0001" in trinart("db", "current", cwd=tmp_path).stdout


def test_models_list_names_the_demo_model(tmp_path: Path) -> None:
    result = trinart("models", "list", cwd=tmp_path)
    assert result.returncode == 0
    assert "demo" in result.stdout
    assert "64x64" in result.stdout


def test_doctor_finds_what_is_missing(tmp_path: Path) -> None:
    result = trinart("doctor", cwd=tmp_path, TRINART_MODEL="./nowhere")
    assert result.returncode == 1
    assert "DISCORD_TOKEN" in result.stdout
    assert "There is no model folder" in " ".join(result.stdout.split())
