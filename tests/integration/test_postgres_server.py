"""The tests' own PostgreSQL server leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

OWNER = """
import os, signal
from tests.fixtures.postgres import running_server
with running_server() as server:
    print(server.folder, (server.folder / "data/postmaster.pid").read_text().split()[0], flush=True)
    os.kill(os.getpid(), signal.Signals[os.environ["BY"]])
    signal.pause()
"""


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_server_ends_with_the_tests_however_they_end(by: signal.Signals) -> None:
    root = Path(__file__).parents[2]
    owner = subprocess.run(
        [sys.executable, "-c", OWNER],
        env={"BY": by.name, "PYTHONPATH": str(root)},
        capture_output=True,  # returns when the guard has let go of stderr too, which is when it has ended
        text=True,
        check=False,
    )
    assert owner.returncode == -by
    folder, pid = owner.stdout.split()
    assert not Path(folder).exists()
    assert not psutil.pid_exists(int(pid))
