"""Opens a checkpoint, pickled or safetensors, as names and tensors. Nothing in it runs."""

from __future__ import annotations

import json
import re
import stat
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open

from engine.checkpoints.disk import reading
from engine.checkpoints.errors import CheckpointError, shown
from engine.checkpoints.keys import Shape
from engine.checkpoints.pickles import MAPPINGS, is_zip, screen

KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
"""What a path can be instead of a file; the rest are devices."""


class Leftover:
    """Stands in for a class of Lightning or numpy, and for its instances: takes anything, does nothing."""

    def __new__(cls, *_args: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *_args: object) -> None:
        """Nothing of what a genuine one is made of is needed."""

    def __setstate__(self, _state: object) -> None:
        """Nor what it held."""


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of one file. `load` reads one of them; `leftovers` are entries that are no tensors."""

    path: Path
    shapes: dict[str, Shape]
    floats: dict[str, bool]
    load: Callable[[str], torch.Tensor]
    leftovers: list[str] = field(default_factory=list[str])

    @property
    def name(self) -> str:
        """The file's name, for sentences."""
        return self.path.name


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a `.ckpt` or `.safetensors` file; its content decides which it is.

    Raises:
        CheckpointError: it is neither, is damaged, or wants to run code.
    """
    with reading(path):
        _refuse_special(path)
        with path.open("rb") as stream:
            start = stream.read(9)
    if not start:
        raise CheckpointError(f"{path.name} is empty: get the file again.")
    is_safetensors = path.suffix == ".safetensors" or start[8:9] == b"{"
    return _open_safetensors(path) if is_safetensors else _open_pickle(path)


def _refuse_special(path: Path) -> None:
    """Opening a pipe would wait for somebody to write into it, and a device may have no end."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}.") from None
    if not stat.S_ISREG(mode):
        kind = next((kind for is_kind, kind in KINDS if is_kind(mode)), "a device")
        raise CheckpointError(f"{path} is {kind}: name the .ckpt or .safetensors file itself.")


def read_safetensors_header(path: Path) -> dict[str, Any]:
    """The entries of a safetensors file's header, without its metadata.

    Raises:
        CheckpointError: the file is cut short or damaged.
    """
    try:
        with reading(path), safe_open(path, "pt"):  # checks the header, and the file's length against it
            pass
        with reading(path), path.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path.name} is cut short or damaged: get the file again.") from error
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def _open_safetensors(path: Path) -> Checkpoint:
    header = read_safetensors_header(path)
    handle: Any = safe_open(path, "pt")
    return Checkpoint(
        path,
        {name: tuple(entry["shape"]) for name, entry in header.items()},
        {name: entry["dtype"] in ("F16", "BF16", "F32", "F64") for name, entry in header.items()},
        handle.get_tensor,
    )


def _open_pickle(path: Path) -> Checkpoint:
    content = _unpickle(path, screen(path))
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} holds a {type(content).__name__}, not the weights of a model.")
    weights: dict[Any, Any] = content
    leftovers: list[str] = []
    if isinstance(content.get("state_dict"), dict):
        weights = content["state_dict"]
        for key, value in content.items():
            if isinstance(value, torch.Tensor):
                raise CheckpointError(
                    f"{path.name} has a key {shown(key)} beside its state_dict: what is it?"
                )
            leftovers += [shown(key)] * (key != "state_dict")
    tensors: dict[str, torch.Tensor] = {}
    for key, value in weights.items():
        if isinstance(key, str) and isinstance(value, torch.Tensor):
            tensors[key] = value
        elif isinstance(value, torch.Tensor):
            raise CheckpointError(f"{path.name} has a weight without a name ({shown(key)}).")
        else:
            leftovers.append(shown(key))
    return Checkpoint(
        path,
        {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        {name: tensor.is_floating_point() for name, tensor in tensors.items()},
        lambda name: tensors[name].detach(),
        leftovers,
    )


def _unpickle(path: Path, leftovers: set[str]) -> Any:
    stand_ins: list[Any] = [
        (OrderedDict if MAPPINGS.fullmatch(name) else Leftover, name) for name in leftovers
    ]
    try:
        # The warnings are about old formats, which is what these files are.
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(stand_ins):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip(path))
    except MemoryError:
        raise
    except Exception as error:  # torch lets through whatever a damaged file leads to
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        if wanted:
            raise CheckpointError(
                f"{path.name} wants to use {shown(wanted[1])}, which is not allowed."
            ) from error
        raise CheckpointError(
            f"{path.name} is cut short, damaged or not a checkpoint of torch: get the file again."
        ) from error
