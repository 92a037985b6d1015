"""What `trinart doctor` says of the engine, with real workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot import doctor
from bot.settings import Settings


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
