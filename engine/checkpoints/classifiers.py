"""`trinart models pull safety-…`: a classifier for the image check, from the Hugging Face hub.

Its files stay as they are published. Nobody here knows the sha256 of the model's file: the hub's own is taken
at the first pull, checked against what arrived, and written down. From then on the checker takes no other.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Literal

import msgspec

from engine.checkpoints.errors import CheckpointError, shown
from engine.checkpoints.fetching import HubFile, fetched
from engine.checkpoints.origins import told_briefly
from engine.checkpoints.progress import Bars
from engine.checkpoints.recording import made_by, now, write_json
from engine.checkpoints.staging import check_space, staged
from engine.installed import RECORD_NAME, UNMODIFIED_NOTICE, ImportRecord, SourceFile
from engine.safety_models import FILE, LABELS_FILE, SafetyModel, published

ROLES: tuple[Literal["classifier"], Literal["labels"]] = ("classifier", "labels")


class _Labels(msgspec.Struct):
    """The labels file of deepghs' classifiers, as far as it is read: classes in the order of the answers."""

    labels: list[str]


def pull_classifier(
    name: str, models_dir: Path, downloads: Path, bars: Bars, *, revision: str | None, replace: bool
) -> Path:
    """Fetch a published classifier; its folder.

    Raises:
        CheckpointError: there is one already, or a file is not what it should be.
        CannotNow: the hub or the disk does not let it happen now.
    """
    target = models_dir / name
    if target.exists() and not replace:
        raise CheckpointError(
            f"{name} is installed already{told_briefly(target)}: add --replace to fetch it again."
        )
    model = published()[name]
    wanted = [
        HubFile(model.repo, model.file, revision or model.revision),
        HubFile(model.repo, model.labels_file, revision or model.revision, small=True),
    ]
    by_hand = f"copy the folder {target} from a machine on which it was pulled"
    with fetched(wanted, downloads, by_hand, bars) as origins:
        path, labels_path = origins
        labels = _read_labels(labels_path, model)
        sources = [
            SourceFile(
                role=role, file=file.file, size=each.stat().st_size, **dataclasses.asdict(origins[each])
            )
            for role, file, each in zip(ROLES, wanted, origins, strict=True)
        ]
        if sources[0].commit != sources[1].commit:
            raise CheckpointError(f"{model.repo} was changed meanwhile: pull {name} again.")
        check_space(models_dir, sum(source.size for source in sources))
        with staged(target, replace=replace) as folder:
            shutil.copyfile(path, folder / FILE)
            shutil.copyfile(labels_path, folder / LABELS_FILE)
            record = ImportRecord(
                notice=f"{UNMODIFIED_NOTICE} {model.licence}.",
                made_by=made_by(),
                date=now(),
                dtype="fp32",
                sources=sources,
                ignored={},
                files={FILE: sources[0].sha256, LABELS_FILE: sources[1].sha256},
                labels=labels,
            )
            write_json(folder / RECORD_NAME, record)
    return target


def _read_labels(path: Path, model: SafetyModel) -> list[str]:
    try:
        labels = msgspec.json.decode(path.read_bytes(), type=_Labels).labels
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise CheckpointError(
            f"{model.labels_file} of {model.repo} cannot be read: not installed."
        ) from error
    if sorted(labels) != sorted(model.labels):
        names = ", ".join(map(shown, labels))
        raise CheckpointError(
            f"The classifier's classes are {names}, and not {', '.join(model.labels)}: not installed."
        )
    return labels
