"""What can go wrong with a checkpoint, as one sentence and an exit code."""

from __future__ import annotations


class CheckpointError(Exception):
    """The file, the option or the name is wrong: somebody has to change something."""

    exit_code = 2


class CannotNow(CheckpointError):
    """The disk or the network does not let it happen now."""

    exit_code = 1
