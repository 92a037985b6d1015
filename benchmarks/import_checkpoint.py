"""Measures the import of a full-size checkpoint: `python -m benchmarks.import_checkpoint [--json]`.

It makes the checkpoint in a temporary folder, which needs 10 GB, and imports it once for each data type as
`trinart models import` does: in a process of its own. The memory is the peak of that process, mapped files
included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.make_checkpoint import make
from engine.installed import remove_model, size_of

Result = dict[str, str | float]


def measure(model: Path, vae: Path, models_dir: Path, dtype: str) -> Result:
    """Import once; wall time, peak memory and the size of the folder."""
    command = [sys.executable, "-P", "-m", "engine.checkpoints", "import", str(model), "--vae", str(vae)]
    command += ["--models-dir", str(models_dir), "--name", "made", "--dtype", dtype]
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - started
    if status != 0:
        raise SystemExit(f"the import ended with status {status}")
    folder_gb = size_of(models_dir / "made") / 1e9
    remove_model(models_dir / "made")
    return {
        "dtype": dtype,
        "seconds": round(seconds, 1),
        "peak_memory_gb": round(usage.ru_maxrss * 1024 / 1e9, 2),
        "sources_gb": round((model.stat().st_size + vae.stat().st_size) / 1e9, 2),
        "folder_gb": round(folder_gb, 2),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.import_checkpoint", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        model, vae = make(Path(folder))
        for dtype in ("fp16", "fp32"):
            result = measure(model, vae, Path(folder) / "models", dtype)
            words = ", ".join(f"{name} {value}" for name, value in result.items())
            sys.stdout.write((json.dumps(result) if args.json else words) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
