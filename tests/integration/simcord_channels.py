"""Age-restricted channels in the offline Discord, which has no such thing; and what admins chose there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import discord
import simcord
from simcord.backend import serializers
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from bot.database.models import LedgerEntryRow
from bot.database.safety import SafetyDecisionRow, ServerSafetyRow
from tests.integration.simcord_world import World


class AgeRestrictions:
    """Which channels are age-restricted, as Discord tells the bot."""

    def __init__(self) -> None:
        self.channels: set[int] = set()

    async def change(self, world: World, channel: simcord.ChannelHandle, *, restricted: bool) -> None:
        """An admin changes the channel's setting, and Discord tells the bot."""
        (self.channels.add if restricted else self.channels.discard)(channel.id)
        backend = world.env.backend
        payload = serializers.channel_payload(backend, backend.channels[channel.id])
        backend.emit("CHANNEL_UPDATE", payload)
        await world.env.settle()


@contextmanager
def age_restrictions() -> Iterator[AgeRestrictions]:
    """Meanwhile channels have the flag."""
    restrictions, real = AgeRestrictions(), serializers.channel_payload

    def with_flag(backend: Any, channel: Any) -> Any:
        return {**real(backend, channel), "nsfw": channel.id in restrictions.channels}

    serializers.channel_payload = with_flag
    try:
        yield restrictions
    finally:
        serializers.channel_payload = real


async def choose(world: World, level: str, channels: dict[str, str] | None = None, **lists: Any) -> None:
    """What the server's admins have chosen."""
    row = ServerSafetyRow(
        guild_id=world.guild.id,
        level=level,
        channels=channels or {},
        block_list=lists.get("block", []),
        allow_list=lists.get("allow", []),
        updated_at=datetime.now(UTC),
    )

    async def merge(session: AsyncSession) -> None:
        await session.merge(row)

    await world.database.write(merge)


async def decisions_of(world: World, job_id: str | None) -> list[SafetyDecisionRow]:
    """What is recorded of a job, in its order; of refused prompts with None."""
    async with world.database.session() as session:
        rows = await session.scalars(
            select(SafetyDecisionRow)
            .where(SafetyDecisionRow.job_id == job_id if job_id else SafetyDecisionRow.job_id.is_(None))
            .order_by(SafetyDecisionRow.created_at, SafetyDecisionRow.position)
        )
        return list(rows)


async def open_thread(world: World, channel: simcord.ChannelHandle) -> simcord.ChannelHandle:
    """A public thread in a channel."""
    bot = world.env.bot
    assert bot is not None
    found = bot.get_channel(channel.id)
    assert isinstance(found, discord.TextChannel)
    with world.env.time_context():
        await found.create_thread(name="drawings", type=discord.ChannelType.public_thread)
    await world.env.settle()
    return channel.threads[0]


async def taken(world: World) -> int:
    """What the last job has taken from its member in the end."""
    job = await world.last_job()
    query = select(-func.sum(LedgerEntryRow.amount)).where(LedgerEntryRow.job_id == job.id)
    async with world.database.session() as session:
        return int(await session.scalar(query) or 0)


async def check_withheld(world: World, message: simcord.ResponseMessage) -> list[str]:
    """Nobody saw anything of the last job, nothing is kept but rows, and nothing is paid; the reasons."""
    job = await world.last_job()
    assert (job.state, job.error_code) == ("refused", "withheld")
    assert message.attachments == []
    assert message.embeds == []
    assert world.picture_files() == []
    assert await taken(world) == 0
    assert [image.is_withheld for image in job.images] == [True] * len(job.images)
    assert all(len(image.sha256) == 64 for image in job.images)
    rows = [row for row in await decisions_of(world, job.id) if row.decision == "withhold"]
    assert [row.position for row in rows] == list(range(len(job.images)))
    assert {row.policy_version for row in rows} == {"1"}
    assert str(world.mika.id) not in {row.user_key for row in rows}
    return rows[0].reasons


async def rename_table(world: World, old: str, new: str) -> None:
    """Let every statement about a table fail, until it has its name again."""

    async def rename(session: AsyncSession) -> None:
        await session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    await world.database.write(rename)
