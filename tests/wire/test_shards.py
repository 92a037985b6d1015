"""Two bot processes share a PostgreSQL database and the members of Discord: limits are kept once.

They are started once for all tests of this file, which leave both of them running.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.database.models import JobRow, LedgerEntryRow
from bot.database.session import Database
from tests.fixtures.postgres import PostgresServer

from .bot_process import START_SECONDS, BotProcess, gate, running_bot, until_it_can_draw
from .handles import Interaction
from .loopback_discord import LoopbackDiscord
from .payloads import JSON, guild, user
from .scene import DELIVERY_SECONDS
from .seen import (
    assert_log_is_json,
    assert_nobody_is_pinged,
    assert_nothing_comes_twice,
    has_pictures,
    is_answered,
    shows_progress,
)

SERVERS = (str(2 << 22), str(3 << 22))
"""Servers whose events go to shard 0 and to shard 1 of two."""
ASKED_IN_EACH = 5
CAP = 50
"""Thousandths of a picture, for each person over all servers."""


@dataclass
class Pair:
    """A bot for each shard. Each test asks as a person of its own, so that their limits do not meet."""

    server: LoopbackDiscord
    database_url: str
    folders: list[Path]
    stack: AsyncExitStack
    bots: list[BotProcess] = field(default_factory=list)
    asked_first: list[Interaction] = field(default_factory=list)
    """Right behind each shard's READY, before its server's GUILD_CREATE and while no model is loaded."""

    async def start(self, number: int) -> BotProcess:
        """Start the bot of a shard."""
        env = {
            "TRINART_SHARDS": f"{number}/2",
            "TRINART_DATABASE_URL": self.database_url,
            "TRINART_MEMBER_CAP": f"{CAP / 1000}/day",
        }
        return await self.stack.enter_async_context(running_bot(self.server, self.folders[number], env=env))

    async def ask(self, number: int, who: JSON, prompt: str = "a lighthouse") -> Interaction:
        """Ask for a picture in the server of a shard."""
        options = {"prompt": prompt, "steps": 4}
        return await self.server.slash("trinart", options, user=who, channel=self.channel(number))

    async def ask_first(self, number: int) -> Interaction:
        """Ask as soon as the shard's bot has identified itself."""
        await self.server.connected(START_SECONDS, guild_id=SERVERS[number])
        return await self.ask(number, user("early"))

    def channel(self, number: int) -> JSON:
        """The one channel in the server of a shard."""
        return self.server.world.guilds[SERVERS[number]]["channels"][0]


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[LoopbackDiscord]:
    """A Discord with a server on each shard."""
    async with LoopbackDiscord(guilds=[guild(guild_id=guild_id) for guild_id in SERVERS]) as server:
        yield server
    assert server.unexpected == []
    assert_nobody_is_pinged(server)
    assert_nothing_comes_twice(server)


