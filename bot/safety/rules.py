"""Placeholder of this branch: the prompt rules come with their own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ServerLists:
    """Words of a server."""

    block: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
