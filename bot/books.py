"""Step 4 of a request's life, what its decision rests on: everything that limits a member, read at once.

The statements are made once and not for each request: a reservation waits for all those before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import BindParameter, Connection, bindparam, func, select

from bot.balances import grants_of, sums
from bot.database.models import BlockRow, JobRow, RateBucketRow
from bot.limits import EVERYWHERE, Block, Books
from bot.quotas import CLOCKS_DIFFER, Asker, HostRules, limits_of
from bot.safety.strike_book import pauses_of
from bot.safety.use_terms import who_accepted
from bot.server_rules import load_rules

LIVE = ("queued", "running")

_USERS: BindParameter[int] = bindparam("users", expanding=True)
_GUILDS: BindParameter[int] = bindparam("guilds", expanding=True)

_LIVE_JOBS = (
    select(JobRow.guild_id, JobRow.user_id, func.count())
    .where(JobRow.user_id.in_(_USERS), JobRow.state.in_(LIVE))
    .group_by(JobRow.guild_id, JobRow.user_id)
)
_BUCKETS = select(RateBucketRow.guild_id, RateBucketRow.user_id, RateBucketRow.full_at).where(
    RateBucketRow.user_id.in_(_USERS), RateBucketRow.guild_id.in_(_GUILDS)
)
_BLOCKS = select(BlockRow.guild_id, BlockRow.user_id, BlockRow.until, BlockRow.reason).where(
    BlockRow.user_id.in_(_USERS), BlockRow.guild_id.in_(_GUILDS)
)


def read_books(connection: Connection, askers: Iterable[Asker], host: HostRules, now: datetime) -> Books:
    """Everything that decides what these may draw now."""
    askers = set(askers)
    users = sorted({asker.user_id for asker in askers})
    guilds = sorted({asker.guild_id for asker in askers} - {EVERYWHERE})
    rules = load_rules(connection, guilds)
    books = Books(rules=rules, grants=grants_of(connection, users, now))
    wanted = {
        (limit.account, limit.starts_at(now))
        for asker in askers
        for limit in limits_of(asker, books.rules_of(asker.guild_id), host)
    }
    books.used = sums(connection, wanted, before=now + CLOCKS_DIFFER)
    of_these = {"users": users, "guilds": [EVERYWHERE, *guilds]}
    for guild_id, user_id, count in connection.execute(_LIVE_JOBS, {"users": users}):
        books.live[guild_id or EVERYWHERE, user_id or 0] = count
    for guild_id, user_id, full_at in connection.execute(_BUCKETS, of_these):
        books.buckets[guild_id, user_id] = full_at
    for guild_id, user_id, until, reason in connection.execute(_BLOCKS, of_these):
        books.blocks[guild_id, user_id] = Block(until=until, reason=reason)
    books.pauses = pauses_of(connection, users, guilds, now)
    if host.terms_required:
        books.accepted = who_accepted(connection, users)
    return books
