"""Which part of Discord this process serves, where several share one database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

MAX_SHARDS = 100_000


@dataclass(frozen=True, kw_only=True)
class Shards:
    """The shards of this process, of `count`; no ids are all there are."""

    ids: frozenset[int] = frozenset()
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `0,1/4`, or nothing for all.

        Raises:
            ValueError: it is neither.
        """
        if not text.strip():
            return cls()
        match = re.fullmatch(r"([0-9]{1,6}(?:\s*,\s*[0-9]{1,6})*)\s*/\s*([0-9]{1,6})", text.strip(), re.ASCII)
        if match is None:
            raise ValueError("must look like 0,1/4: shards of this process / number of all shards")
        ids, count = frozenset(int(number) for number in match[1].split(",")), int(match[2])
        if not 1 <= count <= MAX_SHARDS or max(ids) >= count:
            raise ValueError("each shard must be below the number of all shards")
        return cls(ids=ids, count=count)

    def __str__(self) -> str:
        return f"{','.join(map(str, sorted(self.ids)))}/{self.count}" if self.ids else ""

    def own(self, guild_id: int | None) -> bool:
        """Whether a server's events come to this process; direct messages come to shard 0.

        Source: https://docs.discord.com/developers/events/gateway#sharding
        """
        return not self.ids or ((guild_id or 0) >> 22) % self.count in self.ids
