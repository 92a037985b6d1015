"""What can go wrong with a checkpoint, as one sentence and an exit code."""

from __future__ import annotations

from engine.installed import printable

MAX_SHOWN = 120
"""Letters of a name; the longest key of a Stable Diffusion v1 model has 83."""


class CheckpointError(Exception):
    """The file, the option or the name is wrong: somebody has to change something."""

    exit_code = 2


class CannotNow(CheckpointError):
    """The disk or the network does not let it happen now."""

    exit_code = 1


def shown(name: object) -> str:
    """A name from a file that anybody may have made, so that a sentence can have it."""
    text = name if isinstance(name, str) else repr(name)
    cut = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
    return printable(cut)
