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


async def test_each_device_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that draw, and those that cannot, with the reason."""
    # The check sets the level for its own process, which here is everybody's.
    monkeypatch.setenv("TRINART_LOG_LEVEL", "ERROR")
    settings = Settings(model="demo", devices="cpu*2,cuda:99", data_dir=tmp_path)
    finding = (await doctor.examine(settings))[-1]
    assert not finding.ok
    loads, other = finding.text.split("; ")
    assert loads.endswith(" on cpu, cpu")
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
        findings = await doctor.examine(settings, fix=True)
        assert findings[-1].ok
        assert findings[-1].text.endswith(" on cpu")
        (finding,) = [each for each in findings if each.check == "Accounts"]
        assert finding.ok
        assert finding.text == f"mended: reservations of jobs that do not exist: 1 ({job.id})"
        assert not await find_discrepancies(database, settings.pictures_dir, utc_now())
