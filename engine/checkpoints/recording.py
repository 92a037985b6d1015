"""What is written down of an installed model, whichever kind it is."""

from __future__ import annotations

import datetime
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.checkpoints.checksums import sha256_of


@dataclass(frozen=True)
class Origin:
    """Where on the hub a file is from, and the sha256 that was found when it was fetched."""

    repo: str
    commit: str
    sha256: str


def made_by() -> str:
    """This program, for a record."""
    return f"trinart-bot {importlib.metadata.version('trinart-bot')}"


def now() -> str:
    """The time, for a record."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def write_json(path: Path, value: msgspec.Struct) -> str:
    """Write a card or a record; its sha256."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    return sha256_of(path)
