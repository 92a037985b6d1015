"""What `trinart doctor` says of the engine, with real workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from bot import doctor
from bot.database.models import JobRow
from bot.database.session import Database
from bot.jobs import Origin, utc_now
from bot.reconcile import find_discrepancies
from bot.reservations import Reservations
from bot.settings import Settings
from tests.fixtures.stored import REQUEST


async def engine_finding(folder: Path, devices: str, monkeypatch: pytest.MonkeyPatch) -> doctor.Finding:
    """The last check, for these devices."""
    # The check sets the level for its own process, which here is everybody's.
    monkeypatch.setenv("TRINART_LOG_LEVEL", "ERROR")
    findings = await doctor.examine(Settings(model="demo", devices=devices, data_dir=folder))
    return findings[-1]


async def test_all_devices_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = await engine_finding(tmp_path, "cpu*2", monkeypatch)
    assert finding.ok
    assert finding.text.endswith(" on cpu, cpu")


async def test_a_device_that_cannot_be_used_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = await engine_finding(tmp_path, "cpu,cuda:99", monkeypatch)
    assert not finding.ok
    loads, other = finding.text.split("; ")
    assert loads.endswith(" on cpu")
    assert other.startswith("cuda:99 cannot be used (")
    assert "TRINART_DEVICES names cuda:99" in other


async def test_fix_mends_what_jobs_ledger_and_files_disagree_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRINART_LOG_LEVEL", "ERROR")
    settings = Settings(model="demo", devices="cpu", data_dir=tmp_path)
    async with Database.connect(settings.resolved_database_url) as database:
        job = await Reservations(database).reserve(REQUEST, Origin(interaction_id=1, user_id=1, guild_id=5))

        async def lose(session: AsyncSession) -> None:
            await session.execute(delete(JobRow))

        await database.write(lose)
        (finding,) = [each for each in await doctor.examine(settings, fix=True) if each.check == "Accounts"]
        assert finding.ok
        assert finding.text == f"mended: reservations of jobs that do not exist: 1 ({job.id})"
        assert not await find_discrepancies(database, settings.pictures_dir, utc_now())
