"""A checker that finds nothing in any picture, at once; the engine starts it as `benchmarks.instant_checker`.

What the real one costs is measured by itself: it is the same for every picture.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
from pathlib import Path

from engine.logs import configure_logging
from engine.protocol import Verdict
from engine.safety.server import serve


class InstantInspector:
    """Looks at nothing."""

    model = "instant"

    def inspect_png(self, _png: bytes, /) -> Verdict:
        """The same verdict each time."""
        return Verdict(scores={"sexual": 0.0}, model=self.model)


def main() -> None:
    """The part of engine.safety's command line that the core uses."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--block-list", type=Path)
    args = parser.parse_args()
    configure_logging()
    asyncio.run(serve(socket.socket(fileno=args.fd), InstantInspector))


if __name__ == "__main__":
    main()
