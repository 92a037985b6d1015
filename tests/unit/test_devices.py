"""The meaning of TRINART_DEVICES."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.devices import DeviceError, default_threads, find_devices, parse_devices

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""However busy the machine is."""

NAMES = st.one_of(st.just("cpu"), st.integers(0, 99).map("cuda:{}".format))
WANTS = st.lists(st.tuples(NAMES, st.integers(1, 99)), min_size=1, max_size=6)
TEXTS = st.one_of(st.text(), st.text(alphabet="cpuda:*,0123456789 ٣", max_size=12))


@given(WANTS, st.sampled_from([",", ", ", " , "]))
@patient
def test_every_device_as_often_as_wanted(wants: list[tuple[str, int]], separator: str) -> None:
    setting = separator.join(name if times == 1 else f"{name}*{times}" for name, times in wants)
    assert parse_devices(setting) == [name for name, times in wants for _ in range(times)]


@given(TEXTS)
@patient
def test_any_text_is_a_list_of_devices_or_refused(setting: str) -> None:
    devices: list[str] | None = None
    with contextlib.suppress(DeviceError):
        devices = parse_devices(setting)
    assert devices is None or devices
    assert all(re.fullmatch(r"cpu|cuda:[0-9]+", device) for device in devices or [])


@pytest.mark.parametrize(
    "setting",
    [
        "",
        ",",
        "cpu,",
        "gpu",
        "cuda",
        "cuda:",
        "cuda:-1",
        "cuda:٣",
        "cpu*0",
        "cpu*00",
        "cpu*100",
        "cpu:0",
        "auto,cpu",
    ],
)
def test_anything_else_is_refused_with_a_sentence(setting: str) -> None:
    with pytest.raises(DeviceError, match=r"\ATRINART_DEVICES is [^\n]*\.\Z"):
        parse_devices(setting)


async def test_a_list_is_taken_as_it_is_and_not_looked_for() -> None:
    assert await find_devices("cuda:7, cpu*2") == ["cuda:7", "cpu", "cpu"]


@given(WANTS)
@patient
def test_every_worker_has_a_thread(wants: list[tuple[str, int]]) -> None:
    assert default_threads([name for name, times in wants for _ in range(times)]) >= 1
