"""What comes out of a JSON column; also where something other than this bot has written into it."""

from __future__ import annotations

import json
from typing import Any


class Unreadable:
    """In place of a JSON column's value that is no JSON: one such row must not take all others away.

    It is no value of any kind, so whoever needs one fails. Nothing writes it back.
    """


UNREADABLE = Unreadable()


def decode_json(text: str | bytes) -> Any:
    """A JSON column's value, or `UNREADABLE`."""
    try:
        return json.loads(text)
    except ValueError:
        return UNREADABLE
