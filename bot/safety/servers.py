"""What servers' admins chose about safety, read from the database."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from bot.database.safety import ServerSafetyRow
from bot.safety.levels import LEVELS, Level
from bot.safety.places import ServerSafety


async def load_safety(session: AsyncSession, guild_id: int) -> ServerSafety:
    """One server's choices; the defaults in direct messages."""
    row = await session.get(ServerSafetyRow, guild_id) if guild_id else None
    return to_safety(row) if row is not None else ServerSafety()


def to_safety(row: ServerSafetyRow) -> ServerSafety:
    """A row as the rules know it."""
    return ServerSafety(
        level=known_level(row.level),
        channels={int(channel): known_level(level) for channel, level in row.channels.items()},
        block=tuple(row.block_list),
        allow=tuple(row.allow_list),
    )


def known_level(text: str) -> Level:
    """A level as it is kept; what is none, of a newer version for example, is the strictest."""
    return text if text in LEVELS else "strict"
