"""What the bot does by itself: mend what disagrees, refund what nobody fetched, expire, and forget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.balances import sums
from bot.database.models import AuditRow, Base, ImageRow, JobRow, LedgerEntryRow, RefusalRow
from bot.database.session import Database, at_once
from bot.job_store import JobStore
from bot.jobs import Job, Origin
from bot.ledger import close_job, give, reserve_entries, reset_window
from bot.pictures import PictureStore
from bot.quotas import Account, Asker, HostRules, Quota
from bot.reconcile import Discrepancies, find_discrepancies, mend
from bot.reservations import Reservations
from bot.runs import Runs
from bot.shards import Shards
from bot.upkeep import Upkeep
from engine.protocol import Image
from tests.fixtures.stored import CARD, REQUEST

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass
class House:
    """A bot's database and folder, and its clock."""

    database: Database
    folder: Path
    now: datetime = NOON

    def __post_init__(self) -> None:
        self.jobs = JobStore(self.database, clock=lambda: self.now)
        self.reservations = Reservations(self.database, HostRules(), clock=lambda: self.now)
        self.pictures = PictureStore(self.folder)
        self.runs = Runs()
        self.upkeep = Upkeep(
            self.database,
            self.jobs,
            self.pictures,
            runs=self.runs,
            pictures_dir=self.folder,
            retention=timedelta(days=30),
            clock=lambda: self.now,
        )
        self.asked = 0

    async def reserve(self) -> Job:
        self.asked += 1
        origin = Origin(interaction_id=self.asked, user_id=1, guild_id=5, channel_id=8)
        return await self.reservations.reserve(REQUEST, origin)

    async def draw(self) -> Job:
        """A job whose pictures wait for Discord."""
        job = await self.reserve()
        images = await self.pictures.save(job.id, [Image(png=b"png", seed=1, width=1, height=1)])
        return await self.jobs.succeed(job, images, seconds=1, card=CARD)

    async def change(self, statement: Any) -> None:
        async def execute(session: AsyncSession) -> None:
            await session.execute(statement)

        await self.database.write(execute)

    async def close(self, job: Job, *, used: int) -> None:
        """Close a job's account, whatever state it is in."""

        async def close(session: AsyncSession) -> None:
            await close_job(session, job.id, used=used, reason="by hand", now=self.now)

        await self.database.write(close)

    async def find(self) -> Discrepancies:
        return await find_discrepancies(self.database, self.folder, self.now)

    async def state(self, job: Job) -> str | None:
        async with self.database.session() as session:
            return await session.scalar(select(JobRow.state).where(JobRow.id == job.id))

    async def total(self, job: Job | None = None) -> int:
        query = select(func.sum(LedgerEntryRow.amount))
        if job is not None:
            query = query.where(LedgerEntryRow.job_id == job.id)
        async with self.database.session() as session:
            return int(await session.scalar(query) or 0)

    async def count(self, table: type[Base]) -> int:
        async with self.database.session() as session:
            return await session.scalar(select(func.count()).select_from(table)) or 0

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*"))


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path) as house:
        yield house


@asynccontextmanager
async def open_house(url: str, folder: Path) -> AsyncIterator[House]:
    async with Database.connect(url) as database:
        yield House(database, folder / "pictures")


# --- mending ---


async def test_a_house_in_order_has_nothing_to_mend(house: House) -> None:
    delivered = await house.jobs.mark(await house.draw(), "delivered")
    await house.pictures.delete(delivered.images)
    await house.jobs.mark(await house.reserve(), "failed")
    await house.jobs.mark(await house.reserve(), "cancelled", used=1)
    await house.draw()
    await house.reserve()
    assert not await house.find()


async def test_an_ended_job_whose_account_is_open_is_settled_or_refunded(house: House) -> None:
    delivered, failed = await house.draw(), await house.reserve()
    await house.change(update(JobRow).where(JobRow.id == delivered.id).values(state="delivered"))
    await house.change(update(JobRow).where(JobRow.id == failed.id).values(state="failed"))
    await house.pictures.delete(delivered.images)
    found = await house.find()
    assert found == Discrepancies(not_closed=found.not_closed)
    assert set(found.not_closed) == {delivered.id, failed.id}
    await house.upkeep.reconcile()
    assert (await house.total(delivered), await house.total(failed)) == (-delivered.cost, 0)
    assert not await house.find()


async def test_what_was_reserved_for_a_job_that_is_gone_comes_back(house: House) -> None:
    job = await house.reserve()
    await house.change(delete(JobRow).where(JobRow.id == job.id))
    found = await house.find()
    assert found == Discrepancies(orphaned=(job.id,))
    await house.upkeep.reconcile()
    assert await house.total() == 0
    assert not await house.find()


