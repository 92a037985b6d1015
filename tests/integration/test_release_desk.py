"""The desk at which pictures are released, and its record, against both databases; without an engine."""

from __future__ import annotations

import asyncio
import math
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.database.models import LedgerEntryRow
from bot.database.safety import SafetyDecisionRow
from bot.database.session import Database
from bot.errors import OperatorError
from bot.job_store import JobStore
from bot.jobs import Job, Origin
from bot.outcomes import Outcomes
from bot.pictures import PictureStore
from bot.reply import Undeliverable
from bot.reservations import Reservations
from bot.safety.decisions import DecisionLog, UserKeys
from bot.safety.delivery import PendingDelivery, ReleaseDesk
from bot.safety.levels import Level
from bot.safety.places import Place
from bot.safety.refusals import PicturesUnchecked, PicturesWithheld
from bot.safety.screen import PromptScreen
from bot.safety.screening import Screened, Screening
from bot.safety.verdicts import Decision, PromptVerdict
from bot.upkeep import Upkeep
from engine.protocol import Image, Preview, Verdict
from tests.fixtures.safety import CLEAN, KEYS, POLICY, verdict
from tests.fixtures.stored import CARD, REQUEST

HERE = Place(guild_id=5, channel_id=8)
SEVEN_DAYS = timedelta(days=7)
STRICT_SERVER = text(
    "INSERT INTO server_safety (guild_id, level, channels, block_list, allow_list, updated_at) "
    "VALUES (5, 'strict', '{}', '[]', '[]', CURRENT_TIMESTAMP)"
)


@dataclass
class Desk:
    """A bot's records without the bot."""

    database: Database
    folder: Path

    def __post_init__(self) -> None:
        self.now = datetime.now(UTC)
        self.jobs, self.pictures = JobStore(self.database), PictureStore(self.folder)
        log = DecisionLog(KEYS, POLICY, kept_for=SEVEN_DAYS, clock=lambda: self.now)
        screening = Screening(self.database, PromptScreen.load(), log, cap="age-restricted")
        self.desk = ReleaseDesk(self.database, self.jobs, self.pictures, POLICY, log, screening)
        self.outcomes = Outcomes(self.jobs, self.pictures, self.desk)

    async def job(self, level: Level = "default", decision: Decision = "allow") -> Job:
        """A job that was accepted."""
        screened = Screened(level=level, verdict=PromptVerdict(decision=decision, policy_version="1"))
        origin = Origin(user_id=7, guild_id=5, channel_id=8)
        return await Reservations(self.database).reserve(REQUEST, origin, screened)

    async def delivery(self, *verdicts: Verdict | None, level: Level = "default") -> PendingDelivery:
        """Its pictures, as the engine sends them, on their way."""
        drawn = await self.outcomes.keep(await self.job(level), images(*verdicts), seconds=1, card=CARD)
        return await self.outcomes.begin_delivery(drawn)

    async def stored(self, job: Job) -> Job:
        """A job as the next process finds it."""
        found = await self.jobs.get(job.id)
        assert found is not None
        return found

    async def rows(self) -> list[SafetyDecisionRow]:
        async with self.database.session() as session:
            query = select(SafetyDecisionRow).order_by(
                SafetyDecisionRow.created_at, SafetyDecisionRow.position
            )
            return list(await session.scalars(query))

    async def execute(self, statement: object) -> None:
        async def work(session: AsyncSession) -> None:
            await session.execute(statement)  # pyright: ignore[reportArgumentType, reportCallIssue]

        await self.database.write(work)

    async def paid(self) -> int:
        async with self.database.session() as session:
            return -int(await session.scalar(select(func.sum(LedgerEntryRow.amount))) or 0)

    def files(self) -> list[str]:
        return sorted(path.name.partition("-")[2] for path in self.folder.glob("*"))


def images(*verdicts: Verdict | None) -> list[Image]:
    return [
        Image(png=f"png {seed}".encode(), seed=seed, width=1, height=1, verdict=found)
        for seed, found in enumerate(verdicts)
    ]


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with Database.connect(database_url) as database:
        yield Desk(database, tmp_path / "pictures")


@pytest.mark.parametrize("found", [None, verdict(math.nan), verdict(2.0), Verdict(scores={}, model="m")])
async def test_an_engine_that_sends_no_verdict_shows_nothing(desk: Desk, found: Verdict | None) -> None:
    """The core lets none out without one; the bot does not rely on it."""
    with pytest.raises(PicturesUnchecked):
        await desk.delivery(found, level="age-restricted")
    assert desk.files() == []
    assert await desk.paid() == 0
    [row] = await desk.rows()
    assert (row.decision, row.reasons[0]) == (
        "withhold",
        "no_verdict" if found is None else "invalid_scores",
    )


