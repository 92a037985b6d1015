"""Each benchmark runs, at a scale that measures nothing, and prints one JSON object with its keys."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SMALL = {
    "batching": ("--rounds=1", "--requests=3", "--max-steps=3"),
    "engine_path": ("--single-jobs=3", "--jobs=8", "--at-once=4", "--rounds=1"),
    "gpu": (
        *("--tiny", "--device=cpu", "--requests=3", "--steps=2", "--rounds=1"),
        *("--compile-mode=none", "--no-ray"),
    ),
    "import_checkpoint": ("--tiny",),
    "safety": ("--rounds=2", "--pictures=1"),
}

KEYS = {
    "batching": {
        *("continuous_vs_one_by_one", "continuous_vs_static", "p95_vs_run_to_longest", "loop_overhead"),
        "max_latent_difference",
    },
    "engine_path": {"p50_ms", "jobs_per_s"},
    "gpu": {
        *("images_per_s", "single_s", "p50_s", "p95_s", "goodput_at_3_s", "gpu_idle_share"),
        *("cold_start_s", "continuous_vs_one_by_one", "images_per_s_by_way"),
    },
    "import_checkpoint": {
        *("seconds", "peak_memory_gb", "sources_gb"),
        *("seconds_by_dtype", "peak_memory_gb_by_dtype", "folder_gb_by_dtype"),
    },
    "safety": {"prompt_p99_ms", "prompts_per_s", "picture_cpu_ms", "demo_pictures"},
}


def run(name: str, *options: str) -> str:
    """What the benchmark prints on stdout."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *SMALL[name], *options]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SMALL)
def test_with_json_it_prints_one_object_and_nothing_else(name: str) -> None:
    printed: dict[str, Any] = json.loads(run(name, "--json"))
    assert printed.keys() >= KEYS[name] | {"goals", "conditions"}
    assert printed["conditions"].keys() >= {"date", "machine", "device", "versions"}
    if name == "batching":
        assert printed["max_latent_difference"] < 1e-4


def test_without_json_it_prints_a_table() -> None:
    printed = run("engine_path")
    assert "p50_ms" in printed
    assert "machine:" in printed
