"""The checksums of files: sha256, and the one that git gives to a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from engine.checkpoints.disk import reading

CHUNK = 1 << 24


def sha256_of(
    path: Path,
    advance: Callable[[int], None] = lambda _count: None,
    look: Callable[[bytes], None] = lambda _data: None,
) -> str:
    """The sha256 of a file; `advance` is told how many bytes were read, and `look` which."""
    digest = hashlib.sha256()
    with reading(path), path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            look(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def git_blob(content: bytes) -> str:
    """The name that git gives to a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
