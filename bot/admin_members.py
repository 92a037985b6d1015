"""What admins do to single members: give, reset, block; and what a member has left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from bot.admin_errors import BlankText
from bot.audit import Admin, Change, Desk, check_range, clean_text
from bot.books import read_books
from bot.database.models import BlockRow
from bot.database.session import at_once
from bot.ledger import give, reset_window, take_back
from bot.limits import EVERYWHERE, Block, Grant
from bot.quotas import MAX_AMOUNT, PICTURE, Asker, HostRules, Limit, ServerRules, limits_of
from bot.server_rules import load_rules

MAX_GRANT_DAYS = 3650
MAX_BLOCK_HOURS = 24 * 365


@dataclass(frozen=True, kw_only=True)
class Left:
    """A limit that a member meets, what it has left, and when there will be more."""

    limit: Limit
    left: int
    resets_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What decides whether a member's next request is taken."""

    limits: tuple[Left, ...]
    """The member's own first, without unlimited ones."""
    grants: tuple[Grant, ...]
    live: int
    exempt: bool
    block: Block | None


class MemberChanges:
    """What admins do to members."""

    def __init__(self, desk: Desk, host: HostRules) -> None:
        self._desk = desk
        self._host = host

    async def grant(
        self, admin: Admin, user_id: int, pictures: float, *, days: int | None, reason: str | None
    ) -> Change:
        """Give a member pictures beside the quota, for some days or for good.

        Raises:
            MemberError: a value that cannot be.
        """
        check_range("amount", pictures, 1 / PICTURE, MAX_AMOUNT // PICTURE)
        if days is not None:
            check_range("days", days, 1, MAX_GRANT_DAYS)
        reason = clean_text("reason", reason)
        amount = round(pictures * PICTURE)

        async def work(session: AsyncSession, now: datetime) -> Change:
            expires_at = now + timedelta(days=days) if days is not None else None
            await give(
                session,
                guild_id=admin.guild_id,
                user_id=user_id,
                amount=amount,
                expires_at=expires_at,
                actor_id=admin.actor_id,
                reason=reason,
                now=now,
            )
            after = {"pictures": amount / PICTURE, "until": _iso(expires_at), "reason": reason}
            return Change(action="quota.grant", target=f"member:{user_id}", after=after)

        return await self._desk.change(admin, work)

    async def revoke(self, admin: Admin, user_id: int, *, reason: str | None) -> Change:
        """Take back what is left of all that a member was given beside the quota."""
        reason = clean_text("reason", reason)

        async def work(session: AsyncSession, now: datetime) -> Change:
            count, taken = await take_back(
                session,
                guild_id=admin.guild_id,
                user_id=user_id,
                actor_id=admin.actor_id,
                reason=reason,
                now=now,
            )
            target = f"member:{user_id}"
            if not count:
                return Change(action="quota.revoke", target=target)
            # Also where a job that goes on has taken all of them: what it gives back ends with them.
            before = {"grants": count, "pictures": taken / PICTURE}
            after = {"grants": 0, "pictures": 0, "reason": reason}
            return Change(action="quota.revoke", target=target, before=before, after=after)

        return await self._desk.change(admin, work)

    async def reset(self, admin: Admin, asker: Asker, *, reason: str | None) -> Change:
        """Let a member's window begin anew: what it has used comes back."""
        reason = clean_text("reason", reason)

        async def work(session: AsyncSession, now: datetime) -> Change:
            rules = (await at_once(session, load_rules, [admin.guild_id])).get(admin.guild_id)
            own = [
                limit
                for limit in limits_of(asker, rules or ServerRules(), self._host)
                if limit.scope == "member"
            ]
            used = 0
            for limit in own:
                used = await reset_window(
                    session,
                    guild_id=admin.guild_id,
                    user_id=asker.user_id,
                    since=limit.starts_at(now),
                    actor_id=admin.actor_id,
                    reason=reason,
                    now=now,
                )
            target = f"member:{asker.user_id}"
            if not used:
                return Change(action="quota.reset", target=target)
            before, after = {"used": used / PICTURE}, {"used": 0, "reason": reason}
            return Change(action="quota.reset", target=target, before=before, after=after)

        return await self._desk.change(admin, work)

    async def block(self, admin: Admin, user_id: int, *, hours: int | None, reason: str) -> Change:
        """Let a member draw nothing here for some hours, or until somebody lifts it; for the host, anywhere.

        Raises:
            MemberError: a value that cannot be.
        """
        if hours is not None:
            check_range("hours", hours, 1, MAX_BLOCK_HOURS)
        reason = clean_text("reason", reason)
        if not reason:
            raise BlankText(option="reason")  # the member is told it

        async def work(session: AsyncSession, now: datetime) -> Change:
            row = await session.get(BlockRow, (admin.guild_id, user_id))
            before = _block_facts(row) if row is not None else None
            row = row or BlockRow(guild_id=admin.guild_id, user_id=user_id)
            row.until = now + timedelta(hours=hours) if hours is not None else None
            row.reason, row.actor_id, row.created_at = reason, admin.actor_id, now
            session.add(row)
            return Change(action="block", target=f"member:{user_id}", before=before, after=_block_facts(row))

        return await self._desk.change(admin, work)

    async def unblock(self, admin: Admin, user_id: int) -> Change:
        """Lift a block."""

        async def work(session: AsyncSession, _now: datetime) -> Change:
            row = await session.get(BlockRow, (admin.guild_id, user_id))
            target = f"member:{user_id}"
            if row is None:
                return Change(action="unblock", target=target)
            await session.delete(row)
            return Change(action="unblock", target=target, before=_block_facts(row))

        return await self._desk.change(admin, work)

    async def allowance(self, admin: Admin, asker: Asker) -> Allowance:
        """What a member has left here, as the next request will find it."""
        now = self._desk.clock()

        async def look(session: AsyncSession) -> Allowance:
            books = await at_once(session, read_books, [asker], self._host, now)
            rules, own = books.rules_of(asker.guild_id), (asker.guild_id, asker.user_id)
            blocks = [books.blocks.get((guild_id, asker.user_id)) for guild_id in (EVERYWHERE, own[0])]
            return Allowance(
                limits=tuple(
                    Left(limit=limit, left=books.left(limit, now), resets_at=limit.resets_at(now))
                    for limit in limits_of(asker, rules, self._host)
                ),
                grants=tuple(books.grants.get(own, [])),
                live=books.live.get(own, 0),
                exempt=rules.is_exempt(asker),
                block=next((block for block in blocks if block and _holds(block, now)), None),
            )

        return await self._desk.read(admin, look)


def _holds(block: Block, now: datetime) -> bool:
    return block.until is None or now < block.until


def _block_facts(row: BlockRow) -> dict[str, str | None]:
    return {"until": _iso(row.until), "reason": row.reason}


def _iso(time: datetime | None) -> str | None:
    return time.isoformat(timespec="seconds") if time is not None else None
