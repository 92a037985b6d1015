"""The terms of use that members accept before their first picture: the restrictions of the model's licence.

The licence asks whoever hosts the model to put them into enforceable terms and to give notice of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.database.failures import told_to_members
from bot.database.people import UseTermsAcceptanceRow
from bot.database.session import Database, at_once
from bot.i18n import N_
from bot.jobs import utc_now

TERMS_VERSION = "1"
"""Of the texts below: with another one, everybody is asked again."""

LICENCE_URL = "https://huggingface.co/spaces/CompVis/stable-diffusion-license"

INTRODUCTION = N_(
    "The models of this bot are under the CreativeML Open RAIL-M licence. Its Attachment A restricts what "
    "they may be used for. In plain words, you may not use this bot or its pictures:"
)
RESTRICTIONS = (
    N_("to break any law that applies;"),
    N_("to exploit or harm minors in any way, or to try to;"),
    N_("to make or spread information that you can know to be false, in order to harm others;"),
    N_("to make or spread information about a person that can be used to harm them;"),
    N_("to defame, disparage or harass others;"),
    N_("to decide automatically about people's legal rights or obligations;"),
    N_("to discriminate against or harm people by their behaviour or by what they are, known or predicted;"),
    N_(
        "to take advantage of what makes a group weak, such as age or disability, in a way that can harm its "
        "members in body or mind;"
    ),
    N_("to discriminate against people by what the law protects, such as origin, religion or sex;"),
    N_("to give medical advice or to interpret medical results;"),
    N_(
        "to administer justice, law enforcement, immigration or asylum, such as by predicting that somebody "
        "will commit a crime."
    ),
)
CONCLUSION = N_(
    "The licence's own text counts: {url}. Who breaks these rules can be paused or blocked. You are "
    "responsible for what you ask for; those who made the model claim no rights in your pictures."
)


class UseTerms:
    """Who has accepted what."""

    def __init__(
        self, database: Database, *, required: bool, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.required = required
        self._database = database
        self._clock = clock

    async def has_accepted(self, user_id: int) -> bool:
        """Whether a member has accepted the terms as they are now.

        Raises:
            RecordsUnavailable: nobody can say.
        """
        with told_to_members():
            async with self._database.session() as session:
                return bool(await at_once(session, who_accepted, [user_id]))

    async def accept(self, user_id: int) -> None:
        """Record that a member accepts the terms as they are now; once is enough.

        Raises:
            RecordsUnavailable: it could not be recorded.
        """
        now = self._clock()

        async def write(session: AsyncSession) -> None:
            if not await at_once(session, who_accepted, [user_id]):
                session.add(UseTermsAcceptanceRow(user_id=user_id, version=TERMS_VERSION, accepted_at=now))

        with told_to_members(), suppress(IntegrityError):  # pressed twice in one moment
            await self._database.write(write)


def who_accepted(connection: Connection, user_ids: Collection[int]) -> frozenset[int]:
    """Those of some members who have accepted the terms as they are now."""
    rows = connection.scalars(
        select(UseTermsAcceptanceRow.user_id).where(
            UseTermsAcceptanceRow.user_id.in_(user_ids), UseTermsAcceptanceRow.version == TERMS_VERSION
        )
    )
    return frozenset(rows)
