"""What all benchmarks say about themselves, and how: one JSON object, or tables to read."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "diffusers", "transformers", "numpy", "pillow", "msgspec", "ray")


@dataclass(frozen=True)
class Goal:
    """A value to reach: at least it, or at most it."""

    value: float
    at_most: bool = False

    def is_reached(self, value: float | None) -> bool | None:
        """None where nothing was measured."""
        if value is None:
            return None
        return value <= self.value if self.at_most else value >= self.value

    def __str__(self) -> str:
        return f"{'at most' if self.at_most else 'at least'} {self.value:g}"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Every benchmark's command line begins with `--json`."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    made.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return made


def conditions(device: str = "cpu", **more: Any) -> dict[str, Any]:
    """When, on what and with which versions; `more` is what was asked of the benchmark."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "device": device,
        "versions": versions,
        **more,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def publish(
    title: str,
    results: Mapping[str, Any],
    *,
    goals: Mapping[str, Goal],
    conditions: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Print what was measured; keys of `results` that have a goal are judged by it."""
    if as_json:
        musts = {
            key: {"must": str(goal), "reached": goal.is_reached(results.get(key))}
            for key, goal in goals.items()
        }
        print(json.dumps({**results, "goals": musts, "conditions": conditions}))
    else:
        _print_tables(title, results, goals, conditions)


def _print_tables(
    title: str, results: Mapping[str, Any], goals: Mapping[str, Goal], conditions: Mapping[str, Any]
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "measured", "must", "reached", title=title, title_justify="left")
    for key, value in results.items():
        goal = goals.get(key)
        verdict = {True: "yes", False: "NO", None: "not measured"}[goal.is_reached(value)] if goal else ""
        table.add_row(key, _readable(value), str(goal) if goal else "", verdict)
    console = Console()
    console.print(table)
    for name, value in conditions.items():
        console.print(f"{name}: {_readable(value)}", highlight=False)


def _readable(value: Any) -> str:
    match value:
        case float():
            return f"{value:.3g}"
        case None:
            return "-"
        case dict():
            return ", ".join(f"{name} {_readable(each)}" for name, each in value.items())
        case list():
            return " ".join(_readable(each) for each in value)
    return str(value)
