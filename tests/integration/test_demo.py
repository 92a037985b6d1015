"""`trinart demo` as a newcomer sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.offline.demo import prepare
from tests.fixtures.command_line import trinart


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder with the pictures of an earlier demo, and something else."""
    folder = tmp_path / "demo-output"
    folder.mkdir()
    for name in ("trinart-1.png", "contact-sheet.png", "channel.png", "mine.png"):
        (folder / name).write_text("old")
    return folder


def test_the_demo_shows_steps_and_leaves_its_own_pictures_only(tmp_path: Path, output: Path) -> None:
    result = trinart("demo", cwd=tmp_path, PATH="")  # without a Chromium, for speed
    assert result.returncode == 0, result.stderr
    for member in ("Mika", "Ren"):
        (line,) = [line for line in result.stdout.splitlines() if line.strip().startswith(f"{member}:")]
        assert "answered" in line
        assert "20/20 steps" in line
    names = {file.name for file in output.iterdir()}
    pictures = {name for name in names if name.startswith("trinart-")}
    assert len(pictures) == 5
    assert "trinart-1.png" not in pictures
    assert names - pictures == {"contact-sheet.png", "mine.png"}


def test_pictures_that_no_demo_made_stay(output: Path) -> None:
    (output / "contact-sheet.png").unlink()
    prepare(output)
    assert (output / "trinart-1.png").read_text() == "old"


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = trinart("demo", "--output", "file", cwd=tmp_path)
    assert result.returncode == 2
    assert "cannot be saved in file: File exists" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
