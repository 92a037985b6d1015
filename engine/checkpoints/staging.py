"""A model folder appears whole or not at all, and a killed import is cleaned up by the next one."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.checkpoints.disk import writing
from engine.checkpoints.errors import CannotNow, CheckpointError
from engine.checkpoints.origins import told_briefly
from engine.installed import PARTIAL

MARGIN = 256 << 20
"""Bytes that stay free beside what is written: a full disk harms the database too."""

RENAME_EXCHANGE = 2
AT_FDCWD = -100


def refuse_existing(target: Path, *, replace: bool) -> None:
    """Raise unless a model may be put at `target`.

    Raises:
        CheckpointError: there is one.
    """
    if target.exists() and not replace:
        raise CheckpointError(
            f"There is a model {target.name} already{told_briefly(target)}: choose another with --name, "
            "or add --replace."
        )


def check_space(folder: Path, needed: int) -> None:
    """Raise unless so many bytes can be written, with a margin.

    Raises:
        CannotNow: the disk is too small.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed + MARGIN:
        raise CannotNow(
            f"{(needed + MARGIN) / 1e9:.2f} GB are needed at {folder}, and {free / 1e9:.2f} GB are free: "
            "make room, or set TRINART_DATA_DIR to a larger disk."
        )


@contextmanager
def staged(target: Path, *, replace: bool) -> Iterator[Path]:
    """A folder to fill. It becomes `target` at the end of the block, or is deleted if the block fails.

    An OSError of the block is taken for one of writing: what reads a source in it says so itself.

    Raises:
        CheckpointError: `target` has come to exist meanwhile.
        CannotNow: the disk does not take it.
    """
    with writing(target), _new_folder(target) as folder:
        yield folder
        for path in (*folder.rglob("*"), folder):
            _sync(path)
        _put_in_place(folder, target, replace=replace)
        _sync(target.parent)


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Locked while it is filled: the lock ends with the process, so an unlocked one is nobody's."""
    make_folder(target.parent)
    with locked(target.parent):
        for left_over in target.parent.glob(f"{PARTIAL}*"):
            _remove_if_nobodys(left_over)
        folder = target.parent / f"{PARTIAL}{target.name}-{secrets.token_hex(4)}"
        folder.mkdir()
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        # After the exchange of a replacement this is the old model; after a rename there is nothing.
        if folder.is_symlink():  # the old model was a link to somewhere else, which stays
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def make_folder(folder: Path) -> None:
    """Make a folder of the data folder. A new data folder is its owner's alone."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other imports from a folder for a moment."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_if_nobodys(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # another import is filling it
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _put_in_place(folder: Path, target: Path, *, replace: bool) -> None:
    """Under the name at once. Files of a served model are memory-mapped: they are never written over."""
    if replace and target.exists():
        _exchange(folder, target)
        return
    refuse_existing(target, replace=False)
    folder.rename(target)


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(one.absolute()), os.fsencode(other.absolute())
    if libc.renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        if number in (errno.EINVAL, errno.ENOSYS):  # the file system cannot do it at all
            raise CannotNow(
                f"{other} could not be replaced at once ({os.strerror(number)}): remove the old model first, "
                "then import without --replace."
            )
        raise OSError(number, os.strerror(number))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
