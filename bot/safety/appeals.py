"""Appeals: a member asks for another look at a decision, once for each decision.

A decision is noted when it is made, with what an appeal will need; the member's button opens it. It goes to
who can overturn it: the moderators of the server, or the host for what no server can. Whatever could be shown
to anybody else is not in a button.
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
from bot.database.session import Database, at_once
from bot.i18n import N_, translator
from bot.jobs import utc_now
from bot.ledger import lock_ledger
from bot.safety.errors import (
    AlreadyAppealed,
    AlreadyDecided,
    DecisionForgotten,
    NobodyTakesAppeals,
    NotAModerator,
    NotYourDecision,
    OnlyTheHostDecides,
    OwnAppeal,
    TooManyAppeals,
)
from bot.safety.noted import FOR_HOST, Kind, Noted, note_decision
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
    def is_for_host(self) -> bool:
        """Whether the host alone can overturn it."""
        return bool(FOR_HOST & {*self.decision.reasons})

    @property
    def is_stranded(self) -> bool:
        """Opened, but the moderators' channel did not take it."""
        return self.state == "open" and not self.is_posted and not self.is_for_host


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
            await at_once(session, lock_ledger)
            row = await session.get(AppealRow, decision_id)
            if row is None:
                raise DecisionForgotten
            if row.user_id != user_id:
                raise NotYourDecision
            appeal = await read_appeal(session, row)
            if row.state != "possible" and not appeal.is_stranded:
                raise AlreadyAppealed
            if appeal.moderation_channel_id is None and not appeal.is_for_host:
                raise NobodyTakesAppeals
            row.locale = locale
            if row.state == "possible":
                await _check_rate(session, user_id, now)
                row.state, row.opened_at = "open", now
            return await read_appeal(session, row)

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
                return [appeal for row in rows if (appeal := await read_appeal(session, row)).is_stranded]

    async def decide(self, admin: Admin, decision_id: str, ruling: Ruling) -> tuple[Change, Appeal]:
        """A moderator decides an open appeal of their own server.

        Raises:
            NotAModerator | DecisionForgotten | AlreadyDecided | OnlyTheHostDecides | OwnAppeal: nothing was
                changed.
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
            if FOR_HOST & {*row.reasons}:
                raise OnlyTheHostDecides
            if ruling == "overturn" and row.user_id == admin.actor_id:
                raise OwnAppeal
            await carry_out(session, row, ruling, admin.actor_id, now)
            decided.append(await read_appeal(session, row))
            return ruling_change(decided[0], ruling)

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
                return [await read_appeal(session, row) for row in rows]


def ruling_change(appeal: Appeal, ruling: Ruling) -> Change:
    """What the log says of a ruling."""
    decision = appeal.decision
    return Change(
        action=f"appeal.{ruling}",
        target=f"member:{decision.user_id}",
        before={"appeal": "open"},
        after={
            "appeal": appeal.state,
            "decision": decision.decision_id,
            "reasons": [*decision.reasons],
        },
    )


async def carry_out(
    session: AsyncSession, row: AppealRow, ruling: Ruling, actor_id: int, now: datetime
) -> None:
    """Decide an open appeal, with all that follows from it, within a transaction."""
    row.state, row.decided_at, row.actor_id = OUTCOMES[ruling], now, actor_id
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


async def read_appeal(session: AsyncSession, row: AppealRow) -> Appeal:
    """A row, and where its server's moderators read."""
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
