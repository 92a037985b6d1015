"""Appeals of what no server can overturn: the host of the bot decides about them, over all servers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.audit import Admin, Change, Desk
from bot.database.people import AppealRow
from bot.jobs import utc_now
from bot.safety.appeals import Appeal, carry_out, read_appeal, ruling_change
from bot.safety.errors import AlreadyDecided, DecisionForgotten
from bot.safety.noted import FOR_HOST

HostRuling = Literal["uphold", "overturn"]

LEAST_BETWEEN_NEWS = timedelta(hours=1)
"""Between two messages to the host about appeals: members make them."""


class HostAppeals:
    """What waits for the host, and what the host says to it."""

    def __init__(self, desk: Desk, clock: Callable[[], datetime] = utc_now) -> None:
        self._desk = desk
        self._clock = clock
        self._news_at: datetime | None = None

    async def waiting(self, host: Admin) -> list[Appeal]:
        """Open appeals of all servers and of direct messages, the oldest first.

        Raises:
            NotAllowed | RecordsUnavailable: nothing can be seen.
        """

        async def look(session: AsyncSession) -> list[Appeal]:
            rows = await session.scalars(
                select(AppealRow)
                .where(AppealRow.state == "open")
                .order_by(AppealRow.opened_at, AppealRow.decision_id)
            )
            return [appeal for row in rows if (appeal := await read_appeal(session, row)).is_for_host]

        return await self._desk.read(host, look)

    def is_news(self) -> bool:
        """Whether the host is to hear of an appeal that was opened now: once an hour at most."""
        now = self._clock()
        if self._news_at is not None and now - self._news_at < LEAST_BETWEEN_NEWS:
            return False
        self._news_at = now
        return True

    async def decide(self, host: Admin, decision_id: str, ruling: HostRuling) -> tuple[Change, Appeal]:
        """Decide an open appeal, for the log with the id of its decision.

        Overturned, it no longer counts against the member. That allows nothing: the same words are refused
        again for as long as the rules say so.

        Raises:
            NotAllowed | DecisionForgotten | AlreadyDecided: nothing was changed.
            RecordsUnavailable: the database did not take it; nothing was changed.
        """
        decided: list[Appeal] = []

        async def work(session: AsyncSession, now: datetime) -> Change:
            row = await session.get(AppealRow, decision_id)
            if row is None or not FOR_HOST & {*row.reasons}:
                raise DecisionForgotten  # the moderators' own are none of the host's
            if row.state != "open":
                raise AlreadyDecided
            await carry_out(session, row, ruling, host.actor_id, now)
            decided.append(await read_appeal(session, row))
            return ruling_change(decided[0], ruling)

        change = await self._desk.change(host, work)
        return change, decided[0]
