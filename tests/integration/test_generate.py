"""`trinart generate` and what ends it early: real processes with the demo model."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.command_line import TRINART, settings_of, trinart


def test_a_full_disk_is_the_hosts_and_not_our_side(tmp_path: Path) -> None:
    (tmp_path / "out.png").symlink_to("/dev/full")
    # Not fewer steps: half-drawn pictures of the demo model can be withheld.
    result = trinart("generate", "1girl, smile", "--steps", "8", "--seed", "7", "-o", "out", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.strip() == "out.png could not be written: No space left on device."


def test_a_name_that_is_too_long_is_found_before_the_model_loads(tmp_path: Path) -> None:
    result = trinart("generate", "x", "-o", "x" * 300, cwd=tmp_path, TRINART_DEVICES="gpu")
    assert result.returncode == 1
    assert result.stderr.strip().endswith("could not be written: File name too long.")


def read_until(terminal: int, text: bytes) -> None:
    """Read what a process shows, until it has shown `text`."""
    shown = b""
    while text not in shown:
        shown += os.read(terminal, 4096)


def read_to_the_end(terminal: int) -> None:
    """Return once no process has the terminal open any more: the command's children inherit it."""
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:  # how Linux tells that the other end is closed
        pass


@pytest.mark.parametrize(
    ("args", "shown"), [(["generate", "x"], b"Loading the model"), (["demo"], b"Starting the engine")]
)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_that_is_stopped_leaves_nothing_behind(
    tmp_path: Path, args: list[str], shown: bytes, number: signal.Signals, code: int
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    terminal, its_end = pty.openpty()
    env = settings_of(TMPDIR=str(temporary), TERM="xterm")
    with subprocess.Popen(
        [*TRINART, *args], cwd=tmp_path, env=env, stdin=its_end, stdout=its_end, stderr=its_end
    ) as process:
        os.close(its_end)
        read_until(terminal, shown)
        assert list(temporary.glob("trinart-*")) != []
        process.send_signal(number)
        read_to_the_end(terminal)
        assert process.wait() == code
    os.close(terminal)
    assert list(temporary.glob("trinart-*")) == []  # torch keeps a cache there
