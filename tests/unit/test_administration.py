"""The service behind `/admin` and `/host`: permission, one transaction with the audit log, and pure rules."""

from __future__ import annotations

import math
import zoneinfo
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, insert, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.admin_errors import AmountMissing, NotAllowed, NotATimeZone, TooManyNamed
from bot.admin_members import MemberChanges
from bot.admin_reports import Reports
from bot.admin_rules import (
    MAX_NAMED,
    NO_RULE,
    UNLIMITED,
    WINDOWS,
    LimitChanges,
    RuleChanges,
    SettingChanges,
    Subject,
    find_timezone,
    make_quota,
    timezones,
)
from bot.administration import Administration
from bot.audit import Admin, Change, Desk
from bot.database.failures import RecordsUnavailable
from bot.database.models import (
    AuditRow,
    BlockRow,
    GrantRow,
    GuildSettingsRow,
    LedgerEntryRow,
    PresetRow,
    QuotaRow,
)
from bot.database.session import Database
from bot.errors import MemberError, OutOfRange
from bot.host import HostChanges
from bot.i18n import translator
from bot.ledger import close_job, reserve_entries
from bot.presets import PresetBook
from bot.quotas import MAX_AMOUNT, Asker, HostRules, Quota
from bot.usage import Usage, percentiles
from cogs.admin_log import change_text

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
BOSS = Admin(actor_id=1, guild_id=10, may_manage=True)
NOBODY = Admin(actor_id=2, guild_id=10, may_manage=False)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.connect(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}") as database:
        yield database


@pytest.fixture
def service(database: Database) -> Administration:
    quota = HostRules(default_quota=Quota.parse("5/day"))
    return Administration(database, quota, PresetBook.load(), kept_days=30, clock=lambda: NOW)


async def count(database: Database, *tables: type) -> int:
    async with database.session() as session:
        counts = [await session.scalar(select(func.count()).select_from(table)) for table in tables]
    return sum(number or 0 for number in counts)


# --- permission ---

MIKA = Asker(user_id=3, guild_id=10)
EVERYTHING: dict[str, Callable[[Administration, Admin], Awaitable[object]]] = {
    "set_quota": lambda s, a: s.rules.set_quota(a, Subject(), Quota(amount=1)),
    "change_limits": lambda s, a: s.rules.change_limits(a, LimitChanges(jobs=1)),
    "change_settings": lambda s, a: s.rules.change_settings(a, SettingChanges(timezone="Asia/Tokyo")),
    "tidy": lambda s, a: s.rules.tidy(a, roles=(), channels=()),
    "grant": lambda s, a: s.members.grant(a, 3, 1, days=None, reason=None),
    "revoke": lambda s, a: s.members.revoke(a, 3, reason=None),
    "reset": lambda s, a: s.members.reset(a, MIKA, reason=None),
    "block": lambda s, a: s.members.block(a, 3, hours=None, reason="spam"),
    "unblock": lambda s, a: s.members.unblock(a, 3),
    "allowance": lambda s, a: s.members.allowance(a, MIKA),
    "overview": lambda s, a: s.reports.overview(a),
    "export": lambda s, a: s.reports.export(a, days=1, limit=1000),
    "usage": lambda s, a: s.reports.usage(a, days=1),
    "log": lambda s, a: s.log(a, page=0, size=1),
    "suspend": lambda s, a: s.host.suspend(a, suspended=True),
    "note": lambda s, a: s.host.note(a, "host.drain", after=True),
    "places": lambda s, a: s.host.places(a),
    "servers": lambda s, a: s.host.servers(a),
    "live_jobs": lambda s, a: s.host.live_jobs(a),
}
"""Every method that a command can call."""
TABLES = (AuditRow, BlockRow, GrantRow, GuildSettingsRow, LedgerEntryRow, QuotaRow)


def test_every_method_is_among_them() -> None:
    parts = (RuleChanges, MemberChanges, Reports, HostChanges)
    names = {name for part in parts for name in vars(part) if not name.startswith("_")}
    assert names | {"log"} == set(EVERYTHING)


@pytest.mark.parametrize("name", EVERYTHING)
async def test_nothing_is_done_or_told_without_the_permission(
    service: Administration, database: Database, name: str
) -> None:
    with pytest.raises(NotAllowed):
        await EVERYTHING[name](service, NOBODY)
    assert await count(database, *TABLES) == 0
    await EVERYTHING[name](service, BOSS)


# --- grants ---


