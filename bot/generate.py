"""`trinart generate`: one job through the same service, answered into files and a progress bar."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TaskID

from bot.app import open_services
from bot.content_credentials import ContentSigner, SigningFailed
from bot.errors import MemberError, OperatorError
from bot.generation import GenerationService
from bot.jobs import Origin
from bot.presets import GenerationOptions, PresetBook
from bot.reply import Delivery, JobProgress
from bot.safety.places import HOST_PLACE
from bot.settings import Settings
from engine.models import ModelError, find_model, read_model
from engine.protocol import EngineUnavailable, GenerationRequest


class FileReply:
    """Implements `bot.reply.Reply` for the command line."""

    def __init__(
        self, out: Path, progress: Progress, task: TaskID, *, signer: ContentSigner | None = None
    ) -> None:
        self._out = out
        self._progress = progress
        self._task = task
        self._signer = signer
        self.written: list[tuple[Path, int]] = []
        self.withheld = 0
        self.error: MemberError | OperatorError | None = None

    def show_progress(self, progress: JobProgress) -> None:
        """Move the bar."""
        self._progress.update(
            self._task, description="Drawing", completed=progress.step, total=progress.steps
        )

    async def deliver(self, delivery: Delivery) -> None:
        """Write the PNG files; a disk that takes no more is kept as the error, for it is not the bot's."""
        release = await delivery.release(HOST_PLACE)
        self.withheld = release.withheld
        several = len(release.images) > 1
        for number, image in enumerate(release.images, start=1):
            path = self._out.with_stem(f"{self._out.stem}-{number}") if several else self._out
            try:
                await asyncio.to_thread(self._write, path, image.png)
            except SigningFailed as error:
                self.error = OperatorError(f"{path} was not written: {error}.", exit_code=1)
                return
            except OSError as error:
                self.error = _not_written(path, error)
                return
            self.written.append((path, image.seed))

    def _write(self, path: Path, png: bytes) -> None:
        path.write_bytes(self._signer.sign(png, "image/png") if self._signer else png)

    async def fail(self, error: MemberError) -> None:
        """Keep the error for the exit code."""
        self.error = error

    def close(self) -> None:
        """Nothing goes on in the background."""


async def generate_to_file(
    settings: Settings, options: GenerationOptions, out: Path, console: Console
) -> None:
    """Draw and write; the database of this one job is thrown away afterwards.

    Raises:
        MemberError: an option cannot be used.
        OperatorError: the model cannot be used, the picture could not be drawn or not be written.
    """
    # What can be refused is refused now: loading a model takes up to a minute.
    out = _png_file(out)
    model = find_model(settings.model, settings.models_dir).absolute()
    try:
        request = PresetBook.load().resolve(options, read_model(model), random.SystemRandom())
    except ModelError as error:
        raise OperatorError(str(error)) from error
    # Errors come back as sentences; the processes' own log lines would tear the progress bar.
    os.environ.setdefault("TRINART_LOG_LEVEL", "CRITICAL")
    with tempfile.TemporaryDirectory(prefix="trinart-") as folder:
        private = settings.model_copy(
            update={"data_dir": Path(folder), "database_url": "", "model": str(model)}
        )
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("Loading the model", total=None)
            async with open_services(private) as services:
                reply = FileReply(out, progress, task, signer=services.signer)
                await _draw(services.generation, request, reply, console)


def _png_file(out: Path) -> Path:
    """Where the picture goes: `out`, with `.png` added to a name without an ending.

    Raises:
        OperatorError: it cannot be a picture's file.
    """
    file = out if out.suffix else out.with_name(f"{out.name}.png") if out.name else out
    try:
        if not out.parent.is_dir():
            raise OperatorError(f"There is no folder {out.parent} to write {out.name} into.")
        if out.is_dir() or file.is_dir():
            raise OperatorError(f"{out} is a folder: name a file, such as {out / 'trinart.png'}.")
    except OSError as error:
        raise _not_written(file, error) from error
    if file.suffix.casefold() != ".png":
        raise OperatorError(f"{out.name} cannot be written: pictures are PNG files, so end its name in .png.")
    return file


def _not_written(file: Path, error: OSError) -> OperatorError:
    return OperatorError(f"{file} could not be written: {error.strerror}.", exit_code=1)


async def _draw(
    service: GenerationService, request: GenerationRequest, reply: FileReply, console: Console
) -> None:
    status = await service.engine.wait_settled()
    if isinstance(status, EngineUnavailable):
        raise OperatorError(status.reason)
    await service.run(await service.accept(request, Origin()), reply)
    for path, seed in reply.written:
        console.print(f"{path} (seed {seed}, {request.sampler})", markup=False)
    if reply.withheld:
        console.print(f"{reply.withheld} more may not be shown at this level and were deleted.")
    if isinstance(reply.error, MemberError):
        raise OperatorError(reply.error.text("en-US"), exit_code=1)
    if reply.error is not None:
        raise reply.error
