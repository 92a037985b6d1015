"""`python -m engine.safety`: with `--fd` the checker process, with `--scan` what `trinart safety` starts."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from pathlib import Path

# Before numpy is imported: its threads would take more time to wake than they save.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = argparse.ArgumentParser(prog="engine.safety")
    task = arguments.add_mutually_exclusive_group(required=True)
    task.add_argument("--fd", type=int, help="the socket to the engine core")
    task.add_argument(
        "--scan", type=Path, nargs="+", metavar="FILE", help="print a JSON object for each file"
    )
    arguments.add_argument("--models", type=Path, help="the folder of the default models")
    arguments.add_argument(
        "--classifier", type=Path, action="append", default=[], help="the folder of one that the host added"
    )
    arguments.add_argument("--block-list", type=Path)
    arguments.add_argument("--threads", type=int, default=1)
    return arguments


def main() -> int:
    """Do one of both; the exit code."""
    args = parser().parse_args()
    from engine.logs import configure_logging
    from engine.safety.block_list import BlockList
    from engine.safety.classifiers import DEFAULT_MODELS, MODELS_FOLDER, added_models
    from engine.safety.inspector import Inspector
    from engine.safety.self_test import run_self_test

    def load() -> Inspector:
        inspector = Inspector(
            models=[*DEFAULT_MODELS, *added_models(args.classifier)],
            folder=args.models or MODELS_FOLDER,
            block_list=BlockList.read(args.block_list),
            threads=args.threads,
        )
        run_self_test(inspector)
        return inspector

    configure_logging()
    if args.scan:
        from engine.safety.scanning import scan

        return scan(load, args.scan, sys.stdout)
    from engine.safety.server import serve

    asyncio.run(serve(socket.socket(fileno=args.fd), load))
    return 0


if __name__ == "__main__":
    sys.exit(main())
