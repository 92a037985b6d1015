"""What a pickle would import, read from its opcodes without running any of them.

torch's `weights_only` unpickler enforces the same afterwards; this pass is narrower, covers every pickle in
the file before the first one is opened, and can say what the file wanted.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING  # what Python 2 called them
from pathlib import Path
from typing import IO, Any

from engine.checkpoints.errors import CheckpointError, shown

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
CHUNK = 1 << 20
MAX_PICKLE = 1 << 28
"""Bytes. The pickle of a whole model's names and shapes is below 1 MB."""

TENSORS = re.compile(
    r"collections\.OrderedDict|_codecs\.encode|builtins\.set"
    r"|torch\.(?:Half|Float|Double|BFloat16|Byte|Char|Short|Int|Long|Bool)Storage"
    r"|torch\.(?:storage\.)?(?:Untyped|Typed)Storage"
    r"|torch\.(?:float16|float32|float64|bfloat16|u?int8|int16|int32|int64|bool|Size|device)"
    r"|torch\._utils\._rebuild_(?:tensor|tensor_v2|parameter)|torch\.nn\.parameter\.Parameter"
)
"""What a file of tensors needs; torch's own list is longer."""

LEFTOVERS = re.compile(
    r"(?:pytorch_lightning|lightning\.pytorch|lightning_fabric)"
    r"\.(?:callbacks|trainer|loops|strategies|plugins|utilities)\.(?:[a-z_]\w*\.)*[A-Z]\w*"
    r"|main\.(?:SetupCallback|ImageLogger|CUDACallback)|ldm\.(?:[a-z_]\w*\.)+[A-Z]\w*"
    r"|numpy\.(?:core|_core)\.multiarray\.scalar|numpy\.dtype|numpy\.dtypes\.\w+DType"
)
"""What the training state of Lightning and of CompVis' `main.py` needs beside that, by the names of classes.

It is read into stand-ins that do nothing: none of these packages is imported, whether it is there or not.
Functions have small letters, here and there, and are refused: those are what a hostile file would call.
"""

MAPPINGS = re.compile(r"(?:pytorch_lightning|lightning|lightning_fabric)\.[\w.]*\.AttributeDict")
"""Lightning's hyperparameters: a dict, and read as one."""

STRINGS = {
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
}
PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
GETS = {"GET", "BINGET", "LONG_BINGET"}


class Listing:
    """The globals that one pickle names, and its value if it is a single number."""

    def __init__(self) -> None:
        self.globals: list[str] = []
        self.number: int | None = None
        self._strings: list[str] = []
        self._memo: dict[int, str] = {}
        self._last: str | None = None

    def read(self, stream: IO[bytes]) -> None:
        """Go through one pickle, up to its STOP."""
        for opcode, argument, _ in pickletools.genops(stream):
            self._take(opcode.name, argument)

    def _take(self, opcode: str, argument: Any) -> None:
        if opcode in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            self.globals.append(_plain_name(module, name))
        elif opcode == "STACK_GLOBAL":
            module, name = (["?", "?", *self._strings])[-2:]
            self.globals.append(_plain_name(module, name))
        elif opcode.startswith("EXT"):
            self.globals.append(f"the registered extension {argument}")
        elif opcode in ("LONG1", "LONG", "LONG4", "INT", "BININT", "BININT1", "BININT2"):
            self.number = argument if isinstance(argument, int) else None
        self._follow_strings(opcode, argument)

    def _follow_strings(self, opcode: str, argument: Any) -> None:
        if opcode in STRINGS:
            self._strings.append(str(argument))
        elif opcode == "MEMOIZE" and self._last is not None:
            self._memo[len(self._memo)] = self._last
        elif opcode == "MEMOIZE":
            self._memo[len(self._memo)] = "?"
        elif opcode in PUTS and self._last is not None:
            self._memo[int(argument)] = self._last
        elif opcode in GETS:
            self._strings.append(self._memo.get(int(argument), "?"))
        self._last = self._strings[-1] if opcode in STRINGS else None


def _plain_name(module: str, name: str) -> str:
    if (module, name) in NAME_MAPPING:
        module, name = NAME_MAPPING[(module, name)]
    module = IMPORT_MAPPING.get(module, module)
    return f"{'os' if module in ('posix', 'nt') else module}.{name}"


def is_zip(path: Path) -> bool:
    """Whether a file is what torch has written since 1.6."""
    with path.open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


def screen(path: Path) -> set[str]:
    """Refuse a pickled checkpoint that wants more than tensors; the names of the left-overs it has.

    Raises:
        CheckpointError: it names anything else, is cut short, or is no checkpoint at all.
    """
    zipped = is_zip(path)
    names = _in_zip(path) if zipped else _in_legacy(path)
    for name in names:
        if not any(allowed.fullmatch(name) for allowed in (TENSORS, LEFTOVERS, MAPPINGS)):
            raise CheckpointError(
                f"{path.name} wants to run {shown(name)} when it is opened, which no checkpoint needs: "
                "it was not opened, and you should not open it with anything else."
            )
    if zipped:
        _refuse_packed_again(path)
    return {name for name in names if not TENSORS.fullmatch(name)}


def _refuse_packed_again(path: Path) -> None:
    """What is mapped into memory must not be compressed; torch would take its bytes for numbers."""
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise CheckpointError(
                f"{path.name} was packed by something else than torch, which compresses nothing: get the "
                "file as it was published."
            )


def _in_zip(path: Path) -> list[str]:
    listing = Listing()
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [member for member in archive.infolist() if member.filename.endswith(".pkl")]
            if not pickles:
                raise CheckpointError(f"{path.name} is a zip file without a checkpoint in it.")
            for member in pickles:
                if member.file_size > MAX_PICKLE:
                    raise CheckpointError(f"{path.name} has a pickle of {member.file_size} bytes: too large.")
                with archive.open(member) as stream:
                    listing.read(stream)
                    while stream.read(CHUNK):  # up to its end, where zipfile compares the checksum
                        pass
    except CheckpointError:
        raise
    except Exception as error:  # a flipped bit can ask for a password, too
        raise CheckpointError(
            f"{path.name} is cut short or damaged ({shown(str(error))}): get the file again."
        ) from error
    return listing.globals


def _in_legacy(path: Path) -> list[str]:
    """The format before torch 1.6: five pickles one after the other, then the numbers."""
    found: list[str] = []
    with path.open("rb") as stream:
        for number in range(5):
            listing = Listing()
            try:
                listing.read(stream)
            except Exception as error:  # pickletools has no class for its own errors
                if number == 0 and not listing.globals:
                    raise CheckpointError(
                        f"{path.name} is neither a checkpoint of torch nor a safetensors file."
                    ) from error
                if not listing.globals and not found:
                    raise CheckpointError(
                        f"{path.name} is cut short or damaged: get the file again."
                    ) from error
                return found + listing.globals
            found += listing.globals
            if number == 0 and listing.number != TORCH_MAGIC and not found:
                raise CheckpointError(f"{path.name} is a pickle, but not a checkpoint of torch.")
            if number == 0 and listing.number != TORCH_MAGIC:
                return found
    return found