async def test_some_are_withheld_at_once_and_some_where_they_would_be_shown(desk: Desk) -> None:
    delivery = await desk.delivery(CLEAN, verdict(0.95), None, verdict(0.4), level="age-restricted")
    assert desk.files() == ["0.png", "1.png", "3.png"], "what was not checked was not written"
    release = await delivery.release(HERE)
    assert [(image.seed, image.is_spoiler) for image in release.images] == [(0, False), (3, True)]
    assert release.withheld == 2
    assert desk.files() == ["0.png", "3.png"]
    assert release.job.cost == -(-delivery.job.cost // 2)
    rows = await desk.rows()
    assert [(row.position, row.decision, row.level) for row in rows] == [
        (0, "show", "default"),
        (1, "withhold", "default"),
        (2, "withhold", "age-restricted"),
        (3, "spoiler", "default"),
    ]
    assert {row.user_key for row in rows} == {KEYS.key_of(7)}
    await desk.outcomes.settle(delivery)
    assert await desk.paid() == release.job.cost
    assert desk.files() == []


async def test_another_attempt_is_no_other_decision_but_another_place_is(desk: Desk) -> None:
    delivery = await desk.delivery(CLEAN)
    assert await delivery.release(HERE) == await delivery.release(HERE)
    assert len(await desk.rows()) == 1
    await delivery.release(Place())
    assert [row.channel_id for row in await desk.rows()] == [8, 0]


async def test_attempts_of_later_processes_are_no_other_decisions(desk: Desk) -> None:
    """Each builds the delivery anew, and tries one place after another, as its predecessor did."""
    delivery = await desk.delivery(CLEAN, verdict(0.4))
    for _ in range(3):
        kept = await desk.outcomes.kept(await desk.stored(delivery.job))
        assert kept is not None
        again = desk.outcomes.pending(kept)
        await again.release(HERE)
        await again.release(Place())
    found = [(row.channel_id, row.position) for row in await desk.rows()]
    assert sorted(found) == [(0, 0), (0, 1), (8, 0), (8, 1)]


async def test_what_decides_differently_by_now_is_another_decision(desk: Desk) -> None:
    delivery = await desk.delivery(CLEAN, level="age-restricted")
    await delivery.release(HERE)
    desk.now += timedelta(minutes=1)
    await desk.execute(STRICT_SERVER)
    await delivery.release(HERE)
    desk.now += timedelta(minutes=1)
    await desk.execute(text("UPDATE server_safety SET level = 'default'"))
    for _ in range(2):
        await delivery.release(HERE)
    assert [row.level for row in await desk.rows()] == ["default", "strict", "default"]


async def test_what_was_withheld_in_one_place_is_not_shown_in_another(desk: Desk) -> None:
    """A direct message after a channel that the bot could not write in, for example."""
    delivery = await desk.delivery(CLEAN, verdict(0.4), level="default")
    await desk.execute(STRICT_SERVER)
    assert len((await delivery.release(HERE)).images) == 1
    assert [image.seed for image in (await delivery.release(Place())).images] == [0]


async def test_what_cannot_be_recorded_is_not_released(desk: Desk) -> None:
    delivery = await desk.delivery(CLEAN)
    await desk.execute(text("ALTER TABLE safety_decisions RENAME TO away"))
    with pytest.raises(Undeliverable) as caught:
        await delivery.release(HERE)
    assert not caught.value.permanent
    await desk.execute(text("ALTER TABLE away RENAME TO safety_decisions"))
    assert (await delivery.release(HERE)).images


async def test_the_answer_names_the_decisions(desk: Desk) -> None:
    delivery = await desk.delivery(verdict(0.4), verdict(0.45))
    await desk.execute(STRICT_SERVER)
    with pytest.raises(PicturesWithheld) as caught:
        await delivery.release(HERE)
    assert list(caught.value.decision_ids) == [row.id for row in await desk.rows()]
    assert not isinstance(caught.value, PicturesUnchecked)


@pytest.mark.parametrize(
    ("level", "decision", "found", "is_shown"),
    [
        ("default", "allow", CLEAN, True),
        ("age-restricted", "allow", CLEAN, True),
        ("age-restricted", "allow", verdict(0.3), False),
        ("default", "allow", None, False),
        ("strict", "allow", CLEAN, False),
        ("age-restricted", "strict", CLEAN, False),
    ],
)
async def test_previews_are_held_to_the_strictest_threshold(
    desk: Desk, level: Level, decision: Decision, found: Verdict | None, is_shown: bool
) -> None:
    shown = desk.desk.preview(await desk.job(level, decision), Preview("job", b"png", found))
    assert (shown is not None) == is_shown


# --- the record ---


async def test_the_record_is_append_only_until_its_time_is_over(desk: Desk) -> None:
    await (await desk.delivery(CLEAN)).release(HERE)
    for statement in (
        update(SafetyDecisionRow).values(decision="withhold"),
        delete(SafetyDecisionRow),
    ):
        with pytest.raises(DBAPIError, match="safety_decisions"):
            await desk.execute(statement)
    desk.now -= SEVEN_DAYS + timedelta(hours=1)
    await (await desk.delivery(CLEAN)).release(HERE)
    assert len(await desk.rows()) == 2
    upkeep = Upkeep(
        desk.database,
        desk.jobs,
        desk.pictures,
        pictures_dir=desk.folder,
        retention=timedelta(days=30),
    )
    await upkeep.forget()
    [left] = await desk.rows()
    assert left.kept_until > datetime.now(UTC)


# --- keys of users ---


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "user.key"
    first = UserKeys.load(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["user.key"]
    assert UserKeys.load(file).key_of(7) == first.key_of(7) != first.key_of(8)
    assert len(first.key_of(7)) == 64
    assert first.key_of(None) == ""


async def test_two_starts_at_once_have_one_key(tmp_path: Path) -> None:
    keys = await asyncio.gather(*(asyncio.to_thread(UserKeys.load, tmp_path / "user.key") for _ in range(8)))
    assert len({each.key_of(7) for each in keys}) == 1


@pytest.mark.parametrize("damage", [b"", b"short"])
def test_a_damaged_key_ends_the_start(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "user.key").write_bytes(damage)
    with pytest.raises(OperatorError, match="damaged"):
        UserKeys.load(tmp_path / "user.key")


def test_a_key_that_cannot_be_read_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "user.key").mkdir()
    with pytest.raises(OperatorError, match=r"user\.key cannot be used"):
        UserKeys.load(tmp_path / "user.key")
