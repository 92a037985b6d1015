"""`trinart models verify`: whether an installed model is still as it was made, file by file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.checkpoints.checksums import sha256_of
from engine.checkpoints.components import Component, read_components
from engine.checkpoints.errors import CheckpointError, shown
from engine.checkpoints.progress import Bars
from engine.checkpoints.reading import read_safetensors_header
from engine.installed import RECORD_NAME, read_record
from engine.models import ModelError, read_model


@dataclass(frozen=True)
class Verdict:
    """One file of the folder; `problem` is empty if it is as it should be."""

    file: str
    problem: str = ""


def verify_model(folder: Path, bars: Bars) -> list[Verdict]:
    """Check each file against the record of the import, and the weights against the configuration.

    A folder that was made by other means has no record: then the weights' keys and shapes are all there is.
    Of a classifier of the image check the record is all there is.

    Raises:
        CheckpointError: there is no model, or its record cannot be read.
    """
    try:
        record = read_record(folder)
        if record is not None and record.is_classifier:
            return list(_check_hashes(folder, record.files, bars))
        read_model(folder)
    except ModelError as error:
        raise CheckpointError(str(error)) from error
    verdicts = list(_check_hashes(folder, record.files, bars)) if record else []
    bad = {verdict.file for verdict in verdicts if verdict.problem}
    if not any(name.endswith("config.json") for name in bad):
        # A name that a changed configuration no longer has would only repeat what the hash has told.
        verdicts = _merged(verdicts, _check_keys(folder))
    return verdicts


def _check_hashes(folder: Path, files: dict[str, str], bars: Bars) -> Iterator[Verdict]:
    sizes = {name: (folder / name).stat().st_size for name in files if (folder / name).is_file()}
    with bars.step(f"sha256 of {folder.name}", sum(sizes.values())) as advance:
        for name, sha256 in files.items():
            if name not in sizes:
                yield Verdict(name, "is missing")
            elif sha256_of(folder / name, advance) != sha256:
                yield Verdict(name, "was changed or damaged")
            else:
                yield Verdict(name)
    here = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    for name in sorted(here - files.keys() - {RECORD_NAME}):
        yield Verdict(name, "was not there when the model was imported")


def _check_keys(folder: Path) -> Iterator[Verdict]:
    for component in read_components(folder):
        for path in sorted((folder / component.folder).glob("*.safetensors")):
            if path.name == component.file:
                yield Verdict(component.path, _difference(path, component))


def _difference(path: Path, component: Component) -> str:
    try:
        header = read_safetensors_header(path)
    except CheckpointError:
        return "is cut short or damaged"
    # Folders that an older transformers saved have this prefix and this buffer.
    found = {name.removeprefix("text_model."): tuple(entry["shape"]) for name, entry in header.items()}
    found.pop("embeddings.position_ids", None)
    for key, shape in component.shapes.items():
        if found.get(key) != shape:
            return f"lacks the weight {key}, or has it in another shape"
    unexpected = sorted(found.keys() - component.shapes.keys())
    return f"has a weight that the model has not: {shown(unexpected[0])}" if unexpected else ""


def _merged(first: list[Verdict], second: Iterator[Verdict]) -> list[Verdict]:
    """The hash has the first word on a file, the keys the second."""
    by_file = {verdict.file: verdict for verdict in second}
    for verdict in first:
        if verdict.problem or verdict.file not in by_file:
            by_file[verdict.file] = verdict
    return [by_file[name] for name in sorted(by_file)]