@pytest.mark.parametrize("share", [0, 1], ids=["refunded", "settled"])
async def test_a_job_whose_account_was_closed_ends_and_costs_nothing(house: House, share: int) -> None:
    job = await house.reserve()
    half_written = house.folder / f"{job.id}-0.png"
    house.folder.mkdir()
    half_written.touch()
    await house.close(job, used=share * job.cost)
    assert await house.find() == Discrepancies(closed_alive=(job.id,))
    await house.upkeep.reconcile()
    assert (await house.state(job), await house.total(job), house.files()) == ("failed", 0, [])
    assert not await house.find()


@pytest.mark.parametrize("share", [0, 1], ids=["refunded", "settled"])
async def test_a_drawn_job_whose_account_was_closed_is_delivered_for_what_was_paid(
    house: House, share: int
) -> None:
    job = await house.draw()
    await house.close(job, used=share * job.cost)
    assert not await house.find()
    await house.upkeep.reconcile()
    assert [unfinished.id for unfinished in await house.jobs.unfinished()] == [job.id]
    assert house.files() == [image.file_name for image in job.images]
    await house.pictures.delete((await house.jobs.mark(job, "delivered")).images)
    assert await house.total(job) == -share * job.cost
    assert not (await house.find()).can_be_mended


async def test_what_a_failed_job_was_settled_for_before_comes_back(house: House) -> None:
    job = await house.draw()
    await house.close(job, used=job.cost)
    await house.pictures.delete((await house.jobs.mark(job, "failed", error_code="undelivered")).images)
    found = await house.find()
    assert found == Discrepancies(overpaid=(job.id,))
    assert [sentence for sentence in found.sentences() if job.id in sentence]
    # Two bots that start at once.
    await asyncio.gather(*(mend(house.database, house.folder, found, house.now) for _ in range(2)))
    assert await house.total(job) == 0
    assert not await house.find()
    async with house.database.session() as session:
        account, since = Account("member", 5, 1), NOON - timedelta(hours=1)
        assert await at_once(session, sums, [(account, since)]) == {(account, since): 0}


async def test_what_was_taken_too_much_comes_back_to_grants_first(house: House) -> None:
    job = await house.reserve()

    async def take_more(session: AsyncSession) -> None:
        asker = Asker(user_id=1, guild_id=5, channel_id=8)
        await session.execute(
            insert(LedgerEntryRow), reserve_entries(job.id, asker, {3: 2, 4: 2}, "by hand", house.now)
        )
        await session.execute(update(JobRow).where(JobRow.id == job.id).values(cost=job.cost + 1))

    await house.database.write(take_more)
    await house.jobs.mark(
        await house.jobs.succeed(job, [], seconds=1, card=CARD), "delivered", used=job.cost + 4
    )
    assert await house.find() == Discrepancies(overpaid=(job.id,))
    await house.upkeep.reconcile()
    assert not await house.find()
    async with house.database.session() as session:
        left = await session.execute(
            select(LedgerEntryRow.grant_id, func.sum(LedgerEntryRow.amount)).group_by(LedgerEntryRow.grant_id)
        )
        assert {grant_id: int(amount) for grant_id, amount in left} == {0: -job.cost, 3: -1, 4: 0}


async def test_what_was_closed_in_part_is_closed_to_the_end(house: House) -> None:
    job_id, asker = "a" * 32, Asker(user_id=1, guild_id=5, channel_id=8)

    async def close_in_parts(session: AsyncSession) -> None:
        for parts in ({0: 600}, {3: 400}):
            await session.execute(
                insert(LedgerEntryRow), reserve_entries(job_id, asker, parts, "a picture", house.now)
            )
            await close_job(session, job_id, used=700, reason="cancelled", now=house.now)

    await house.database.write(close_in_parts)
    assert await house.total() == -700


async def test_a_job_that_took_too_little_is_told_and_left(house: House) -> None:
    job = await house.jobs.mark(await house.reserve(), "failed")
    await house.change(update(JobRow).where(JobRow.id == job.id).values(state="delivered"))
    found = await house.find()
    assert found == Discrepancies(underpaid=(job.id,))
    assert [sentence for sentence in found.sentences() if job.id in sentence]
    assert not found.can_be_mended
    await mend(house.database, house.folder, found, house.now)
    assert await house.find() == found


async def test_files_of_no_job_are_deleted_and_others_kept(house: House) -> None:
    waiting = await house.draw()
    ended = await house.jobs.mark(await house.draw(), "delivered")
    (house.folder / "0123-0.png.part").touch()
    kept = [image.file_name for image in waiting.images]
    found = await house.find()
    assert sorted(found.stray_files) == sorted(["0123-0.png.part", ended.images[0].file_name])
    await house.upkeep.reconcile()
    assert house.files() == kept
    assert not await house.find()


# --- chores ---


