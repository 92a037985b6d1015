"""The pieces that every group of routes is made of: a call, a table, and how a call finds its handler."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from . import refusals
from .handles import StoredFile

Reply: TypeAlias = tuple[int, Any]
Handler: TypeAlias = Callable[..., Reply]


@dataclass(frozen=True)
class Call:
    """A request that was read to its end."""

    method: str
    path: str
    query: dict[str, str]
    at: float
    body: Any
    uploads: dict[int, StoredFile]
    size: int
    authorized: bool

    def check_size(self, limit: int) -> None:
        """Refuse a body over the limit. The whole body counts, which is stricter than per file."""
        if self.size > limit:
            raise refusals.too_large()


class RouteTable:
    """Which handler answers which method and path."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, re.Pattern[str], Handler, bool]] = []

    def add(self, method: str, template: str, handler: Handler, *, needs_token: bool = True) -> None:
        """Add a route; each ``{name}`` of the template reaches the handler as a keyword."""
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))
        self._rows.append((method, pattern, handler, needs_token))

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str], bool] | None:
        """The handler for a request, its path's parameters, and whether it demands the bot's token."""
        for wanted, pattern, handler, needs_token in self._rows:
            if wanted == method and (match := pattern.fullmatch(path)):
                return handler, match.groupdict(), needs_token
        return None