async def test_taking_back_what_a_job_has_all_of_is_a_change_too(
    service: Administration, database: Database
) -> None:
    """What the job gives back ends with the grant: the log says who ended it."""
    await service.members.grant(BOSS, MIKA.user_id, 1, days=None, reason=None)
    async with database.session() as session:
        [grant] = await session.scalars(select(GrantRow))
        taken = reserve_entries("j" * 32, MIKA, {grant.id: 1000}, "a picture", NOW)
        await session.execute(insert(LedgerEntryRow), taken)

    change = await service.members.revoke(BOSS, MIKA.user_id, reason="by mistake")

    assert change.before == {"grants": 1, "pictures": 0}
    assert change.after == {"grants": 0, "pictures": 0, "reason": "by mistake"}
    assert change_text(change, translator("en-US")) == (
        "✅ **Granted pictures taken back** · <@3>\ngrants: 1 → 0\nreason: by mistake"
    )
    assert change_text(change, translator("ja")) == (
        "✅ **付与分の取り消し** · <@3>\n付与件数: 1 → 0\n理由: by mistake"
    )
    async with database.session() as session:
        actions = list(await session.scalars(select(AuditRow.action).order_by(AuditRow.id)))
    assert actions == ["quota.grant", "quota.revoke"]
    assert not (await service.members.revoke(BOSS, MIKA.user_id, reason=None)).is_one


async def test_of_a_grant_that_is_used_up_nothing_is_taken_back(
    service: Administration, database: Database
) -> None:
    await service.members.grant(BOSS, MIKA.user_id, 1, days=None, reason=None)
    async with database.session() as session:
        [grant] = await session.scalars(select(GrantRow))
        taken = reserve_entries("j" * 32, MIKA, {grant.id: 1000}, "a picture", NOW)
        await session.execute(insert(LedgerEntryRow), taken)
        await close_job(session, "j" * 32, used=1000, reason="delivered", now=NOW)
    assert not (await service.members.revoke(BOSS, MIKA.user_id, reason=None)).is_one


# --- one transaction ---


async def test_a_change_that_fails_leaves_nothing(database: Database) -> None:
    async def half(session: AsyncSession, now: datetime) -> Change:
        session.add(BlockRow(guild_id=10, user_id=3, reason="", actor_id=1, created_at=now))
        await session.flush()
        raise TooManyNamed(limit=1)

    with pytest.raises(TooManyNamed):
        await Desk(database, lambda: NOW).change(BOSS, half)
    assert await count(database, *TABLES) == 0


async def test_a_database_that_does_not_answer(database: Database) -> None:
    async def broken(*_: object) -> Change:
        raise OperationalError("", {}, Exception("gone"))

    desk = Desk(database, lambda: NOW)
    with pytest.raises(RecordsUnavailable):
        await desk.change(BOSS, broken)
    with pytest.raises(RecordsUnavailable):
        await desk.read(BOSS, broken)


async def test_a_change_and_its_row(service: Administration, database: Database) -> None:
    await service.rules.set_quota(BOSS, Subject(scope="role", id=7), Quota.parse("2/week"))
    async with database.session() as session:
        [row] = await session.scalars(select(AuditRow))
    assert (row.created_at, row.guild_id, row.actor_id) == (NOW, 10, 1)
    assert (row.action, row.target, row.before, row.after) == ("quota.set", "role:7", None, "2/week")


async def test_servers_do_not_see_each_other(service: Administration) -> None:
    elsewhere = Admin(actor_id=1, guild_id=11, may_manage=True)
    await service.rules.set_quota(BOSS, Subject(), Quota.parse("2/week"))
    await service.members.block(BOSS, 3, hours=None, reason="spam")
    await service.members.grant(BOSS, 3, 1, days=None, reason=None)
    assert await service.log(elsewhere, page=0, size=9) == ([], False)
    overview = await service.reports.overview(elsewhere)
    assert (overview.rules.quotas, overview.blocks) == ({}, {})
    assert (await service.reports.export(elsewhere, days=1, limit=1000)).rows == 0
    assert (await service.reports.usage(elsewhere, days=1)).total == 0


async def test_an_export_that_does_not_fit_keeps_the_newest(service: Administration) -> None:
    for number in range(40):
        await service.members.grant(BOSS, 3, 1, days=None, reason=f"number {number}")
    export = await service.reports.export(BOSS, days=1, limit=1000)
    assert not export.is_whole
    assert len(export.data) <= 1000
    assert 0 < export.rows < 40
    assert b"number 39" in export.data
    assert b"number 0\r" not in export.data
    assert (await service.reports.export(BOSS, days=1, limit=10**6)).rows == 40


async def test_a_reset_is_of_the_window_that_counts(service: Administration) -> None:
    assert not (await service.members.reset(BOSS, MIKA, reason=None)).is_one
    allowance = await service.members.allowance(BOSS, MIKA)
    [own] = allowance.limits
    assert (own.left, own.limit.quota) == (5000, Quota.parse("5/day"))
    assert own.resets_at == datetime(2026, 6, 2, tzinfo=UTC)


