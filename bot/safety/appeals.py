"""Appeals: a member asks a server's moderators to look at a decision again, once for each decision.

A decision is noted when it is made, with what moderators will need; the member's button opens the appeal,
and the moderators' buttons decide it. Whatever could be shown to anybody else is not in its button.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.audit import Admin, Change, Desk
from bot.database.failures import told_to_members
from bot.database.models import BlockRow, GuildSettingsRow
from bot.database.people import AppealRow
from bot.database.session import Database
from bot.i18n import N_, translator
from bot.jobs import utc_now
from bot.ledger import lock_ledger
from bot.safety.errors import (
    AlreadyAppealed,
    AlreadyDecided,
    CannotOverturn,
    DecisionForgotten,
    NobodyTakesAppeals,
    NotAModerator,
    NotYourDecision,
    OwnAppeal,
    TooManyAppeals,
)
from bot.safety.noted import NOT_FOR_SERVERS, Kind, Noted, note_decision
from bot.safety.strike_book import take_strike

AppealState = Literal["possible", "open", "upheld", "overturned", "blocked"]
Ruling = Literal["uphold", "overturn", "block"]

OUTCOMES: dict[Ruling, AppealState] = {"uphold": "upheld", "overturn": "overturned", "block": "blocked"}
BLOCK_REASON = N_("what you asked for, as the moderators decided about your appeal")
"""What the member reads, in the member's language."""
MOST_APPEALS = 5
APPEALS_WINDOW = timedelta(hours=24)
MOST_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Appeal:
    """A decision, and what became of its appeal."""

    decision: Noted
    state: AppealState
    created_at: datetime
    decided_at: datetime | None
    is_posted: bool
    moderation_channel_id: int | None

    @property
    def is_final(self) -> bool:
        """Whether a server's moderators can do no more than uphold it."""
        return bool(NOT_FOR_SERVERS & {*self.decision.reasons})