async def test_pictures_nobody_fetched_are_refunded_after_a_day(house: House) -> None:
    job, other = await house.draw(), await house.draw()
    kept = await house.jobs.note_undelivered(job)
    assert kept.undelivered_at == NOON
    house.now += timedelta(hours=23)
    await house.upkeep.run_once()
    assert await house.state(job) == "succeeded"
    house.now += timedelta(hours=2)
    await house.upkeep.run_once()
    assert (await house.state(job), await house.total(job)) == ("failed", 0)
    assert (await house.state(other), await house.total(other)) == ("succeeded", -other.cost)
    assert house.files() == [image.file_name for image in other.images]


async def test_pictures_that_are_just_being_sent_are_not_refunded(house: House) -> None:
    job = await house.jobs.note_undelivered(await house.draw())
    house.now += timedelta(days=2)
    with house.runs.holding(job.id):
        await house.upkeep.refund_kept()
        assert (await house.state(job), await house.total(job)) == ("succeeded", -job.cost)
        assert house.files() == [image.file_name for image in job.images]
    await house.upkeep.refund_kept()
    assert (await house.state(job), await house.total(job), house.files()) == ("failed", 0, [])


async def test_refunds_come_before_another_attempt(house: House) -> None:
    """One that is tried again in each round would never be refunded if the attempt began first."""
    job = await house.jobs.note_undelivered(await house.draw())
    house.now += timedelta(days=2)
    states: list[str | None] = []
    tried = asyncio.Event()

    async def attempt() -> None:
        states.append(await house.state(job))
        tried.set()

    async with house.upkeep.running(also=attempt):
        async with asyncio.timeout(60):
            await tried.wait()
    assert states == ["failed"]


async def test_pictures_of_another_process_are_left_to_it(house: House, tmp_path: Path) -> None:
    """Its files are in a folder of its own: what this process cannot delete it does not give up."""

    def process(shard: int, folder: Path) -> Upkeep:
        return Upkeep(
            house.database,
            house.jobs,
            PictureStore(folder),
            pictures_dir=folder,
            retention=timedelta(days=30),
            shards=Shards(ids=frozenset({shard}), count=2),
            clock=lambda: house.now,
        )

    job = await house.jobs.note_undelivered(await house.draw())
    assert job.origin.guild_id is not None
    owner = (job.origin.guild_id >> 22) % 2
    house.now += timedelta(days=2)
    await process(1 - owner, tmp_path / "elsewhere").refund_kept()
    assert (await house.state(job), await house.total(job)) == ("succeeded", -job.cost)
    assert house.files() == [image.file_name for image in job.images]
    await process(owner, house.folder).refund_kept()
    assert (await house.state(job), await house.total(job), house.files()) == ("failed", 0, [])


async def test_the_first_failed_delivery_counts(house: House) -> None:
    job = await house.jobs.note_undelivered(await house.draw())
    house.now += timedelta(hours=20)
    stale = replace(job, undelivered_at=None)
    await house.jobs.note_undelivered(job)
    fresh = await house.jobs.get(job.id)
    assert fresh is not None
    assert fresh.undelivered_at == NOON
    assert stale.undelivered_at is None


async def test_ended_jobs_are_forgotten_with_their_prompts_and_what_they_cost_is_not(house: House) -> None:
    ended = await house.jobs.mark(await house.draw(), "delivered")
    live = await house.reserve()
    await house.change(insert(RefusalRow).values(created_at=NOON, guild_id=5, user_id=1, code="x"))
    house.now += timedelta(days=31)
    await house.upkeep.run_once()
    assert (await house.state(ended), await house.state(live)) == (None, "queued")
    assert (await house.count(ImageRow), await house.count(RefusalRow)) == (0, 0)
    assert await house.total(ended) == -ended.cost


async def test_forgetting_goes_on_until_all_is_gone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.upkeep.CHUNK", 2)
    for _ in range(5):
        await house.jobs.mark(await house.reserve(), "failed")
    house.now += timedelta(days=31)
    await house.upkeep.run_once()
    assert await house.count(JobRow) == 0


async def test_what_is_left_of_a_grant_expires(house: House) -> None:
    async def grant(session: AsyncSession) -> None:
        await give(
            session,
            guild_id=5,
            user_id=1,
            amount=700,
            expires_at=NOON + timedelta(hours=1),
            actor_id=9,
            reason="a prize",
            now=house.now,
        )

    await house.database.write(grant)
    await house.upkeep.run_once()
    assert await house.total() == 700
    house.now += timedelta(hours=1)
    await house.upkeep.run_once()
    await house.upkeep.run_once()
    assert await house.total() == 0
    assert await house.count(LedgerEntryRow) == 2


