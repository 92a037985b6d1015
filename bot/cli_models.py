"""`trinart models`. Whatever needs torch runs in a process of its own: `python -m engine.checkpoints`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bot.errors import OperatorError
from bot.settings import Settings, load_settings
from engine.installed import (
    check_name,
    installed_models,
    printable,
    read_record,
    remove_model,
    size_of,
)
from engine.logs import configure_logging
from engine.models import DEMO_FOLDER, ModelError, find_model, read_model
from engine.safety_models import published, read_installed
from engine.transport import SECRETS

models = typer.Typer(help="The models the bot can draw with.", no_args_is_help=True)
output = Console(highlight=False, soft_wrap=True)


class Dtype(StrEnum):
    """How a weight is stored."""

    FP16 = "fp16"
    FP32 = "fp32"


class Known(StrEnum):
    """What `pull` can fetch."""

    DERRIDA = "derrida"
    CHARACTERS_V1 = "characters-v1"
    TRINART2_115K = "trinart2-115k"
    SAFETY_ANIME_RATING = "safety-anime-rating"
    SAFETY_ANIME_RATING_LARGE = "safety-anime-rating-large"


DtypeOption = Annotated[
    Dtype, typer.Option(help="fp16 is half the size; fp32 keeps every bit of a float32 checkpoint.")
]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Put it in the place of a model of that name.")
]


@models.command("list")
def list_models() -> None:
    """The models that TRINART_MODEL and TRINART_SAFETY_MODELS can name, and which ones they name."""
    settings = _settings()
    folders = {"demo": DEMO_FOLDER} | {path.name: path for path in installed_models(settings.models_dir)}
    used = find_model(settings.model, settings.models_dir)
    if not any(_is_same(folder, used) for folder in folders.values()):
        folders[settings.model] = used  # a folder elsewhere, or one that is not there
    folders |= {folder.name: folder for folder in settings.classifier_folders}
    for name, folder in folders.items():
        mark = " (in use)" if _is_used(folder, settings) else ""
        output.print(f"{printable(name)}{mark}", style="bold", markup=False)
        for label, text in _describe(folder):
            output.print(f"    {label:<8}{printable(text)}", markup=False)


def _is_used(folder: Path, settings: Settings) -> bool:
    used = [find_model(settings.model, settings.models_dir), *settings.classifier_folders]
    return any(_is_same(folder, each) for each in used)


def _is_same(folder: Path, other: Path) -> bool:
    return folder.absolute() == other.absolute()


def _describe(folder: Path) -> Iterator[tuple[str, str]]:
    """What there is to say of a model, in lines that fit a narrow terminal."""
    try:
        is_classifier = folder.name in published()
        record = read_installed(folder).record if is_classifier else read_record(folder)
        card = None if is_classifier else read_model(folder)
    except ModelError as error:
        yield "problem", str(error)
        return
    size = f"{size_of(folder) / 1e9:.2f} GB"
    yield "disk", f"{size}, {record.dtype}, imported {record.date[:10]}" if record else size
    if card is None:
        yield "checks", published()[folder.name].about
    else:
        yield "sizes", ", ".join(f"{width}x{height}" for width, height in card.sizes.values())
    sources = record.sources if record else []
    for source in sources:
        yield "from", f"{source.file} ({source.sha256[:10]})"
    for commit in dict.fromkeys(source.commit for source in sources if source.commit):
        yield "commit", commit
    yield "folder", str(folder)


@models.command("import")
def import_model(
    model: Annotated[Path, typer.Argument(help="A .ckpt or .safetensors file in CompVis layout.")],
    vae: Annotated[
        Path | None, typer.Option(help="The autoencoder to put in place of the checkpoint's own.")
    ] = None,
    dtype: DtypeOption = Dtype.FP16,
    name: Annotated[str | None, typer.Option(help="The model's name; the file's if left out.")] = None,
    replace: ReplaceOption = False,
) -> None:
    """Make a model folder of a checkpoint, offline. Nothing in the checkpoint is run."""
    settings = _settings()
    chosen = _checked(name or model.stem.lower())
    options = ["--vae", str(vae)] if vae else []
    _run_checkpoints("import", str(model), *options, *_target(settings, chosen, dtype, replace))


@models.command("pull")
def pull_model(
    model: Annotated[
        Known, typer.Argument(help="Which of TrinArt's models, or of the image check's classifiers.")
    ],
    dtype: DtypeOption = Dtype.FP16,
    name: Annotated[
        str | None, typer.Option(help="The model's name; the same if left out. A classifier keeps its own.")
    ] = None,
    replace: ReplaceOption = False,
    revision: Annotated[
        str | None, typer.Option(help="A branch, tag or commit of its repository; main if left out.")
    ] = None,
) -> None:
    """Fetch a model from the Hugging Face hub and install it; goes on where a pull was stopped."""
    settings = _settings()
    if model.value in published() and name not in (None, model.value):
        raise OperatorError(f"{model.value} is a classifier of the image check and keeps its name.")
    target = _target(settings, _checked(name or model.value), dtype, replace)
    options = ["--downloads", str(settings.data_dir / "downloads")]
    if revision:
        options.append(f"--revision={revision}")  # one word: it may begin with a dash
    _run_checkpoints("pull", model.value, *options, *target)


@models.command("verify")
def verify_model(
    name: Annotated[str, typer.Argument(help="The model's name, or its folder with a / in it.")],
) -> None:
    """Check every file of a model against what the import wrote down. Exit code 2 if one differs."""
    _run_checkpoints("verify", str(find_model(name, _settings().models_dir)))


@models.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="The name of an installed model.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete an installed model."""
    settings = _settings()
    folder = settings.models_dir / _checked(name)
    if not folder.is_dir():
        raise OperatorError(f"There is no model {name} in {settings.models_dir}.")
    if any(_is_same(used, folder) for used in settings.classifier_folders):
        raise OperatorError(f"{name} is named by TRINART_SAFETY_MODELS: take it out first.")
    if _is_same(find_model(settings.model, settings.models_dir), folder):
        raise OperatorError(f"{name} is the model that TRINART_MODEL names: set another one first.")
    if not yes:
        typer.confirm(f"Delete {folder} ({size_of(folder) / 1e9:.2f} GB)?", abort=True, err=True)
    try:
        remove_model(folder)
    except OSError as error:
        raise OperatorError(f"{folder} could not be deleted: {error.strerror}.", exit_code=1) from error
    output.print(f"{name} was removed.")


