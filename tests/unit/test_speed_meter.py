"""The speed of a worker, from which members are told how long they wait: steady, and never out of date."""

from __future__ import annotations

from typing import Any

import pytest

from engine.core.load import SpeedMeter


def about(speed: float) -> Any:
    """Within 5 %."""
    return pytest.approx(speed, rel=0.05)


class Worker:
    """Reports work at a given speed on a clock of its own."""

    def __init__(self) -> None:
        self.meter = SpeedMeter()
        self._now = 1000.0
        self.meter.begin(self._now)

    def works(self, speed: float, *, seconds: float, every: float = 1.0) -> None:
        """Do work at this speed, and report it once in `every` seconds."""
        for _ in range(round(seconds / every)):
            self._now += every
            self.meter.add(speed * every, self._now)


@pytest.mark.parametrize("outlier", [1.0, 1000.0])
def test_one_outlier_moves_the_speed_only_a_little(outlier: float) -> None:
    worker = Worker()
    worker.works(100.0, seconds=60)
    worker.works(outlier, seconds=0.25, every=0.25)
    assert worker.meter.speed != 100.0, "it was long enough to be measured"
    assert 80 < (worker.meter.speed or 0) < 120


@pytest.mark.parametrize("every", [0.0625, 1.0, 10.0])
def test_a_lasting_change_is_followed_within_a_minute_however_often_it_is_told(every: float) -> None:
    worker = Worker()
    worker.works(100.0, seconds=60, every=every)
    assert worker.meter.speed == about(100.0)
    worker.works(50.0, seconds=60, every=every)
    assert worker.meter.speed == about(50.0)


def test_work_of_a_moment_waits_until_there_is_time_to_measure_it_by() -> None:
    worker = Worker()
    for _ in range(2):  # two jobs, at the same moment of the clock
        worker.meter.add(12.5, 1000.0)
    assert worker.meter.speed is None
    worker.works(300.0, seconds=0.25, every=0.125)
    assert worker.meter.speed == about(400.0)
