"""What a server's admins chose, read from the database."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import BindParameter, Connection, bindparam, select

from bot.database.models import GuildSettingsRow, QuotaRow
from bot.quotas import Quota, Rate, ServerRules

log = logging.getLogger(__name__)

_GUILDS: BindParameter[int] = bindparam("guilds", expanding=True)
_QUOTAS = select(
    QuotaRow.guild_id, QuotaRow.scope, QuotaRow.subject_id, QuotaRow.amount, QuotaRow.window
).where(QuotaRow.guild_id.in_(_GUILDS))
_SETTINGS = select(GuildSettingsRow).where(GuildSettingsRow.guild_id.in_(_GUILDS))


def load_rules(connection: Connection, guild_ids: Sequence[int]) -> dict[int, ServerRules]:
    """The rules of those servers whose admins chose any."""
    if not guild_ids:
        return {}
    quotas: dict[int, dict[tuple[str, int], Quota]] = {}
    for guild_id, scope, subject_id, amount, window in connection.execute(_QUOTAS, {"guilds": guild_ids}):
        quotas.setdefault(guild_id, {})[scope, subject_id] = Quota(amount=amount, window=window)
    # Rows of a connection: they have the columns' names, as the ORM's have.
    settings: Iterable[Any] = connection.execute(_SETTINGS, {"guilds": guild_ids})
    chosen: dict[int, Any] = {row.guild_id: row for row in settings}
    return {
        guild_id: _rules(chosen.get(guild_id), quotas.get(guild_id, {})) for guild_id in {*chosen, *quotas}
    }


def known_zone(row: GuildSettingsRow) -> str:
    """Another machine's time zones may lack one; its server must not keep the others from drawing."""
    try:
        return ZoneInfo(row.timezone).key
    except (ZoneInfoNotFoundError, ValueError):
        log.warning("server %d has the time zone %r, which is not known here", row.guild_id, row.timezone)
        return "UTC"


def _rules(row: GuildSettingsRow | None, quotas: dict[tuple[str, int], Quota]) -> ServerRules:
    if row is None:
        return ServerRules(quotas=quotas)
    has_rate = row.rate_count is not None and row.rate_seconds is not None
    return ServerRules(
        enabled=row.enabled,
        suspended=row.suspended,
        timezone=known_zone(row),
        allowed_channels=frozenset(row.allowed_channels),
        exempt_roles=frozenset(row.exempt_roles),
        quotas=quotas,
        rate=Rate(count=row.rate_count or 1, seconds=row.rate_seconds or 1) if has_rate else None,
        concurrent_jobs=row.concurrent_jobs,
    )
