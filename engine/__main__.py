"""`python -m engine --fd N --model FOLDER`: the engine process, started by `engine.client`, not by hand."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
from pathlib import Path

from engine.core.server import EngineCore, EngineOptions
from engine.logs import configure_logging


def main() -> None:
    """Serve the process at the other end of the inherited socket until it goes away."""
    parser = argparse.ArgumentParser(prog="engine")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--devices", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--max-batch-size", type=int, default=8)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--compile-cache", type=Path)
    parser.add_argument("--queue-limit", type=int, default=200)
    parser.add_argument("--step-timeout", type=float, default=120.0)
    parser.add_argument("--worker-module", default="engine.worker")
    parser.add_argument("--preview-limit", type=float, default=0.0)
    parser.add_argument("--block-list", type=Path)
    parser.add_argument("--classifier", type=Path, action="append", default=[])
    parser.add_argument("--check-timeout", type=float, default=30.0)
    parser.add_argument("--checker-module", default="engine.safety")
    args = parser.parse_args()
    configure_logging()
    options = EngineOptions(
        model=args.model,
        devices=args.devices,
        dtype=args.dtype,
        threads=args.threads,
        max_batch_size=args.max_batch_size,
        exact=args.exact,
        compile_cache=args.compile_cache,
        queue_limit=args.queue_limit,
        step_timeout=args.step_timeout,
        worker_module=args.worker_module,
        preview_limit=args.preview_limit,
        block_list=args.block_list,
        classifiers=args.classifier,
        check_timeout=args.check_timeout,
        checker_module=args.checker_module,
    )
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(EngineCore(options).serve(socket.socket(fileno=args.fd)))


if __name__ == "__main__":
    main()