@pytest.fixture(scope="module")
async def pair(
    server: LoopbackDiscord, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    """Both bots, started at the same time on an empty database, and able to draw.

    They end in order, and then whatever was drawn has been delivered.
    """
    folders = [tmp_path_factory.mktemp(f"shard{number}") for number in (0, 1)]
    async with postgres_server.new_database() as url, AsyncExitStack() as stack:
        pair = Pair(server, url, folders, stack)
        server.begin_outage()
        for folder in folders:
            (folder / "hold").touch()
        pair.bots += [await pair.start(number) for number in (0, 1)]
        pair.asked_first += await asyncio.gather(pair.ask_first(0), pair.ask_first(1))
        for interaction in pair.asked_first:
            await interaction.wait(is_answered, DELIVERY_SECONDS)
        await server.end_outage()
        for number, folder in enumerate(folders):
            (folder / "hold").unlink()
            await until_it_can_draw(server, pair.bots[number], pair.channel(number))
        yield pair
        for bot in pair.bots:
            bot.terminate()
        for bot in pair.bots:
            assert await bot.exit_code() == 0
            assert_log_is_json(bot, server.world.token)
        async with Database.connect(url) as database, database.session() as session:
            assert set(await session.scalars(select(JobRow.state))) <= {"delivered", "cancelled"}


def test_what_is_asked_right_behind_ready_is_answered_by_both(pair: Pair) -> None:
    for interaction in pair.asked_first:
        assert interaction.ephemeral
        assert "still starting" in interaction.history[-1].content


async def test_a_cap_holds_over_both_processes(pair: Pair) -> None:
    who = user("greedy")
    asked: list[Interaction] = []
    for _ in range(ASKED_IN_EACH):
        both = [await pair.ask(number, who) for number in (0, 1)]
        for interaction in both:
            await interaction.wait(has_its_end, DELIVERY_SECONDS)
        asked += both
    drawn = [interaction for interaction in asked if has_pictures(interaction)]
    jobs, taken = await records(pair, who)
    [cost] = {job.cost for job in jobs}
    assert len(drawn) == len(jobs) == CAP // cost < len(asked)
    assert taken == cost * len(jobs)


def has_its_end(interaction: Interaction) -> bool:
    """Whether it has pictures, or was refused for the cap."""
    return has_pictures(interaction) or any(
        "over all servers" in seen.content for seen in interaction.history
    )


async def test_a_picture_of_the_other_process_is_listed_and_is_cancelled_where_it_was_asked_for(
    pair: Pair,
) -> None:
    who = user("hasty")
    asked = await pair.ask(0, who, "slow")
    await asked.wait(shows_progress, DELIVERY_SECONDS)
    elsewhere = await list_jobs(pair, 1, who)
    assert elsewhere.message is not None
    assert f"https://discord.com/channels/{SERVERS[0]}/" in elsewhere.message["embeds"][0]["description"]
    pressed = await press_cancel(pair, 1, who, elsewhere)
    await pressed.wait(lambda i: i.message is not None, DELIVERY_SECONDS)
    assert pressed.ephemeral
    assert pressed.history[-1].content == (
        "Another part of the bot has this picture. Please do this in the server in which you asked for it."
    )
    assert [job.state for job in (await records(pair, who))[0]] == ["running"], "it goes on"
    await press_cancel(pair, 0, who, await list_jobs(pair, 0, who))
    await asked.wait(lambda i: i.history[-1].content.startswith("Cancelled."), DELIVERY_SECONDS)
    [job], paid = await records(pair, who)
    assert (job.state, paid < job.cost) == ("cancelled", True)


async def list_jobs(pair: Pair, number: int, who: JSON) -> Interaction:
    """A person's jobs, as the bot of a shard tells them."""
    listed = await pair.server.slash("jobs", user=who, channel=pair.channel(number))
    return await listed.wait(lambda i: i.message is not None and bool(i.message["embeds"]), DELIVERY_SECONDS)


async def press_cancel(pair: Pair, number: int, who: JSON, listed: Interaction) -> Interaction:
    """Press the button for the first of the jobs, in the server of a shard."""
    assert listed.message is not None
    [row] = listed.message["components"]
    [button] = [each for each in row["components"] if each["label"] == "Cancel 1"]
    where = pair.channel(number)
    return await pair.server.click(listed.message, button["custom_id"], user=who, channel=where)


async def test_each_takes_up_its_own_jobs_only(pair: Pair) -> None:
    who = user("patient")
    asked = [await pair.ask(number, who, "slow") for number in (0, 1)]
    for interaction in asked:
        await interaction.wait(shows_progress, DELIVERY_SECONDS)
    pair.bots[0].kill()
    await pair.bots[0].exit_code()
    gate(pair.folders[0]).touch()
    pair.bots[0] = await pair.start(0)
    await asked[0].wait(has_pictures, DELIVERY_SECONDS)
    await pair.server.connected(DELIVERY_SECONDS, guild_id=SERVERS[0])
    later = await pair.ask(0, user("later"))
    await later.wait(has_pictures, DELIVERY_SECONDS)
    # The new process, whose gate is open, would have drawn it by now.
    assert not has_pictures(asked[1])
    gate(pair.folders[1]).touch()
    await asked[1].wait(has_pictures, DELIVERY_SECONDS)


async def records(pair: Pair, who: JSON) -> tuple[list[JobRow], int]:
    """A person's jobs, and what they have cost them."""
    async with Database.connect(pair.database_url) as database, database.session() as session:
        jobs = await session.scalars(select(JobRow).where(JobRow.user_id == int(who["id"])))
        entries = select(LedgerEntryRow.amount).where(LedgerEntryRow.user_id == int(who["id"]))
        return list(jobs), -sum(await session.scalars(entries))
