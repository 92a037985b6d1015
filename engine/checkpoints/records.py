"""A zip's own checksum of each record, compared in the very pass that makes the file's sha256.

torch writes them and does not look at them when it loads: a flipped byte would become part of a weight.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from engine.checkpoints.checksums import sha256_of
from engine.checkpoints.errors import CheckpointError, shown
from engine.checkpoints.pickles import is_zip
from engine.checkpoints.progress import Advance

LOCAL_HEADER = struct.Struct("<26xHH")
"""Of a record: the lengths of its name and of its extra field, which stand before its bytes."""


@dataclass(frozen=True, order=True)
class Record:
    """Where a record's bytes are in the file, and their CRC-32."""

    start: int
    end: int
    crc: int
    name: str


def checked_sha256(path: Path, advance: Advance) -> str:
    """The sha256 of a checkpoint whose bytes are those that were written into it, as far as it can tell.

    Only a zip can: safetensors and torch's format before 1.6 have no checksum.

    Raises:
        CheckpointError: it is damaged.
    """
    sums = _Sums(path.name, _records(path) if is_zip(path) else [])
    sha256 = sha256_of(path, advance, sums.take)
    sums.end()
    return sha256


def _records(path: Path) -> list[Record]:
    records: list[Record] = []
    with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
        for member in archive.infolist():
            stream.seek(member.header_offset)
            header = stream.read(LOCAL_HEADER.size)
            if len(header) < LOCAL_HEADER.size:
                raise CheckpointError(f"{path.name} is cut short or damaged: get the file again.")
            start = stream.tell() + sum(LOCAL_HEADER.unpack(header))
            records.append(Record(start, start + member.file_size, member.CRC, member.filename))
    return sorted(records)


class _Sums:
    """Sees a file's bytes once, in their order, and adds up one record after the other."""

    def __init__(self, file: str, records: list[Record]) -> None:
        self._file = file
        self._left = deque(records)
        self._at = 0
        self._crc = 0

    def take(self, data: bytes) -> None:
        """The next bytes of the file."""
        start, self._at = self._at, self._at + len(data)
        view = memoryview(data)
        while self._left and self._left[0].start < self._at:
            record = self._left[0]
            inside = view[max(record.start - start, 0) : max(record.end - start, 0)]
            self._crc = zlib.crc32(inside, self._crc)
            if record.end > self._at:
                return
            self._compare(self._left.popleft())
            self._crc = 0

    def _compare(self, record: Record) -> None:
        if self._crc != record.crc:
            raise CheckpointError(
                f"{self._file} is damaged: its record {shown(record.name)} does not have the checksum that "
                "was written with it; get the file again."
            )

    def end(self) -> None:
        """There are no more bytes."""
        if self._left:
            raise CheckpointError(f"{self._file} is cut short: get the file again.")
