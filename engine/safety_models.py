"""Classifiers that a host can add to the image check: what is published where, and what is installed.

No torch and no onnxruntime; any process. What is published is in `safety_models.toml`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path

import msgspec

from engine.installed import ImportRecord, read_record
from engine.models import ModelError

PREFIX = "safety-"
"""Begins the name of each; no model that draws is installed under such a name."""
FILE = "model.onnx"
LABELS_FILE = "meta.json"


class SafetyModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published classifier; `safety_models.toml` says what the fields mean."""

    about: str
    repo: str
    revision: str
    file: str
    labels_file: str
    licence: str
    side: int
    labels: list[str]
    sexual: list[str]
    marks: list[tuple[float, float]]

    def __post_init__(self) -> None:
        if not self.sexual or not set(self.sexual) <= set(self.labels):
            raise ValueError("the sexual classes must be among the labels")
        if self.marks[0] != (0, 0) or self.marks[-1] != (1, 1):
            raise ValueError("the marks must begin at 0 and end at 1")
        if any(one[0] >= other[0] or one[1] > other[1] for one, other in pairwise(self.marks)):
            raise ValueError("the marks must rise")


@dataclass(frozen=True, kw_only=True)
class InstalledSafetyModel:
    """A classifier on this machine, with the sha256 that its file had when it was fetched."""

    name: str
    model: SafetyModel
    path: Path
    sha256: str
    labels: tuple[str, ...]
    """In the order of the model's answers."""
    record: ImportRecord

    def is_unchanged(self) -> bool:
        """Whether the file is the one that was fetched.

        Raises:
            OSError: it cannot be read.
        """
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256


@cache
def published() -> dict[str, SafetyModel]:
    """All that can be pulled, by name."""
    content = (resources.files("engine") / "safety_models.toml").read_bytes()
    return msgspec.toml.decode(content, type=dict[str, SafetyModel])


def parse_safety_models(text: str) -> tuple[str, ...]:
    """The names in a list with commas, in their order.

    Raises:
        ValueError: one is not known, or named twice.
    """
    names = tuple(name for part in text.split(",") if (name := part.strip()))
    if unknown := [name for name in names if name not in published()]:
        raise ValueError(f"there is no {unknown[0]}, only {', '.join(published())}")
    if len(set(names)) < len(names):
        raise ValueError("a name is there twice")
    return names


def read_installed(folder: Path) -> InstalledSafetyModel:
    """What is known of the classifier in a folder; its file is not looked at.

    Raises:
        ModelError: it was not pulled, or its record cannot be one.
    """
    name = folder.name
    if not folder.is_dir():
        raise ModelError(
            f"The image check's {name} is not installed at {folder}: run trinart models pull {name}, "
            "or take it out of TRINART_SAFETY_MODELS."
        )
    model, record = published().get(name), read_record(folder)
    sha256 = record.files.get(FILE) if record else None
    if model is None or record is None or sha256 is None or sorted(record.labels) != sorted(model.labels):
        raise ModelError(
            f"{folder} is no classifier that was pulled: run trinart models pull {name} --replace."
        )
    return InstalledSafetyModel(
        name=name, model=model, path=folder / FILE, sha256=sha256, labels=tuple(record.labels), record=record
    )
