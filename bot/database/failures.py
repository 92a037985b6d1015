"""A database that does not answer, told to members."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from bot.errors import MemberError
from bot.i18n import N_

log = logging.getLogger(__name__)


class RecordsUnavailable(MemberError):
    message = N_(
        "The bot's records cannot be reached just now, so nothing was changed. Please try again in a minute."
    )


@contextmanager
def told_to_members() -> Generator[None]:
    """Around reads and writes for a member: what goes wrong with the database ends in a sentence.

    Raises:
        RecordsUnavailable: the database failed; the reason is in the log.
    """
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        log.exception("the database failed")
        raise RecordsUnavailable from error
