"""How many requests can be decided, debited and recorded in a second, and how long one of them waits.

Each reservation is the real one: rate limit, jobs at a time, the quotas of member, channel and server, the
job's row and its debit, committed to the disk. They come from many members of several servers whose ledger
has a month of entries in it. Beside it, in the same run, a loop that does nothing but insert a row and
commit.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks import report
from bot.database.models import LedgerEntryRow, QuotaRow
from bot.database.session import Database
from bot.jobs import Origin
from bot.quotas import HostRules, Quota, Rate
from bot.reservations import Reservations
from engine.protocol import GenerationRequest
from tests.fixtures.postgres import running_server

GOALS = {
    "reservations_per_s": report.Goal(1000.0),
    "p99_ms_at_100_per_s": report.Goal(20.0, at_most=True),
}

HOST = HostRules(
    default_quota=Quota.parse("100000/day"),
    member_cap=Quota.parse("1000000/month"),
    server_cap=Quota.parse("1000000/month"),
    rate=Rate(count=1000, seconds=1),
    concurrent_jobs=100_000,
)
REQUEST = GenerationRequest(
    prompt="a girl with blue hair, watercolor",
    negative_prompt="lowres, bad hands",
    width=512,
    height=512,
    num_inference_steps=28,
    guidance_scale=7.0,
    sampler="DPM++ 2M Karras",
    seed=1,
)
GUILDS, CHANNELS, MEMBERS = 10, 5, 500


class Members:
    """Those who ask, each time with an interaction of its own."""

    def __init__(self) -> None:
        self._rng = random.Random(1)
        self._interactions = 0

    def origin(self) -> Origin:
        """The next one who asks, and where."""
        self._interactions += 1
        guild = self._rng.randrange(GUILDS) + 1
        return Origin(
            interaction_id=self._interactions,
            interaction_token="x" * 200,
            application_id=1,
            guild_id=guild,
            channel_id=guild * 100 + self._rng.randrange(CHANNELS),
            user_id=1000 + self._rng.randrange(MEMBERS),
            message_id=self._interactions,
        )


async def fill(database: Database, entries: int) -> None:
    """A month of ledger, and a quota for each server and channel."""
    now, members = datetime.now(UTC), Members()

    async def write(session: AsyncSession) -> None:
        quotas = [
            {"guild_id": guild, "scope": scope, "subject_id": subject, "amount": 10**9, "window": "month"}
            for guild in range(1, GUILDS + 1)
            for scope, subject in [("server", 0), *(("channel", guild * 100 + n) for n in range(CHANNELS))]
        ]
        await session.execute(insert(QuotaRow), quotas)
        rows: list[dict[str, Any]] = []
        for number in range(entries):
            origin = members.origin()
            at = now - timedelta(days=30) * (number / entries)
            rows.append(
                {
                    "kind": "reserve",
                    "amount": -1000,
                    "job_id": f"old-{number}",
                    "guild_id": origin.guild_id,
                    "channel_id": origin.channel_id,
                    "user_id": origin.user_id,
                    "grant_id": 0,
                    "actor_id": origin.user_id,
                    "reason": "a picture",
                    "created_at": at,
                    "effective_at": at,
                }
            )
        await session.execute(insert(LedgerEntryRow), rows)

    await database.write(write)


async def reserve_many(reservations: Reservations, members: Members, count: int, at_once: int) -> float:
    """So many reservations, `at_once` of them waiting at a time; how many a second."""
    numbers = iter(range(count))

    async def one_after_another() -> None:
        for _ in numbers:
            await reservations.reserve(REQUEST, members.origin())

    started = time.perf_counter()
    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    return count / (time.perf_counter() - started)


async def insert_many(database: Database, count: int) -> float:
    """So many rows, each in a transaction of its own; how many a second."""
    now = datetime.now(UTC)

    async def add(session: AsyncSession) -> None:
        row = {"kind": "grant", "amount": 0, "job_id": None, "guild_id": 0, "channel_id": 0, "user_id": 0}
        more = {"grant_id": 0, "actor_id": 0, "reason": "bare", "created_at": now, "effective_at": now}
        await session.execute(insert(LedgerEntryRow), [row | more])

    started = time.perf_counter()
    for _ in range(count):
        await database.write(add)
    return count / (time.perf_counter() - started)


async def waits_at(rate: float, seconds: float, reservations: Reservations, members: Members) -> list[float]:
    """The milliseconds that each reservation took, arriving at random, `rate` a second on average."""
    rng = random.Random(2)
    waits: list[float] = []

    async def reserve() -> None:
        started = time.perf_counter()
        await reservations.reserve(REQUEST, members.origin())
        waits.append((time.perf_counter() - started) * 1000)

    end = time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        while time.perf_counter() < end:
            group.create_task(reserve())
            await asyncio.sleep(rng.expovariate(rate))
    return waits


@asynccontextmanager
async def new_database(kind: str) -> AsyncGenerator[Database]:
    """An empty database on this machine. PostgreSQL does not wait for the disk: its server is the tests'."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite+aiosqlite:///{Path(folder) / 'trinart.db'}"
            async with Database.connect(url) as database:
                yield database
        return
    with running_server() as server:
        async with server.new_database() as url, Database.connect(url) as database:
            yield database


async def measure(kind: str, args: Any) -> dict[str, Any]:
    """One kind of database."""
    async with new_database(kind) as database:
        await fill(database, args.entries)
        reservations, members = Reservations(database, HOST), Members()
        await reserve_many(reservations, members, 200, args.at_once)
        rates, bare = [], []
        for _ in range(args.rounds):
            rates.append(await reserve_many(reservations, members, args.count, args.at_once))
            bare.append(await insert_many(database, max(args.count // 10, 20)))
        waits = sorted(await waits_at(100, args.seconds, reservations, members))
    return {
        "reservations_per_s": statistics.median(rates),
        "p99_ms_at_100_per_s": waits[int(0.99 * len(waits))],
        "vs_bare_insert": statistics.median(rates) / statistics.median(bare),
        "p50_ms_at_100_per_s": statistics.median(waits),
        "bare_inserts_per_s": statistics.median(bare),
        "rounds": {"reservations_per_s": rates, "bare_inserts_per_s": bare},
    }


async def measure_all(args: Any) -> dict[str, Any]:
    """SQLite's under the plain keys, PostgreSQL's beside them."""
    return {**await measure("sqlite", args), "postgresql": await measure("postgresql", args)}


def main() -> None:
    """The command line."""
    parser = report.parser(__doc__)
    parser.add_argument("--count", type=int, default=3000, help="reservations in a round")
    parser.add_argument("--at-once", type=int, default=200, help="of them waiting at a time")
    parser.add_argument("--entries", type=int, default=50_000, help="what is in the ledger before")
    parser.add_argument("--seconds", type=float, default=10.0, help="at 100 a second")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    results = asyncio.run(measure_all(args))
    asked = {name: value for name, value in vars(args).items() if name != "json"}
    report.publish(
        "Reservations",
        results,
        goals=GOALS,
        conditions=report.conditions(clock="wall", asked=asked),
        as_json=args.json,
    )


if __name__ == "__main__":
    main()
