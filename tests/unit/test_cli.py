"""The command line as a host uses it: real processes, exit codes, one sentence."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from bot.database.session import head_revision
from bot.pictures import read_parameters
from engine.models import DEMO_FOLDER, read_model
from tests.fixtures.command_line import TRINART, settings_of, trinart


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
        cfg = f"{read_model(DEMO_FOLDER).default_cfg:g}"
        assert (
            f"Steps: 4, Sampler: DPM++ 2M Karras, CFG scale: {cfg}, Seed: {seed}, Size: 128x128" in parameters
        )
        assert "Model: demo, Preset: More Details" in parameters


NO_ENGINE = {"TRINART_DEVICES": "gpu"}
UNREADABLE_CERTIFICATE = {
    "DISCORD_TOKEN": "not asked for",
    "TRINART_C2PA_CERTIFICATE": "chain.pem",
    "TRINART_C2PA_PRIVATE_KEY": "key.pem",
}


@pytest.mark.parametrize(
    ("args", "env", "sentence"),
    [
        # With these devices the engine would complain, if it were asked before the options were checked.
        (["generate", " "], NO_ENGINE, "The prompt is empty"),
        (["generate", "x", "--steps", "99"], NO_ENGINE, "`steps` must be between 1 and 60"),
        (["generate", "x", "--preset", "y"], NO_ENGINE, "There is no preset “y”"),
        (["generate", "x", "-o", "no/such/folder/x.png"], NO_ENGINE, "There is no folder"),
        (["generate", "x", "-o", "x.jpg"], NO_ENGINE, "pictures are PNG files"),
        (["generate", "x", "-o", "."], NO_ENGINE, "is a folder"),
        (["generate", "x"], NO_ENGINE, "TRINART_DEVICES is 'gpu'"),
        (["generate", "x"], {"TRINART_MODEL": "./nowhere"}, "There is no model folder at"),
        (["generate", "x"], {"TRINART_C2PA_PRIVATE_KEY": "key.pem"}, "TRINART_C2PA_CERTIFICATE"),
        (["run"], UNREADABLE_CERTIFICATE, "TRINART_C2PA_CERTIFICATE: chain.pem cannot be read"),
        (["db", "upgrade"], {"TRINART_DATABASE_URL": "nonsense"}, "TRINART_DATABASE_URL"),
        (["db", "upgrade"], {"TRINART_DATABASE_URL": "sqlite:///x"}, "sqlite+aiosqlite:///"),
        (["db", "downgrade", "base"], {}, "There is no database at data/trinart.db yet"),
        (["playground", "--port", "99999"], {}, "less than or equal to 65535"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    tmp_path: Path, args: list[str], env: dict[str, str], sentence: str
) -> None:
    result = trinart(*args, cwd=tmp_path, **env)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_db_commands_move_the_revision(tmp_path: Path) -> None:
    assert f"revision {head_revision()}" in trinart("db", "upgrade", cwd=tmp_path).stdout
    assert "revision base" in trinart("db", "downgrade", "base", cwd=tmp_path).stdout
    assert f"database: base, newest: {head_revision()}" in trinart("db", "current", cwd=tmp_path).stdout


def test_db_current_says_that_there_is_no_database_and_makes_none(tmp_path: Path) -> None:
    result = trinart("db", "current", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("There is no database at data/trinart.db yet")
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    result = trinart("db", "upgrade", cwd=tmp_path)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "data/trinart.db cannot be opened: File exists" in result.stderr


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = trinart("playground", "--port", str(port), cwd=tmp_path)
    assert result.returncode == 2
    assert f"Port {port} of 127.0.0.1 cannot be used: Address already in use" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("module", ["typer", "discord"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_bot_that_is_stopped_while_it_is_loading_ends_in_order(
    tmp_path: Path, module: str, number: signal.Signals
) -> None:
    # In front of the real one: it says that it is being imported, and never ends doing so.
    (tmp_path / f"{module}.py").write_text("import signal\nprint('loading', flush=True)\nsignal.pause()\n")
    env = settings_of(DISCORD_TOKEN="x")
    env["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{env['PYTHONPATH']}"
    with subprocess.Popen([*TRINART, "run"], cwd=tmp_path, env=env, stdout=subprocess.PIPE) as bot:
        assert bot.stdout is not None
        assert bot.stdout.readline() == b"loading\n"
        bot.send_signal(number)
        assert bot.wait() == 0


def test_a_pictures_folder_that_takes_nothing_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "pictures").symlink_to("/sys")  # where nobody can make a file, not even root
    result = trinart("run", cwd=tmp_path, DISCORD_TOKEN="x")
    assert result.returncode == 1
    [sentence] = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert sentence.startswith(f"Pictures cannot be kept in {tmp_path}/data/pictures: ")
    assert "TRINART_DATA_DIR" in sentence


def test_models_list_names_the_demo_model(tmp_path: Path) -> None:
    result = trinart("models", "list", cwd=tmp_path)
    assert result.returncode == 0
    assert "demo" in result.stdout
    assert "128x128" in result.stdout


def test_doctor_finds_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "pictures").touch()
    result = trinart("doctor", cwd=tmp_path, TRINART_MODEL="./nowhere", COLUMNS="400")
    assert result.returncode == 1
    assert f"Pictures cannot be kept in {tmp_path}/data/pictures: Not a directory." in result.stdout
    assert "DISCORD_TOKEN" in result.stdout
    assert "There is no model folder" in " ".join(result.stdout.split())


def test_doctor_writes_before_it_says_that_it_can(tmp_path: Path) -> None:
    # A limit of no bytes per file is as good as a full disk, also for root.
    result = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -f 0 && exec "$@"', "sh", *TRINART, "doctor"],
        cwd=tmp_path,
        env=settings_of(TRINART_MODEL="./nowhere", COLUMNS="400"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert f"{tmp_path / 'data'} cannot be written (File too large)" in result.stdout
    assert "TRINART_DATA_DIR" in result.stdout
    assert list(tmp_path.iterdir()) == []
