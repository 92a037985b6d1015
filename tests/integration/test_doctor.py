"""What `trinart doctor` says of the engine, with real workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot import doctor
from bot.database.models import JobRow
from bot.database.session import Database
from bot.jobs import Origin, utc_now
from bot.ledger import close_job
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
        reservations = Reservations(database)
        lost, overpaid, underpaid = [
            await reservations.reserve(REQUEST, Origin(interaction_id=number, user_id=1, guild_id=5))
            for number in range(3)
        ]

        async def disagree(session: AsyncSession) -> None:
            await session.execute(delete(JobRow).where(JobRow.id == lost.id))
            for job, used, state in (
                (overpaid, overpaid.cost, "failed"),
                (underpaid, 0, "delivered"),
            ):
                await close_job(session, job.id, used=used, reason="by hand", now=utc_now())
                await session.execute(update(JobRow).where(JobRow.id == job.id).values(state=state))

        await database.write(disagree)
        findings = await doctor.examine(settings, fix=True)
        assert findings[-1].ok
        assert findings[-1].text.endswith(" on cpu")
        (finding,) = [each for each in findings if each.check == "Accounts"]
        assert finding.ok
        assert finding.text.split("; ") == [
            f"mended: reservations of jobs that do not exist: 1 ({lost.id})",
            f"mended: ended jobs that took too much: 1 ({overpaid.id})",
            f"ended jobs that took too little, which is left to their members: 1 ({underpaid.id})",
        ]
        assert not (await find_discrepancies(database, settings.pictures_dir, utc_now())).can_be_mended
