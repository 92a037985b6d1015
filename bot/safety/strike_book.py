"""Strikes in the database: given with a decision, read at the one door, cleared by those who may."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.audit import Admin, Change, Desk
from bot.database.people import StrikeRow
from bot.database.session import at_once
from bot.safety.strikes import Pause, Strike, strike_rules

EVERYWHERE = 0
"""In place of a server's id: counted over all servers."""

_Row = StrikeRow
_STRIKES = (
    select(_Row.guild_id, _Row.user_id, _Row.created_at, _Row.weight, _Row.reason, _Row.decision_id)
    .where(
        _Row.user_id.in_(bindparam("users", expanding=True)),
        _Row.guild_id.in_(bindparam("guilds", expanding=True)),
        _Row.created_at > bindparam("since"),
    )
    .order_by(_Row.created_at)
)


async def give_strike(
    session: AsyncSession, *, decision_id: str, guild_id: int, user_id: int, reason: str, now: datetime
) -> None:
    """Let a decision count against a member; a reason without weight does not, nor a second time."""
    rules = strike_rules()
    weight = rules.weights.get(reason, 0)
    known = await session.scalar(select(StrikeRow.id).where(StrikeRow.decision_id == decision_id))
    if not weight or known is not None:
        return
    session.add(
        StrikeRow(
            guild_id=EVERYWHERE if reason in rules.everywhere else guild_id,
            user_id=user_id,
            weight=weight,
            reason=reason,
            decision_id=decision_id,
            created_at=now,
        )
    )
    await session.flush()


async def take_strike(session: AsyncSession, decision_id: str) -> None:
    """What was decided wrongly no longer counts."""
    await session.execute(delete(StrikeRow).where(StrikeRow.decision_id == decision_id))


def strikes_of(
    connection: Connection, user_ids: Collection[int], guild_ids: Collection[int], now: datetime
) -> dict[tuple[int, int], list[Strike]]:
    """What counts against these members, by server or EVERYWHERE and member."""
    wanted = {
        "users": sorted(user_ids),
        "guilds": sorted({EVERYWHERE, *guild_ids}),
        "since": now - strike_rules().kept_for,
    }
    found: dict[tuple[int, int], list[Strike]] = {}
    for guild_id, user_id, at, weight, reason, decision_id in connection.execute(_STRIKES, wanted):
        strike = Strike(at=at, weight=weight, reason=reason, decision_id=decision_id)
        found.setdefault((guild_id, user_id), []).append(strike)
    return found


def pauses_of(
    connection: Connection, user_ids: Collection[int], guild_ids: Collection[int], now: datetime
) -> dict[tuple[int, int], Pause]:
    """The pauses that run, by server or EVERYWHERE and member."""
    rules = strike_rules()
    strikes = strikes_of(connection, user_ids, guild_ids, now)
    pauses = {key: rules.pause(those, now) for key, those in strikes.items()}
    return {key: pause for key, pause in pauses.items() if pause is not None}


@dataclass(frozen=True, kw_only=True)
class StrikeRecord:
    """What counts against a member in one server."""

    strikes: tuple[Strike, ...]
    """Those that are not forgotten, oldest first."""
    pause: Pause | None


class StrikeBook:
    """Strikes as a server's admins see them: those of their own server."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def show(self, admin: Admin, user_id: int) -> StrikeRecord:
        """What counts against a member in the admin's server."""
        now, rules = self._desk.clock(), strike_rules()

        async def look(session: AsyncSession) -> StrikeRecord:
            found = await at_once(session, strikes_of, [user_id], [admin.guild_id], now)
            strikes = found.get((admin.guild_id, user_id), [])
            return StrikeRecord(strikes=tuple(rules.live(strikes, now)), pause=rules.pause(strikes, now))

        return await self._desk.read(admin, look)

    async def clear(self, admin: Admin, user_id: int) -> Change:
        """Forget what counts against a member in the admin's server; what counts everywhere stays."""

        async def work(session: AsyncSession, now: datetime) -> Change:
            found = await at_once(session, strikes_of, [user_id], [admin.guild_id], now)
            count = len(strike_rules().live(found.get((admin.guild_id, user_id), []), now))
            await session.execute(
                delete(StrikeRow).where(StrikeRow.guild_id == admin.guild_id, StrikeRow.user_id == user_id)
            )
            return Change(
                action="strikes.clear",
                target=f"member:{user_id}",
                before={"strikes": count},
                after={"strikes": 0},
            )

        return await self._desk.change(admin, work)
