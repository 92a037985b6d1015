"""Pictures that were reported: files that wait for a moderator. Discord deletes what an edit takes away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ShownFile:
    """A file as it was in Discord."""

    name: str
    description: str
    data: bytes


class KeptFiles:
    """A folder that only the bot's user may read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def save(self, message_id: int, files: Sequence[ShownFile]) -> list[dict[str, Any]]:
        """Write the files of a message; returns what finds them again."""
        return await asyncio.to_thread(self._save, message_id, files)

    async def load(self, notes: Sequence[dict[str, Any]]) -> list[ShownFile] | None:
        """Read them back; None if one is gone."""
        return await asyncio.to_thread(self._load, notes)

    async def delete(self, notes: Sequence[dict[str, Any]]) -> None:
        """Remove them; what is gone already is no error."""
        await asyncio.to_thread(self._delete, notes)

    async def delete_older(self, before: datetime) -> None:
        """Remove whatever was written before, also what nothing refers to any more."""
        await asyncio.to_thread(self._delete_older, before.timestamp())

    def _save(self, message_id: int, files: Sequence[ShownFile]) -> list[dict[str, Any]]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        notes: list[dict[str, Any]] = []
        for position, file in enumerate(files):
            kept = f"{message_id}-{position}"
            partial = self._folder / f"{kept}.part"
            partial.write_bytes(file.data)
            partial.replace(self._folder / kept)
            notes.append({"kept": kept, "name": file.name, "description": file.description})
        return notes

    def _load(self, notes: Sequence[dict[str, Any]]) -> list[ShownFile] | None:
        try:
            return [
                ShownFile(
                    name=note["name"],
                    description=note["description"],
                    data=(self._folder / note["kept"]).read_bytes(),
                )
                for note in notes
            ]
        except FileNotFoundError:
            return None

    def _delete(self, notes: Sequence[dict[str, Any]]) -> None:
        for note in notes:
            (self._folder / note["kept"]).unlink(missing_ok=True)

    def _delete_older(self, before: float) -> None:
        if not self._folder.exists():
            return
        for file in self._folder.iterdir():
            if file.stat().st_mtime < before:
                file.unlink(missing_ok=True)
