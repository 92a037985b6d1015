"""The parts of a bot that keep the books, for the ledger's state machine: real ones, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.balances import grants_of, sums
from bot.database.models import LedgerEntryRow, QuotaRow
from bot.database.session import Database, at_once
from bot.job_store import IllegalTransition, JobStore
from bot.jobs import Job, JobState, Origin
from bot.ledger import expire_grants, give, reset_window
from bot.limits import Grant
from bot.quotas import Account, HostRules
from bot.reconcile import Discrepancies, find_discrepancies
from bot.reservations import Reservations
from engine.protocol import GenerationRequest, ModelCard

ADMIN = 99
CARD = ModelCard(name="none", sizes={"square": (512, 512)})


class BrokenOff(Exception):
    """What a transaction meets in the middle."""


class LedgerBot:
    """A bot's process, as far as it keeps books; its clock is the test's."""

    def __init__(self, url: str, host: HostRules, clock: Callable[[], datetime]) -> None:
        self._url = url
        self._host = host
        self._clock = clock

    async def start(self) -> None:
        self._connections = AsyncExitStack()
        self._database = await self._connections.enter_async_context(Database.connect(self._url))
        self._reservations = Reservations(self._database, self._host, clock=self._clock)
        self._jobs = JobStore(self._database, clock=self._clock)

    async def stop(self) -> None:
        await self._connections.aclose()

    # --- members and jobs ---

    async def reserve_all(self, wishes: Sequence[tuple[int, Origin]]) -> list[Any]:
        """Jobs, or why not, of requests that arrive together."""
        return await asyncio.gather(
            *(self._reservations.reserve(request_of(steps), origin) for steps, origin in wishes),
            return_exceptions=True,
        )

    async def enter(self, job: Job, state: JobState, *, used: int, breaks_off: bool) -> Exception | None:
        """Let a job enter a state; why it did not. The transaction may break off just before its end."""
        write = self._database.write

        async def break_off(work: Any) -> Any:
            async def broken(session: AsyncSession) -> None:
                await work(session)
                raise BrokenOff

            return await write(broken)

        if breaks_off:
            self._database.write = break_off  # pyright: ignore[reportAttributeAccessIssue]
        try:
            if state == "succeeded":
                await self._jobs.succeed(job, [], seconds=1.0, card=CARD)
            else:
                await self._jobs.mark(job, state, used=used)
        except (IllegalTransition, BrokenOff) as error:
            return error
        finally:
            self._database.write = write
        return None

    # --- admins ---

    async def set_quotas(self, guild_id: int, channels: Iterable[int], amount: int) -> None:
        async def add(session: AsyncSession) -> None:
            session.add_all(
                QuotaRow(guild_id=guild_id, scope="channel", subject_id=channel, amount=amount, window="day")
                for channel in channels
            )

        await self._database.write(add)

    async def grant(self, guild_id: int, user_id: int, amount: int, expires_at: datetime) -> int:
        """The new grant's id."""

        async def add(session: AsyncSession) -> int:
            await give(
                session,
                guild_id=guild_id,
                user_id=user_id,
                amount=amount,
                expires_at=expires_at,
                actor_id=ADMIN,
                reason="a prize",
                now=self._clock(),
            )
            await session.flush()
            return await session.scalar(select(func.max(LedgerEntryRow.grant_id))) or 0

        return await self._database.write(add)

    async def expire(self) -> None:
        async def take(session: AsyncSession) -> None:
            await expire_grants(session, self._clock())

        await self._database.write(take)

    async def reset(self, guild_id: int, user_id: int, since: datetime) -> None:
        async def give_back(session: AsyncSession) -> None:
            await reset_window(
                session,
                guild_id=guild_id,
                user_id=user_id,
                since=since,
                actor_id=ADMIN,
                reason="",
                now=self._clock(),
            )

        await self._database.write(give_back)

    # --- the books ---

    async def used(self, accounts: Iterable[Account], since: datetime) -> dict[Account, int]:
        async with self._database.session() as session:
            found = await at_once(session, sums, [(account, since) for account in accounts])
        return {account: used for (account, _), used in found.items()}

    async def grants(self, user_ids: Iterable[int]) -> dict[tuple[int, int], list[Grant]]:
        async with self._database.session() as session:
            return await at_once(session, grants_of, user_ids, self._clock())

    async def total(self) -> int:
        """The sum of all entries."""
        async with self._database.session() as session:
            return int(await session.scalar(select(func.sum(LedgerEntryRow.amount))) or 0)

    async def discrepancies(self, pictures: Path) -> Discrepancies:
        return await find_discrepancies(self._database, pictures, self._clock())


def request_of(steps: int) -> GenerationRequest:
    """A request that costs a thirtieth of a picture for each step."""
    return GenerationRequest(
        prompt="x",
        width=512,
        height=512,
        num_inference_steps=steps,
        guidance_scale=7,
        sampler="Euler a",
        seed=1,
    )
