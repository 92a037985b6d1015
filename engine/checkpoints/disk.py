"""What the disk refuses, as a sentence with what to do: one about what is read, one about what is written."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.checkpoints.errors import CannotNow, CheckpointError

ELSEWHERE = "set TRINART_DATA_DIR to"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise of a file that cannot be read.

    Raises:
        CheckpointError: it is this user's to change.
        CannotNow: it is the disk.
    """
    try:
        yield
    except PermissionError as error:
        raise CheckpointError(f"{path} may not be read by this user: change its permissions.") from error
    except OSError as error:
        raise CannotNow(
            f"{path} cannot be read ({_reason(error)}): check the disk that it is on, or get the file again."
        ) from error


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Raise of a folder or file that cannot be written.

    Raises:
        CannotNow: says what to do.
    """
    try:
        yield
    except OSError as error:
        raise CannotNow(
            f"{target} could not be written ({_reason(error)}): {_what_to_do(error.errno)}."
        ) from error


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _what_to_do(number: int | None) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"make room, or {ELSEWHERE} a larger disk"
    if number == errno.EFBIG:
        return (
            f"raise the limit on the size of a file (ulimit -f), or {ELSEWHERE} a disk that takes larger ones"
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"let this user write there, or {ELSEWHERE} a folder of its own"
    return f"check the disk, or {ELSEWHERE} another one"
