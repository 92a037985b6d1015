"""Servers with limits: what their admins chose is written into the tables, as `/admin` would."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import simcord
from simcord.actors import MemberActor
from simcord.builders import RoleHandle
from sqlalchemy import select

from bot.database.models import (
    Base,
    GrantRow,
    GuildSettingsRow,
    LedgerEntryRow,
    QuotaRow,
    RateBucketRow,
    RefusalRow,
)
from bot.quotas import Quota
from tests.integration.simcord_world import World, interactions_with, is_japanese

COST = 3
"""Thousandths of a picture that the model of the tests takes for `prompt` alone."""
COST_TOLD = "0.003"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A server of its own with one channel and Mika in it."""

    world: World
    guild: simcord.GuildHandle
    channel: simcord.ChannelHandle
    mika: MemberActor
    role: RoleHandle
    """Mika's one role."""

    async def add(self, *rows: Base) -> None:
        """Write rows."""
        async with self.world.database.session() as session:
            session.add_all(rows)

    async def quota(self, scope: str, amount: int | None, window: str = "day", subject_id: int = 0) -> None:
        """Limit somebody, in thousandths of a picture."""
        await self.add(
            QuotaRow(guild_id=self.guild.id, scope=scope, subject_id=subject_id, amount=amount, window=window)
        )

    async def settings(self, **chosen: Any) -> None:
        """What the admins chose for the whole server."""
        await self.add(GuildSettingsRow(guild_id=self.guild.id, updated_at=datetime.now(UTC), **chosen))

    async def spend(self, amount: int, *, at: datetime | None = None, **changes: Any) -> None:
        """Mika drew that much."""
        await self.add(entry(self, -amount, at=at, **changes))

    async def grant(self, amount: int, expires_at: datetime | None = None) -> None:
        """Somebody gave Mika that much beside the quota."""
        row = GrantRow(guild_id=self.guild.id, user_id=self.mika.id, expires_at=expires_at)
        await self.add(row)
        await self.add(entry(self, amount, kind="grant", grant_id=row.id))

    async def bucket(self, full_at: datetime) -> None:
        """Mika's requests of before."""
        await self.add(RateBucketRow(guild_id=self.guild.id, user_id=self.mika.id, full_at=full_at))

    async def refused(self, locale: str = "en-US", **options: Any) -> str:
        """What Mika reads when a picture is refused; asserts that nothing else came of it."""
        jobs = len(await self.world.jobs())
        with interactions_with(locale=locale):
            result = await self.mika.slash(self.channel, "trinart", prompt="1girl", **options)
        message = await self.world.answer_to(result)
        assert len(await self.world.jobs()) == jobs
        assert message.attachments == []
        assert message.ephemeral, "what is left is nobody else's business"
        return message.content.partition("\n\n")[0]

    async def drawn(self, locale: str = "en-US", **options: Any) -> simcord.ResponseMessage:
        """The message of a picture."""
        with interactions_with(locale=locale):
            result = await self.mika.slash(self.channel, "trinart", prompt="1girl", **options)
        message = await self.world.answer_to(result)
        assert message.attachments, message.content
        return message

    async def says(self, command: str, locale: str = "en-US", **options: Any) -> simcord.ResponseMessage:
        """A command's private answer."""
        with interactions_with(locale=locale):
            result = await self.mika.slash(self.channel, command, **options)
        assert result.response is not None
        assert result.response.ephemeral
        return result.response


def entry(place: Place, amount: int, *, at: datetime | None = None, **changes: Any) -> LedgerEntryRow:
    """A row of the ledger about Mika."""
    moment = at or datetime.now(UTC)
    columns: dict[str, Any] = {
        "kind": "reserve",
        "job_id": None,
        "guild_id": place.guild.id,
        "channel_id": place.channel.id,
        "user_id": place.mika.id,
        "grant_id": 0,
        "actor_id": 0,
        "reason": "",
        "created_at": moment,
        "effective_at": moment,
    }
    return LedgerEntryRow(amount=amount, **(columns | changes))


async def new_place(world: World) -> Place:
    """Another server of the same bot."""
    guild = world.env.create_guild("Limits")
    role = guild.create_role("painters")
    mika = guild.add_member(world.mika.user, roles=[role])
    channel = guild.create_text_channel("pictures")
    await world.env.settle()
    return Place(world=world, guild=guild, channel=channel, mika=mika, role=role)


def told(moment: datetime) -> str:
    """A time as refusals tell it."""
    return f"<t:{math.ceil(moment.timestamp())}:R>"


def next_reset(window: str = "day", zone: str = "UTC") -> datetime:
    """When a window begins anew."""
    at = Quota(amount=1, window=window).resets_at(datetime.now(UTC), ZoneInfo(zone))
    assert at is not None
    return at


async def check(place: Place, locale: str, code: str, english: str, *facts: str) -> None:
    """A request is refused with this text, or in Japanese with these facts, and noted for the admins."""
    text = await place.refused(locale)
    assert is_japanese(text) == (locale == "ja")
    if locale == "en-US":
        assert text == english
    for fact in facts:
        assert fact in text
    async with place.world.database.session() as session:
        codes = await session.scalars(select(RefusalRow.code).where(RefusalRow.guild_id == place.guild.id))
        assert list(codes) == [code]
