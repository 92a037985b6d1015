"""Installed models: their names, where each came from, and their removal. No torch; any process."""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path
from typing import Literal

import msgspec

from engine.models import ModelError

RECORD_NAME = "trinart_import.json"
PARTIAL = ".partial-"
"""Beginning of the name of a folder that is being made or removed; the next import deletes left-overs."""

Dtype = Literal["fp16", "fp32"]

MODIFIED_NOTICE = (
    "Modified files: TrinArt bot converted the weights of the source files below into another layout and "
    "into the data type named here. The source's licence still applies to them."
)
"""CreativeML OpenRAIL-M, paragraph 4: modified files carry a notice that they were changed."""


UNMODIFIED_NOTICE = "Unmodified files of the sources below, under their licence."


class SourceFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that a model was made of; `repo` and `commit` if it came from the hub."""

    role: Literal["model", "vae", "classifier", "labels"]
    file: str
    size: int
    sha256: str
    repo: str = ""
    commit: str = ""


class ImportRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`trinart_import.json`: what the folder was made of, and how each of its files should be.

    `files` maps each file's path in the folder to its sha256; `ignored` counts the sources' keys that
    are no weights of the model, by what they are. A classifier of the image check has `labels`: its classes,
    in the order of its answers.
    """

    notice: str
    made_by: str
    date: str
    dtype: Dtype
    sources: list[SourceFile]
    ignored: dict[str, int]
    files: dict[str, str]
    labels: list[str] = []

    @property
    def is_classifier(self) -> bool:
        """Whether it is one of the image check, and draws nothing."""
        return bool(self.labels)


def check_name(name: str) -> str:
    """The name, if a model may be installed under it.

    Raises:
        ModelError: it is `demo`, or not one plain path component.
    """
    if name == "demo":
        raise ModelError("The name demo belongs to the model that is shipped: choose another with --name.")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
        raise ModelError(
            f"{name!r} cannot be a model's name: use small letters, digits, dots, dashes and underscores, "
            "at most 64, with a letter or digit first."
        )
    return name


def installed_models(models_dir: Path) -> list[Path]:
    """The folders of installed models, by name."""
    if not models_dir.is_dir():
        return []
    return sorted(path for path in models_dir.iterdir() if path.is_dir() and not path.name.startswith("."))


def read_record(folder: Path) -> ImportRecord | None:
    """What the import wrote down; None for a folder that was made by other means.

    Raises:
        ModelError: the record cannot be read.
    """
    path = folder / RECORD_NAME
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=ImportRecord)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ModelError(f"{path} cannot be read: {error}.") from error


def printable(text: str) -> str:
    """The text on one line, without what a terminal would obey: escape sequences, reordering."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def remove_model(folder: Path) -> None:
    """Delete an installed model: at once for anybody who looks, then file by file.

    A worker that has it loaded keeps its mapped files until it ends.
    """
    if folder.is_symlink():  # somebody else's folder, linked here: the link is what was installed
        folder.unlink()
        return
    doomed = folder.with_name(f"{PARTIAL}removed-{secrets.token_hex(4)}")
    folder.rename(doomed)
    shutil.rmtree(doomed)