async def test_what_a_reset_gave_back_leaves_a_rolling_window_with_what_was_used(database: Database) -> None:
    """Or a member would have more than the quota for a while, a day after."""
    now = NOW
    service = Administration(database, HostRules(), PresetBook.load(), kept_days=30, clock=lambda: now)
    await service.rules.set_quota(BOSS, Subject(), Quota.parse("5/24h"))
    used = reserve_entries("job", MIKA, {0: 3000}, "", NOW - timedelta(hours=20))
    async with database.session() as session:
        await session.execute(insert(LedgerEntryRow), used)
        await close_job(session, "job", used=3000, reason="delivered", now=NOW)
    assert (await service.members.allowance(BOSS, MIKA)).limits[0].left == 2000
    await service.members.reset(BOSS, MIKA, reason=None)
    assert not (await service.members.reset(BOSS, MIKA, reason=None)).is_one, "only once"
    for later in range(0, 48, 3):
        now = NOW + timedelta(hours=later)
        assert (await service.members.allowance(BOSS, MIKA)).limits[0].left == 5000


async def test_lists_have_an_end(service: Administration) -> None:
    for channel in range(1, MAX_NAMED + 1):
        await service.rules.change_settings(BOSS, SettingChanges(allow_channel=channel))
    with pytest.raises(TooManyNamed):
        await service.rules.change_settings(BOSS, SettingChanges(allow_channel=999))
    change = await service.rules.change_settings(BOSS, SettingChanges(forbid_channel=1))
    assert change.after == {"allowed_channels": list(range(2, MAX_NAMED + 1))}


async def test_a_servers_own_preset_can_be_its_default(service: Administration, database: Database) -> None:
    def version(number: int, *, deleted: bool) -> PresetRow:
        return PresetRow(
            guild_id=10,
            key="water colour",
            version=number,
            name="Water Colour",
            description="",
            prompt="",
            negative="",
            deleted=deleted,
            actor_id=1,
            created_at=NOW,
        )

    choose = SettingChanges(preset="WATER colour")
    async with database.session() as session:
        session.add(version(1, deleted=False))
    assert (await service.rules.change_settings(BOSS, choose)).after == {"default_preset": "Water Colour"}
    async with database.session() as session:
        session.add(version(2, deleted=True))
    with pytest.raises(MemberError, match="no preset"):
        await service.rules.change_settings(BOSS, choose)


# --- pure rules ---


@given(st.floats(min_value=0, max_value=1_000_000), st.sampled_from(WINDOWS))
def test_a_quota_of_what_was_typed(amount: float, window: str) -> None:
    quota = make_quota(amount, window)
    assert quota is not None
    assert quota.amount is not None
    assert abs(quota.amount - amount * 1000) <= 0.5
    assert Quota.parse(str(quota)).amount == quota.amount, "it can be read from the log again"
    assert len(quota.window) <= 16


@given(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from(WINDOWS))
def test_any_other_number_is_refused(amount: float, window: str) -> None:
    if math.isnan(amount) or not 0 <= amount <= MAX_AMOUNT / 1000:
        with pytest.raises(OutOfRange):
            make_quota(amount, window)


def test_windows_that_need_no_amount() -> None:
    assert make_quota(None, NO_RULE) is None
    assert make_quota(None, UNLIMITED) == Quota(amount=None)
    with pytest.raises(AmountMissing):
        make_quota(None, "day")


def test_every_time_zone_that_can_be_chosen_is_one() -> None:
    assert {"UTC", "Asia/Tokyo", "Europe/Berlin"} <= set(timezones())
    assert set(timezones()) <= zoneinfo.available_timezones()
    for name in timezones()[::20]:
        assert find_timezone(name.upper()) == name
        assert ZoneInfo(name).key == name
        assert len(name) <= 64


@given(st.text())
def test_nothing_else_is_a_time_zone(name: str) -> None:
    if name.strip().casefold().replace(" ", "_") not in {zone.casefold() for zone in timezones()}:
        with pytest.raises(NotATimeZone):
            find_timezone(name)


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1))
def test_percentiles(seconds: list[float]) -> None:
    waiting = percentiles(seconds)
    for share, value in ((0.5, waiting.p50), (0.95, waiting.p95)):
        assert value in seconds
        assert sum(wait <= value for wait in seconds) >= share * len(seconds)
        assert sum(wait < value for wait in seconds) < share * len(seconds)


def test_usage_of_nothing() -> None:
    assert Usage(days=[NOW.date()]).total == 0
