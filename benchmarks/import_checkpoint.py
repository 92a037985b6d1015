"""What the import of a full-size checkpoint takes, as float16 and as float32.

It makes the checkpoint in a temporary folder, which needs 10 GB, and imports it once for each data type as
`trinart models import` does: in a process of its own. The memory is the peak of that process, mapped files
included. `--tiny` imports a checkpoint of the demo model's size, once; its numbers mean nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import report
from benchmarks.make_checkpoint import DTYPES, make
from engine.checkpoints.components import SD1_FOLDER
from engine.installed import remove_model, size_of
from engine.models import DEMO_FOLDER

GOALS = {
    "seconds": report.Goal(180.0, at_most=True),
    "peak_memory_gb": report.Goal(12.0, at_most=True),
}


class Import(NamedTuple):
    """What one import took, and how large the model folder is."""

    seconds: float
    peak_memory_gb: float
    folder_gb: float


def import_once(model: Path, vae: Path, models_dir: Path, dtype: str, config: Path) -> Import:
    """Import in a new process, and remove the model again."""
    command = [sys.executable, "-P", "-m", "engine.checkpoints", "import", str(model), "--vae", str(vae)]
    command += ["--models-dir", str(models_dir), "--name", "made", "--dtype", dtype]
    command += ["--config-dir", str(config)]
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - started
    if status != 0:
        raise SystemExit(f"the import ended with status {status}")
    folder_gb = size_of(models_dir / "made") / 1e9
    remove_model(models_dir / "made")
    return Import(seconds, usage.ru_maxrss * 1024 / 1e9, folder_gb)


def measure(folder: Path, config: Path, dtypes: Sequence[str]) -> dict[str, Any]:
    """Each of the data types; the slower and the larger one are what must reach the goals."""
    model, vae = make(folder, config=config)
    found = {dtype: import_once(model, vae, folder / "models", dtype, config) for dtype in dtypes}
    return {
        "seconds": max(each.seconds for each in found.values()),
        "peak_memory_gb": max(each.peak_memory_gb for each in found.values()),
        "sources_gb": (model.stat().st_size + vae.stat().st_size) / 1e9,
        "seconds_by_dtype": {dtype: each.seconds for dtype, each in found.items()},
        "peak_memory_gb_by_dtype": {dtype: each.peak_memory_gb for dtype, each in found.items()},
        "folder_gb_by_dtype": {dtype: each.folder_gb for dtype, each in found.items()},
    }


def main() -> None:
    """The command line."""
    parser = report.parser(__doc__)
    parser.add_argument("--tiny", action="store_true", help="the demo model: only to try the program")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        if args.tiny:
            results = measure(Path(folder), DEMO_FOLDER, ["fp16"])
        else:
            results = measure(Path(folder), SD1_FOLDER, list(DTYPES))
    asked = {"tiny": args.tiny}
    report.publish(
        "Import of a Stable Diffusion v1 checkpoint",
        results,
        goals={} if args.tiny else GOALS,
        conditions=report.conditions(clock="wall", asked=asked),
        as_json=args.json,
    )


if __name__ == "__main__":
    main()