def _settings() -> Settings:
    configure_logging("ERROR")
    return load_settings()


def _checked(name: str) -> str:
    try:
        return check_name(name)
    except ModelError as error:
        raise OperatorError(str(error)) from error


def _target(settings: Settings, name: str, dtype: Dtype, replace: bool) -> list[str]:
    options = ["--models-dir", str(settings.models_dir), "--name", name, "--dtype", dtype.value]
    return [*options, "--replace"] if replace else options


def _run_checkpoints(*arguments: str) -> None:
    """Start the engine's importer on this terminal; its exit code is ours, its sentence is already told."""
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "engine.checkpoints", *arguments],
        env={name: value for name, value in os.environ.items() if name not in SECRETS},
    )
    # A Ctrl-C reaches the child from the terminal; a SIGTERM comes to us alone. Either way it tidies up.
    with _handling(signal.SIGINT, lambda: None), _handling(signal.SIGTERM, child.terminate):
        code = child.wait()
    if code < 0:  # killed, by hand or for its memory
        raise OperatorError(f"The import was ended by signal {-code}; nothing was installed.", exit_code=1)
    raise typer.Exit(code)


@contextmanager
def _handling(number: signal.Signals, act: Callable[[], None]) -> Generator[None]:
    before = signal.signal(number, lambda _number, _frame: act())
    try:
        yield
    finally:
        signal.signal(number, before)