class Appeals:
    """Decisions against members, and what moderators say to them."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._desk = Desk(database, clock)
        self._clock = clock

    async def note(self, decision: Noted) -> None:
        """Keep what an appeal will need, and let the decision count against the member if it weighs anything.

        Raises:
            RecordsUnavailable: it could not be recorded.
        """
        now = self._clock()

        async def write(session: AsyncSession) -> None:
            await note_decision(session, decision, now)

        with told_to_members():
            await self._database.write(write)

    async def open(self, decision_id: str, user_id: int, locale: str) -> Appeal:
        """A member appeals, and is answered in this language. One that did not reach the moderators can be
        opened again.

        Raises:
            DecisionForgotten | NotYourDecision | AlreadyAppealed | TooManyAppeals | NobodyTakesAppeals: not
                this decision, or not now.
            RecordsUnavailable: the database failed; nothing was changed.
        """
        now = self._clock()

        async def write(session: AsyncSession) -> Appeal:
            await lock_ledger(session)
            row = await session.get(AppealRow, decision_id)
            if row is None:
                raise DecisionForgotten
            if row.user_id != user_id:
                raise NotYourDecision
            if row.state != "possible" and not _is_stranded(row):
                raise AlreadyAppealed
            row.locale = locale
            appeal = await _appeal(session, row)
            if appeal.moderation_channel_id is None:
                raise NobodyTakesAppeals
            if row.state == "possible":
                await _check_rate(session, user_id, now)
                row.state, row.opened_at = "open", now
            return appeal

        with told_to_members():
            return await self._database.write(write)

    async def posted(self, decision_id: str, message_id: int) -> None:
        """The moderators can read it now."""

        async def write(session: AsyncSession) -> None:
            row = await session.get(AppealRow, decision_id)
            if row is not None:
                row.queue_message_id = message_id

        with told_to_members():
            await self._database.write(write)

    async def waiting(self, guild_id: int) -> list[Appeal]:
        """Open appeals that the moderators of a server could not be shown yet, the oldest first.

        Raises:
            RecordsUnavailable: the database failed.
        """
        with told_to_members():
            async with self._database.session() as session:
                rows = await session.scalars(
                    select(AppealRow)
                    .where(
                        AppealRow.guild_id == guild_id,
                        AppealRow.state == "open",
                        AppealRow.queue_message_id.is_(None),
                    )
                    .order_by(AppealRow.opened_at, AppealRow.decision_id)
                )
                return [await _appeal(session, row) for row in rows]

    async def decide(self, admin: Admin, decision_id: str, ruling: Ruling) -> tuple[Change, Appeal]:
        """A moderator decides an open appeal of their own server.

        Raises:
            NotAModerator | DecisionForgotten | AlreadyDecided | CannotOverturn: nothing was changed.
            RecordsUnavailable: the database did not take it; nothing was changed.
        """
        if not admin.may_manage:
            raise NotAModerator
        decided: list[Appeal] = []

        async def work(session: AsyncSession, now: datetime) -> Change:
            row = await session.get(AppealRow, decision_id)
            if row is None or row.guild_id != admin.guild_id:
                raise DecisionForgotten
            if row.state != "open":
                raise AlreadyDecided
            if ruling == "overturn" and NOT_FOR_SERVERS & {*row.reasons}:
                raise CannotOverturn
            if ruling == "overturn" and row.user_id == admin.actor_id:
                raise OwnAppeal
            row.state, row.decided_at, row.actor_id = OUTCOMES[ruling], now, admin.actor_id
            await _carry_out(session, row, ruling, now)
            decided.append(await _appeal(session, row))
            return Change(
                action=f"appeal.{ruling}",
                target=f"member:{row.user_id}",
                before={"appeal": "open"},
                after={"appeal": row.state, "decision": row.decision_id, "reasons": row.reasons},
            )

        change = await self._desk.change(admin, work)
        return change, decided[0]

    async def was_told(self, user_id: int, decision_ids: Sequence[str]) -> None:
        """The member has read what became of these."""
        now = self._clock()

        async def write(session: AsyncSession) -> None:
            rows = await session.scalars(
                select(AppealRow).where(AppealRow.user_id == user_id, AppealRow.decision_id.in_(decision_ids))
            )
            for row in rows:
                if row.decided_at is not None:
                    row.told_at = row.told_at or now

        with told_to_members():
            await self._database.write(write)

    async def of_member(self, user_id: int) -> list[Appeal]:
        """A member's latest decisions, the newest first.

        Raises:
            RecordsUnavailable: the database failed.
        """
        with told_to_members():
            async with self._database.session() as session:
                rows = await session.scalars(
                    select(AppealRow)
                    .where(AppealRow.user_id == user_id)
                    .order_by(AppealRow.created_at.desc(), AppealRow.decision_id)
                    .limit(MOST_SHOWN)
                )
                return [await _appeal(session, row) for row in rows]


async def _carry_out(session: AsyncSession, row: AppealRow, ruling: Ruling, now: datetime) -> None:
    if ruling == "overturn":
        await take_strike(session, row.decision_id)
    if ruling == "block":
        block = await session.get(BlockRow, (row.guild_id, row.user_id))
        block = block or BlockRow(guild_id=row.guild_id, user_id=row.user_id)
        block.until, block.reason = None, translator(row.locale)(BLOCK_REASON)
        block.actor_id, block.created_at = row.actor_id, now
        session.add(block)


async def _check_rate(session: AsyncSession, user_id: int, now: datetime) -> None:
    recent = await session.scalar(
        select(func.count())
        .select_from(AppealRow)
        .where(AppealRow.user_id == user_id, AppealRow.opened_at > now - APPEALS_WINDOW)
    )
    if (recent or 0) >= MOST_APPEALS:
        raise TooManyAppeals(limit=MOST_APPEALS)


def _is_stranded(row: AppealRow) -> bool:
    """Opened, but the moderators' channel did not take it."""
    return row.state == "open" and row.queue_message_id is None


async def _appeal(session: AsyncSession, row: AppealRow) -> Appeal:
    settings = await session.get(GuildSettingsRow, row.guild_id) if row.guild_id else None
    return Appeal(
        decision=Noted(
            decision_id=row.decision_id,
            kind=cast("Kind", row.kind),
            guild_id=row.guild_id,
            channel_id=row.channel_id,
            user_id=row.user_id,
            reasons=tuple(row.reasons),
            prompt=row.prompt,
            prompt_hash=row.prompt_hash,
            locale=row.locale,
        ),
        state=cast("AppealState", row.state),
        created_at=row.created_at,
        decided_at=row.decided_at,
        is_posted=row.queue_message_id is not None,
        moderation_channel_id=settings.moderation_channel_id if settings is not None else None,
    )
