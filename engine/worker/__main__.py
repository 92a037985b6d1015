"""`python -m engine.worker --fd N --model FOLDER --device DEVICE`: started by the core."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
from pathlib import Path

from engine.logs import configure_logging

# The hub is never asked for a served model: what is not in the folder is an error, not a download.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Its notices on import are of optional packages that this project does not use.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def parse_arguments() -> argparse.Namespace:
    """What the core passes to each worker."""
    parser = argparse.ArgumentParser(prog="engine.worker")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--max-batch-size", type=int, required=True)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--compile-cache", type=Path)
    return parser.parse_args()


def main() -> None:
    """Draw until the core closes the connection."""
    args = parse_arguments()
    configure_logging()
    if args.compile_cache is not None:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(args.compile_cache.absolute()))

    from engine.worker.loading import ModelOptions, load_model
    from engine.worker.model import DiffusionModel
    from engine.worker.server import WorkerServer

    def load() -> DiffusionModel:
        options = ModelOptions(
            device=args.device,
            dtype=args.dtype,
            threads=args.threads,
            max_batch_size=args.max_batch_size,
            is_exact=args.exact,
            is_compiled=args.compile_cache is not None,
        )
        return load_model(args.model, options)

    server = WorkerServer(load)
    asyncio.run(server.serve(socket.socket(fileno=args.fd)))


if __name__ == "__main__":
    main()
