"""Checks files and prints what was found, for `trinart safety scan` and `trinart safety evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

import msgspec

from engine.protocol import ScannedFile
from engine.safety.block_list import phash
from engine.safety.errors import CheckerError, CheckError, PictureRefused
from engine.safety.inspector import Inspector
from engine.safety.loading import Caps, load_untrusted


def scan(load: Callable[[], Inspector], files: Sequence[Path], output: TextIO) -> int:
    """Print one JSON object a line, as each file is done; the exit code."""
    try:
        inspector = load()
    except CheckerError as error:
        output.write(_line(ScannedFile(file="", error=str(error))))
        return 1
    for file in files:
        output.write(_line(_scanned(inspector, file)))
        output.flush()
    return 0


def _line(found: ScannedFile) -> str:
    return msgspec.json.encode(found).decode() + "\n"


def _scanned(inspector: Inspector, file: Path) -> ScannedFile:
    """What there is to say of one file; what cannot be checked says why."""
    try:
        views = load_untrusted(_read(file, Caps()))
        return ScannedFile(file=str(file), verdict=inspector.inspect(views), phash=phash(views[0]))
    except CheckError as error:
        return ScannedFile(file=str(file), error=str(error))


def _read(file: Path, caps: Caps) -> bytes:
    """The file, but never more of it than is allowed: it may be a device without an end."""
    try:
        with file.open("rb") as stream:
            return stream.read(caps.max_bytes + 1)
    except OSError as error:
        raise PictureRefused(f"the file cannot be read: {error.strerror}") from error
