"""Two clocks that the same benchmark runs on, and what was finished when."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.trace import Arrival


class Clock(Protocol):
    """Seconds since it was made."""

    def now(self) -> float: ...

    def wait_until(self, moment: float) -> None:
        """Nothing is to be done before then."""
        ...


class CpuClock:
    """The CPU time of this process, so that what else the machine does hardly matters. Waiting is a leap."""

    def __init__(self) -> None:
        self._start = time.process_time()
        self._leapt = 0.0

    def now(self) -> float:
        return time.process_time() - self._start + self._leapt

    def wait_until(self, moment: float) -> None:
        self._leapt += max(0.0, moment - self.now())


class WallClock:
    """The clock on the wall, for devices that work beside the CPU."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def now(self) -> float:
        return time.perf_counter() - self._start

    def wait_until(self, moment: float) -> None:
        time.sleep(max(0.0, moment - self.now()))


@dataclass
class Outcome:
    """What became of a trace: by request, how long it took from its arrival, and its last latent."""

    arrivals: Sequence[Arrival]
    clock: Clock
    seconds: dict[int, float] = field(default_factory=dict[int, float])
    latents: dict[int, Any] = field(default_factory=dict[int, Any])
    total: float = 0.0

    def finish(self, number: int) -> None:
        """Request `number` has its picture."""
        now = self.clock.now()
        self.seconds[number] = now - self.arrivals[number].at
        self.total = max(self.total, now)

    @property
    def pictures_per_second(self) -> float:
        """Over the whole trace, its end included, where the last batch runs empty."""
        return len(self.seconds) / self.total

    def percentile(self, share: float) -> float:
        """The time that this share of the requests did not exceed."""
        ordered = sorted(self.seconds.values())
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def within(self, limit: float) -> float:
        """Pictures a second that took at most `limit` seconds."""
        return sum(seconds <= limit for seconds in self.seconds.values()) / self.total
