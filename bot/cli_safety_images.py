"""`trinart safety scan` and `evaluate`. The check runs in a process of its own: `python -m engine.safety`."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from bot.errors import OperatorError
from bot.safety.levels import LEVELS
from bot.safety.policy import SCORE, Policy
from bot.safety.verdicts import Decision
from bot.settings import load_settings
from engine.logs import configure_logging
from engine.protocol import ScannedFile, Verdict
from engine.transport import SECRETS

output = Console(highlight=False, soft_wrap=True)

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
THRESHOLDS = tuple(round(0.1 * number, 1) for number in range(1, 10))
FILES_AT_ONCE = 500
"""Files that one process is given: more names may not fit into a command line."""


def add_image_commands(app: typer.Typer) -> None:
    """Add both commands to `trinart safety`."""
    app.command("scan")(scan_files)
    app.command("evaluate")(evaluate)


def scan_files(
    files: Annotated[list[Path], typer.Argument(help="PNG, JPEG or WebP files.")],
) -> None:
    """Check pictures as the bot would; one JSON object a line. Nothing is kept or sent."""
    configure_logging("ERROR")
    policy = Policy.load(load_settings().safety_policy)
    for found in _scan(files):
        line = {"file": found.file, "decision": decide(policy, found.verdict)}
        if found.verdict is None:
            line["error"] = found.error
        else:
            line |= msgspec.to_builtins(found.verdict) | {"phash": found.phash}
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")


def decide(policy: Policy, verdict: Verdict | None) -> Decision:
    """`allow`: shown everywhere. `refuse`: withheld but in age-restricted places. `strict`: in between."""
    shown = [policy.decide(verdict, level) == "show" for level in LEVELS]
    withheld = [policy.decide(verdict, level) == "withhold" for level in ("strict", "default")]
    if all(shown):
        return "allow"
    return "refuse" if all(withheld) else "strict"


def evaluate(
    directory: Annotated[Path, typer.Argument(help="A folder with one folder of pictures for each label.")],
    positive: Annotated[
        list[str], typer.Option(help="A label whose pictures should be found; can be given several times.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write scores and labels to this .csv or .json file.")
    ] = None,
) -> None:
    """Measure the image check on your own pictures. Scores and labels come out, never pictures."""
    configure_logging("ERROR")
    rows = list(_scores(directory, positive))
    if out is not None:
        _write(out, rows)
    _print_table(rows, set(positive))


@dataclass(frozen=True, kw_only=True)
class LabelledScore:
    """One picture of an evaluation, without its name."""

    label: str
    score: float | None
    """None if it could not be checked: such a picture is never shown."""
    model: str


def _scores(directory: Path, positive: Sequence[str]) -> Iterator[LabelledScore]:
    if not directory.is_dir():
        raise OperatorError(f"{directory} is no folder.")
    labels = {path.name: path for path in sorted(directory.iterdir()) if path.is_dir()}
    if missing := sorted(set(positive) - set(labels)):
        raise OperatorError(f"There is no folder {missing[0]} in {directory}.")
    for label, folder in labels.items():
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        for found in _scan(files):
            verdict = found.verdict
            score = None if verdict is None else verdict.scores[SCORE]
            yield LabelledScore(label=label, score=score, model=verdict.model if verdict else "")


def _scan(files: Sequence[Path]) -> Iterator[ScannedFile]:
    for start in range(0, len(files), FILES_AT_ONCE):
        yield from _run_scan(files[start : start + FILES_AT_ONCE])


def _run_scan(files: Sequence[Path]) -> Iterator[ScannedFile]:
    """Let the check look at the files; what it found, one by one.

    Raises:
        OperatorError: it does not work, or ended before it was done.
    """
    settings = load_settings()
    block_list = settings.block_list
    command = [
        *(sys.executable, "-P", "-m", "engine.safety"),
        *(["--block-list", str(block_list)] if block_list is not None else []),
        *(part for folder in settings.classifier_folders for part in ("--classifier", str(folder))),
        *("--scan", *map(str, map(_not_an_option, files))),
    ]
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        count = 0
        for line in child.stdout:
            found = msgspec.json.decode(line, type=ScannedFile)
            if not found.file:
                raise OperatorError(f"Nothing can be checked: {found.error}.", exit_code=1)
            yield found
            count += 1
    if count < len(files):
        raise OperatorError(f"The check ended while it looked at {files[count]}.", exit_code=1)


def _not_an_option(file: Path) -> Path:
    """A relative name that begins with a dash would be taken for an option."""
    return file if file.is_absolute() else Path.cwd() / file


def _write(path: Path, rows: Sequence[LabelledScore]) -> None:
    try:
        if path.suffix == ".json":
            path.write_bytes(msgspec.json.format(msgspec.json.encode(list(rows))))
            return
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["label", "score", "model"])
            writer.writerows((row.label, "" if row.score is None else row.score, row.model) for row in rows)
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror}.") from error


def _print_table(rows: Sequence[LabelledScore], positive: set[str]) -> None:
    unchecked = sum(row.score is None for row in rows)
    count = sum(row.label in positive for row in rows)
    output.print(f"{len(rows)} pictures, {count} of them to be found, {unchecked} could not be checked.")
    table = Table("Threshold", "Precision", "Recall", "False alarms", box=None)
    for threshold in THRESHOLDS:
        table.add_row(f"{threshold:.1f}", *_rates(rows, positive, threshold))
    output.print(table)


def _rates(rows: Sequence[LabelledScore], positive: set[str], threshold: float) -> Iterator[Any]:
    """Precision, recall, and how many of the others are found; a dash where there is nothing to count."""
    checked = [row for row in rows if row.score is not None]
    found = [row for row in checked if row.score is not None and row.score >= threshold]
    right = sum(row.label in positive for row in found)
    wanted = sum(row.label in positive for row in checked)
    for part, whole in (
        (right, len(found)),
        (right, wanted),
        (len(found) - right, len(checked) - wanted),
    ):
        yield f"{part / whole:.3f} ({part}/{whole})" if whole else "–"
