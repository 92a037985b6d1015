"""Two bot processes share a PostgreSQL database and the members of Discord: limits are kept once."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.database.models import JobRow, LedgerEntryRow
from bot.database.session import Database

from .bot_process import START_SECONDS, BotProcess, gate, running_bot
from .handles import Interaction
from .loopback_discord import LoopbackDiscord
from .payloads import guild
from .scene import DELIVERY_SECONDS
from .seen import has_pictures, shows_progress

FIRST_SHARD, SECOND_SHARD = str(2 << 22), str(3 << 22)
"""Servers whose events go to shard 0 and to shard 1 of two."""
ASKED_IN_EACH = 10
CAP = 50
"""Thousandths of a picture, for each person over all servers."""


@pytest.fixture
async def server() -> AsyncIterator[LoopbackDiscord]:
    """A Discord with a server on each shard."""
    guilds = [guild(guild_id=FIRST_SHARD), guild(guild_id=SECOND_SHARD)]
    async with LoopbackDiscord(guilds=guilds) as server:
        yield server
    assert server.unexpected == []


@asynccontextmanager
async def two_bots(
    server: LoopbackDiscord, folder: Path, database_url: str
) -> AsyncIterator[list[BotProcess]]:
    """A bot for each shard, started at the same time on an empty database."""
    async with AsyncExitStack() as stack:
        bots: list[BotProcess] = []
        for number in (0, 1):
            data_dir = folder / str(number)
            data_dir.mkdir()
            env = {
                "TRINART_SHARDS": f"{number}/2",
                "TRINART_DATABASE_URL": database_url,
                "TRINART_MEMBER_CAP": f"{CAP / 1000}/day",
            }
            bots.append(await stack.enter_async_context(running_bot(server, data_dir, env=env)))
        for bot in bots:
            await bot.said("is ready")
            await bot.said("connected to Discord")
        await server.world.pulse.until(lambda: server.identifies == 2, START_SECONDS, "both shards")
        await server.commands_synced("trinart", timeout=START_SECONDS)
        yield bots
        for bot in bots:
            bot.terminate()
            assert await bot.exit_code() == 0


async def ask(server: LoopbackDiscord, guild_id: str, prompt: str = "a lighthouse") -> Interaction:
    channel = server.world.guilds[guild_id]["channels"][0]
    return await server.slash("trinart", {"prompt": prompt, "steps": 4}, channel=channel)


async def test_a_cap_holds_over_both_processes(
    server: LoopbackDiscord, tmp_path: Path, postgres_url: str
) -> None:
    async with two_bots(server, tmp_path, postgres_url):
        asked: list[Interaction] = []
        for _ in range(ASKED_IN_EACH):
            both = [await ask(server, guild_id) for guild_id in (FIRST_SHARD, SECOND_SHARD)]
            for interaction in both:
                await interaction.wait(answered, DELIVERY_SECONDS)
            asked += both
    drawn = [interaction for interaction in asked if has_pictures(interaction)]
    async with Database.connect(postgres_url) as database, database.session() as session:
        jobs = (await session.scalars(select(JobRow))).all()
        taken = -sum((await session.scalars(select(LedgerEntryRow.amount))).all())
    [cost] = {job.cost for job in jobs}
    assert len(drawn) == len(jobs) == CAP // cost < len(asked)
    assert taken == cost * len(jobs)
    assert Counter(job.state for job in jobs) == {"delivered": len(jobs)}


def answered(interaction: Interaction) -> bool:
    """Whether it has pictures, or was refused for the cap."""
    return has_pictures(interaction) or any(
        "over all servers" in seen.content for seen in interaction.history
    )


async def test_each_takes_up_its_own_jobs_only(
    server: LoopbackDiscord, tmp_path: Path, postgres_url: str
) -> None:
    async with two_bots(server, tmp_path, postgres_url) as bots:
        asked = [await ask(server, guild_id, "slow") for guild_id in (FIRST_SHARD, SECOND_SHARD)]
        for interaction in asked:
            await interaction.wait(shows_progress, DELIVERY_SECONDS)
        bots[0].kill()
        await bots[0].exit_code()
        gate(tmp_path / "1").touch()
        await asked[1].wait(has_pictures, DELIVERY_SECONDS)
        env = {"TRINART_SHARDS": "0/2", "TRINART_DATABASE_URL": postgres_url}
        gate(tmp_path / "0").touch()
        async with running_bot(server, tmp_path / "0", env=env) as successor:
            await asked[0].wait(has_pictures, DELIVERY_SECONDS)
            successor.terminate()
            assert await successor.exit_code() == 0
        bots[1].terminate()
        assert await bots[1].exit_code() == 0
        async with Database.connect(postgres_url) as database, database.session() as session:
            states = (await session.scalars(select(JobRow.state))).all()
        assert states == ["delivered", "delivered"]
        bots.clear()
