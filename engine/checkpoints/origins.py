"""Where an installed model came from, in words: what `pull` and `verify` say, and what a taken name is."""

from __future__ import annotations

from pathlib import Path

from engine.checkpoints.errors import shown
from engine.installed import RECORD_NAME, ImportRecord, SourceFile, read_record
from engine.models import ModelError


def told_sources(record: ImportRecord | None) -> list[str]:
    """A line per file that the model was made of; whole commits, so that `pull --revision` can name them."""
    if record is None:
        return [f"There is no {RECORD_NAME}: where this model came from was not written down."]
    return [
        f"{shown(source.file)}: {_place(source, len(source.commit))}, sha256 {shown(source.sha256)}"
        for source in record.sources
    ]


def told_briefly(folder: Path) -> str:
    """What a folder was made of, within a sentence about something else; empty if nobody knows."""
    try:
        record = read_record(folder)
    except ModelError:
        return ""
    return f", from {_place(record.sources[0], 12)}" if record and record.sources else ""


def _place(source: SourceFile, digits: int) -> str:
    return (
        f"commit {shown(source.commit[:digits])} of {shown(source.repo)}"
        if source.commit
        else "a file that was here"
    )
