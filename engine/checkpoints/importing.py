"""`trinart models import`: a CompVis checkpoint and an autoencoder become a model folder, offline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.checkpoints.accounting import Account, account_for
from engine.checkpoints.checksums import sha256_of
from engine.checkpoints.components import SD1_FOLDER, read_components
from engine.checkpoints.disk import reading
from engine.checkpoints.errors import CheckpointError
from engine.checkpoints.progress import Bars
from engine.checkpoints.reading import open_checkpoint
from engine.checkpoints.recording import Origin, made_by, now, write_json
from engine.checkpoints.records import checked_sha256
from engine.checkpoints.staging import check_space, refuse_existing, staged
from engine.checkpoints.writing import TORCH_DTYPES, write_part
from engine.installed import MODIFIED_NOTICE, RECORD_NAME, Dtype, ImportRecord, SourceFile, check_name
from engine.models import CARD_NAME, SD1_SIZES, ModelError, read_model
from engine.protocol import ModelCard
from engine.safety_models import PREFIX


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """One import. `config_dir` has the configuration, tokenizer and sampler settings of the folder made."""

    model: Path
    vae: Path | None
    models_dir: Path
    name: str
    dtype: Dtype = "fp16"
    replace: bool = False
    config_dir: Path = SD1_FOLDER
    origins: Mapping[Path, Origin] = field(default_factory=dict[Path, Origin])

    @property
    def target(self) -> Path:
        """The folder to make."""
        return self.models_dir / self.name


def import_checkpoint(request: ImportRequest, bars: Bars) -> Path:
    """Make the model folder; nothing is left if that fails.

    Raises:
        CheckpointError: a file or the name cannot be used; one sentence.
    """
    check_target(request)
    model = open_checkpoint(request.model)
    vae = open_checkpoint(request.vae) if request.vae else None
    account = account_for(read_components(request.config_dir), model, vae)
    size = sum(part.component.parameters for part in account.parts) * TORCH_DTYPES[request.dtype].itemsize
    check_space(request.models_dir, size)
    sources = _describe_sources(request, bars)
    with staged(request.target, replace=request.replace) as folder:
        files = _copy_configuration(request.config_dir, folder)
        files[CARD_NAME] = write_json(folder / CARD_NAME, ModelCard(name=request.name, sizes=SD1_SIZES))
        files |= _write_weights(folder, account, request, bars, size)
        record = ImportRecord(
            notice=MODIFIED_NOTICE,
            made_by=made_by(),
            date=now(),
            dtype=request.dtype,
            sources=sources,
            ignored=account.ignored,
            files=dict(sorted(files.items())),
        )
        write_json(folder / RECORD_NAME, record)
        read_model(folder)
    return request.target


def check_target(request: ImportRequest) -> None:
    """Raise early if the model's name cannot be used.

    Raises:
        CheckpointError: it cannot, or it is taken.
    """
    try:
        check_name(request.name)
    except ModelError as error:
        raise CheckpointError(str(error)) from error
    if request.name.startswith(PREFIX):
        raise CheckpointError(
            f"Names that begin with {PREFIX} are for classifiers of the image check: "
            "choose another with --name."
        )
    refuse_existing(request.target, replace=request.replace)


def _describe_sources(request: ImportRequest, bars: Bars) -> list[SourceFile]:
    sources: list[SourceFile] = []
    for role, path in (("model", request.model), ("vae", request.vae)):
        if path is None:
            continue
        origin = request.origins.get(path)
        with reading(path):
            size = path.stat().st_size
        if origin is None:
            with bars.step(f"checking {path.name}", size) as advance:
                origin = Origin("", "", checked_sha256(path, advance))
        fields = {"repo": origin.repo, "commit": origin.commit, "sha256": origin.sha256}
        sources.append(
            SourceFile(role="model" if role == "model" else "vae", file=path.name, size=size, **fields)
        )
    return sources


def _copy_configuration(config_dir: Path, folder: Path) -> dict[str, str]:
    """Everything but weights and the card; the sha256 of each file."""
    files: dict[str, str] = {}
    for path in sorted(config_dir.rglob("*")):
        relative = path.relative_to(config_dir)
        if path.suffix not in (".json", ".txt") or path.name in (CARD_NAME, RECORD_NAME):
            continue
        (folder / relative).parent.mkdir(exist_ok=True)
        with reading(path):
            content = path.read_bytes()
        (folder / relative).write_bytes(content)
        files[str(relative)] = sha256_of(folder / relative)
    return files


def _write_weights(
    folder: Path, account: Account, request: ImportRequest, bars: Bars, size: int
) -> dict[str, str]:
    files: dict[str, str] = {}
    sources = " and ".join(path.name for path in (request.model, request.vae) if path)
    metadata = {"notice": MODIFIED_NOTICE, "sources": sources, "dtype": request.dtype}
    with bars.step(f"writing {request.name}", size) as advance:
        for part in account.parts:
            path = folder / part.component.path
            files[part.component.path] = write_part(path, part, request.dtype, metadata, advance)
    return files
