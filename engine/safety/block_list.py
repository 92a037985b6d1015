"""The host's block list: hashes of pictures that are never shown, whatever their scores.

A text file with one entry a line: `pdq:` and 64 hex digits, or `phash:` and 16 of them, and after a space
what the log and the audit call it. Empty lines and those that begin with # are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from engine.safety.errors import CheckerError
from engine.safety.pdq import distance

MAX_PDQ_DISTANCE = 31
"""Bits of 256. Above it, unrelated pictures begin to match."""
MAX_PHASH_DISTANCE = 8
"""Bits of 64."""

_LINE = re.compile(r"(?:(pdq):([0-9a-f]{64})|(phash):([0-9a-f]{16}))(?:\s+(\S.*))?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One blocked picture."""

    kind: Literal["pdq", "phash"]
    digits: str
    name: str


class BlockList:
    """All blocked pictures."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self._pdq = [entry for entry in entries if entry.kind == "pdq"]
        self._phash = [entry for entry in entries if entry.kind == "phash"]

    @classmethod
    def read(cls, path: Path | None) -> BlockList:
        """Read the file; without one, nothing is blocked.

        Raises:
            CheckerError: it cannot be read, or a line cannot be understood.
        """
        if path is None:
            return cls()
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise CheckerError(f"the block list {path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise CheckerError(f"the block list {path} is no UTF-8 text") from error
        return cls(
            [_entry(path, number, line) for number, line in enumerate(lines, start=1) if _has_entry(line)]
        )

    def find(self, hashes: Sequence[str], picture: Image.Image) -> str:
        """The name of an entry that a picture is too close to, in any orientation; empty if there is none.

        `hashes` are the PDQ hashes of the picture's orientations.
        """
        for entry in self._pdq:
            if any(distance(entry.digits, each) <= MAX_PDQ_DISTANCE for each in hashes):
                return entry.name
        if self._phash:
            own = phash(picture)
            for entry in self._phash:
                if distance(entry.digits, own) <= MAX_PHASH_DISTANCE:
                    return entry.name
        return ""


def phash(picture: Image.Image) -> str:
    """The perceptual hash that the package imagehash makes, as 16 hex digits. It survives small crops."""
    import imagehash  # with scipy, which is for those alone who have such a list

    return str(imagehash.phash(picture))


def _has_entry(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _entry(path: Path, number: int, line: str) -> Entry:
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise CheckerError(
            f"line {number} of the block list {path} is neither pdq: with 64 hex digits nor phash: with 16"
        )
    digits = (match[2] or match[4]).lower()
    return Entry(kind="pdq" if match[1] else "phash", digits=digits, name=match[5] or digits)
