"""Does anything get lost, charged twice or delivered twice when processes are killed at random?

A real bot with a real engine, worker processes and SQLite, before a Discord on the loopback. Members ask for
pictures, a fifth of them with tokens that are over before the picture comes; meanwhile bot, engine and
workers get SIGKILL at random moments, counted in requests that Discord has seen. A bot that is gone is
started again, and sometimes killed while it starts. In the end each accepted job must have been delivered
once and paid once, or refunded.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks import report
from bot.jobs import ENDED
from tests.wire.bot_process import BotProcess, until_it_can_draw, wait_gone
from tests.wire.loopback_discord import LoopbackDiscord

GOALS = {
    key: report.Goal(0, at_most=True)
    for key in ("lost", "double_charged", "double_delivered", "ledger_difference")
}

AT_A_TIME = 8
"""Jobs that wait or run, more or less."""
EXPIRING = 0.2
"""The share of interactions whose token is over before the picture comes."""
REQUESTS_BETWEEN_KILLS = (1, 30)
VICTIMS = {"bot": 3, "engine": 2, "worker": 3}
KILLED_WHILE_STARTING = 0.3
REQUESTS_OF_A_START = 3
LAST_STARTS = 5
"""Orderly starts and ends at the end, for what is left."""
PATIENCE_SECONDS = 90.0
MARK = "trinart:"


@dataclass(kw_only=True)
class Outcome:
    """What was found in the database and at Discord when all was over."""

    jobs: int
    kills: int
    lost: int
    double_charged: int
    double_delivered: int
    ledger_difference: int
    delivered: int
    failed_and_refunded: int
    not_accepted: int
    """Commands that died with the bot before it had recorded them: Discord says so to the member."""
    killed: dict[str, int]
    seconds: float
    seed: int


class Chaos:
    """One run."""

    def __init__(self, server: LoopbackDiscord, data_dir: Path, jobs: int, seed: int) -> None:
        self.server = server
        self.data_dir = data_dir
        self.jobs = jobs
        self.rng = random.Random(seed)
        self.killed: Counter[str] = Counter()
        self.asked = 0
        self.bot: BotProcess | None = None
        self.can_draw = asyncio.Event()

    async def run(self) -> None:
        """Let members ask until enough was accepted, kill meanwhile, and wait for the end of all jobs."""
        try:
            await self.start()
            killer = asyncio.create_task(self.kill_at_random())
            try:
                await self.ask()
            finally:
                killer.cancel()
                with suppress(asyncio.CancelledError):
                    await killer
            await self.finish()
        finally:
            if self.bot is not None:
                await self.bot.clean_up()

    async def start(self) -> None:
        """A bot that can draw; those on the way to it may be killed too."""
        while True:
            self.bot = await BotProcess.start(self.server.env(), self.data_dir)
            if self.rng.random() >= KILLED_WHILE_STARTING:
                break
            await self.more_requests(self.rng.randint(1, REQUESTS_OF_A_START))
            await self.kill_bot()
        await until_it_can_draw(self.server, self.bot)
        self.can_draw.set()

    async def more_requests(self, count: int) -> None:
        enough = len(self.server.requests) + count
        await self.server.world.pulse.until(
            lambda: len(self.server.requests) >= enough, PATIENCE_SECONDS, f"{count} requests"
        )

    async def kill_bot(self) -> None:
        assert self.bot is not None
        self.can_draw.clear()
        family = self.bot.family()
        self.bot.kill()
        await self.bot.exit_code()
        await wait_gone(family)
        self.killed["bot"] += 1

    async def ask(self) -> None:
        while len(self.states()) < self.jobs:
            await self.can_draw.wait()
            options = {"prompt": "1girl", "steps": self.rng.randint(1, 20), "images": self.rng.randint(1, 2)}
            interaction = await self.server.slash("trinart", options)
            self.asked += 1
            with suppress(TimeoutError):  # the bot was killed before it answered
                await interaction.wait(lambda i: i.acknowledged, 3.0)
            if self.rng.random() < EXPIRING:
                interaction.expire()
            with suppress(TimeoutError):
                await self.server.world.pulse.until(self.has_room, 3.0, "room for another job")

    def has_room(self) -> bool:
        return sum(state not in ENDED for state in self.states()) < AT_A_TIME

    async def kill_at_random(self) -> None:
        while True:
            await self.more_requests(self.rng.randint(*REQUESTS_BETWEEN_KILLS))
            [victim] = self.rng.choices(list(VICTIMS), list(VICTIMS.values()))
            if victim == "bot":
                await self.kill_bot()
                await self.start()
            else:
                self.kill_child(victim)

    def kill_child(self, victim: str) -> None:
        assert self.bot is not None
        family = [process for process in self.bot.family() if (victim == "worker") == is_worker(process)]
        if family:  # else it is just being started again
            with suppress(psutil.NoSuchProcess):
                self.rng.choice(family).kill()
                self.killed[victim] += 1

    async def finish(self) -> None:
        """End in order, and start again for what an end in order leaves."""
        for _ in range(LAST_STARTS):
            assert self.bot is not None
            self.bot.terminate()
            await self.bot.exit_code()
            if all(state in ENDED for state in self.states()):
                return
            await self.start()

    def states(self) -> list[str]:
        return [state for (state,) in self.rows("SELECT state FROM jobs")]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.data_dir / "trinart.db")) as database:
            return database.execute(query).fetchall()

    def outcome(self, seconds: float, seed: int) -> Outcome:
        """Compare what members see with the jobs, and the jobs with the ledger."""
        rows = self.rows("SELECT id, state, cost FROM jobs")
        jobs = {job_id: (state, cost) for job_id, state, cost in rows}
        sums = dict(self.rows("SELECT job_id, SUM(amount) FROM ledger_entries GROUP BY job_id"))
        shown = Counter(
            embed["footer"]["text"].removeprefix(MARK)
            for message in self.server.world.messages.values()
            for embed in message["embeds"]
            if (embed.get("footer") or {}).get("text", "").startswith(MARK)
        )
        delivered = [job_id for job_id, (state, _) in jobs.items() if state == "delivered"]
        should = {job_id: -cost if state == "delivered" else 0 for job_id, (state, cost) in jobs.items()}
        lost = [job_id for job_id, (state, _) in jobs.items() if state not in ENDED]
        lost += [job_id for job_id in delivered if not shown[job_id[:12]]]
        return Outcome(
            jobs=len(jobs),
            kills=self.killed.total(),
            lost=len(lost),
            double_charged=sum(sums.get(job_id, 0) < amount for job_id, amount in should.items()),
            double_delivered=sum(count > 1 for count in shown.values()),
            ledger_difference=sum(abs(sums.get(each, 0) - should.get(each, 0)) for each in {*sums, *should}),
            delivered=len(delivered),
            failed_and_refunded=sum(state in ("failed", "refused") for state, _ in jobs.values()),
            not_accepted=self.asked - len(jobs),
            killed=dict(self.killed),
            seconds=round(seconds, 1),
            seed=seed,
        )


def is_worker(process: psutil.Process) -> bool:
    """Whether it draws, and is not the engine's core."""
    try:
        return any("worker" in part for part in process.cmdline()[1:4])
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


async def run_chaos(jobs: int, seed: int) -> Outcome:
    """Run `jobs` jobs through killings that depend on `seed`, and count what went wrong."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="trinart-chaos-") as folder:
        async with LoopbackDiscord() as server:
            chaos = Chaos(server, Path(folder), jobs, seed)
            await chaos.run()
            return chaos.outcome(time.monotonic() - began, seed)


def main() -> int:
    """The command line; the exit code is 1 if anything went wrong."""
    parser = report.parser(__doc__)
    parser.add_argument("--jobs", type=int, default=200, help="to be accepted, or a few more")
    parser.add_argument("--seed", type=int, help="of what is killed when; any, unless it is given")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(2**32)
    results = asdict(asyncio.run(run_chaos(args.jobs, seed)))
    report.publish(
        "Killing at random", results, goals=GOALS, conditions=report.conditions(), as_json=args.json
    )
    return 0 if all(results[key] == 0 for key in GOALS) else 1


if __name__ == "__main__":
    sys.exit(main())
