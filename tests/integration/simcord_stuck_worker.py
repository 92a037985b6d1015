"""A worker that never gets ready: its engine is starting for as long as the test looks at it."""

from __future__ import annotations

import socket
import sys


def main() -> None:
    """Wait until the engine core is gone."""
    with socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1])) as core:
        core.recv(1)


if __name__ == "__main__":
    main()