@pytest.mark.parametrize(
    ("used", "left_over"),
    [(0, {0: 600, 3: 300, 4: 100}), (500, {0: 100, 3: 300, 4: 100}), (700, {3: 200, 4: 100}), (1000, {})],
)
async def test_what_a_job_did_not_use_comes_back_to_those_who_paid(
    house: House, used: int, left_over: dict[int, int]
) -> None:
    async def reserve_and_close(session: AsyncSession) -> None:
        asker = Asker(user_id=1, guild_id=5, channel_id=8)
        entries = reserve_entries("a" * 32, asker, {0: 600, 3: 300, 4: 100}, "a picture", house.now)
        await session.execute(insert(LedgerEntryRow), entries)
        await close_job(session, "a" * 32, used=used, reason="cancelled", now=house.now)

    await house.database.write(reserve_and_close)
    async with house.database.session() as session:
        closed = await session.scalars(
            select(LedgerEntryRow).where(LedgerEntryRow.kind.in_(("settle", "refund")))
        )
        assert {entry.grant_id: entry.amount for entry in closed if entry.amount} == left_over


@pytest.mark.parametrize("request_", [b"\xc1", b"", b"\x81\xa6prompt\xa1\xff"], ids=["no", "none", "no text"])
async def test_a_job_that_cannot_be_read_ends_refunded_and_holds_up_no_other(
    house: House, request_: bytes
) -> None:
    unreadable, readable = await house.reserve(), await house.reserve()
    await house.change(update(JobRow).where(JobRow.id == unreadable.id).values(request=request_))
    assert [job.id for job in await house.jobs.unfinished()] == [readable.id]
    assert (await house.state(unreadable), await house.total(unreadable)) == ("failed", 0)
    assert not await house.find()


async def test_what_members_typed_and_their_tokens_are_not_in_errors(house: House) -> None:
    origin = Origin(interaction_id=1, interaction_token="a secret", user_id=1, guild_id=5)
    await house.change(text("ALTER TABLE jobs RENAME TO jobs_away"))
    with pytest.raises(DBAPIError) as caught:
        await house.change(insert(JobRow).values(id="1", interaction_token=origin.interaction_token))
    assert "a secret" not in str(caught.value)


async def test_a_reset_and_a_refund_at_the_same_time_give_back_once(
    postgres_tables: str, tmp_path: Path
) -> None:
    """A job fails when a reset has just read what is used: what comes back by itself is left out once."""
    async with open_house(postgres_tables, tmp_path) as house:
        delivered = await house.jobs.mark(await house.draw(), "delivered")
        house.now += timedelta(minutes=1)
        running = await house.reserve()

        async def reset(session: AsyncSession) -> int:
            execute = session.execute

            async def execute_and_fail_the_job(*args: Any, **kwargs: Any) -> Any:
                result = await execute(*args, **kwargs)
                if await house.state(running) == "queued":
                    await house.jobs.mark(running, "failed")
                return result

            session.execute = execute_and_fail_the_job  # pyright: ignore[reportAttributeAccessIssue]
            return await reset_window(
                session, guild_id=5, user_id=1, since=NOON, actor_id=9, reason="", now=house.now
            )

        assert await house.database.write(reset) == delivered.cost
        assert await house.state(running) == "failed"
        assert await house.total() == 0


# --- append-only ---


@pytest.mark.parametrize("table", [LedgerEntryRow, AuditRow])
async def test_what_was_written_down_stays(house: House, table: type[Base]) -> None:
    job = await house.reserve()
    row = AuditRow(created_at=NOON, guild_id=5, actor_id=1, action="x", target="y", before=None, after=None)

    async def add(session: AsyncSession) -> None:
        session.add(row)

    await house.database.write(add)
    for statement in (delete(table), update(table).values(guild_id=6)):
        with pytest.raises(DBAPIError, match="append-only"):
            await house.change(statement)
    assert await house.total(job) == -job.cost


# --- one door ---


async def test_a_thousand_at_once_take_exactly_what_there_is(database_url: str) -> None:
    async with Database.connect(database_url) as database, Database.connect(database_url) as other:
        host = HostRules(default_quota=Quota(amount=100 * 42, window="day"))
        doors = [Reservations(each, host) for each in (database, other)]
        outcomes = await gather_all(doors, 1000)
        accepted = [outcome for outcome in outcomes if isinstance(outcome, Job)]
        assert {job.cost for job in accepted} == {ODD_COST}
        assert len(accepted) == 100 * 42 // ODD_COST
        assert {type(outcome).__name__ for outcome in outcomes} == {"Job", "MemberQuotaUsedUp"}


ODD_COST = 11


async def gather_all(doors: list[Reservations], count: int) -> list[Any]:
    return await asyncio.gather(
        *(
            doors[number % len(doors)].reserve(
                REQUEST, Origin(interaction_id=number + 1, user_id=1, guild_id=5, channel_id=8)
            )
            for number in range(count)
        ),
        return_exceptions=True,
    )
