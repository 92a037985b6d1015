"""Which samples a failing call costs, and how much room it finds in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.worker.halving import call_or_halve
from engine.worker.interfaces import DeviceLost, OutOfMemory, Sample


@dataclass(frozen=True)
class Numbered:
    index: int
    shape: tuple[int, ...] = (8, 8)
    done: float = 0.0

    @property
    def job_id(self) -> str:
        return f"job-{self.index}"


class Calls:
    """Calls that fail for some samples, and with more samples than there is memory for."""

    def __init__(self, *, poison: Collection[int] = (), memory: int = 1000) -> None:
        self.poison = poison
        self.memory = memory
        self.done: list[int] = []
        self.failed: list[int] = []

    def __call__(self, samples: Sequence[Sample]) -> None:
        if len(samples) > self.memory:
            raise OutOfMemory(len(samples))
        if any(sample.index in self.poison for sample in samples):
            raise ValueError("poison")
        self.done += [sample.index for sample in samples]

    def run(self, count: int) -> int:
        return call_or_halve(
            self,
            [Numbered(index) for index in range(count)],
            is_wanted=lambda sample: sample.index not in self.failed,
            fail=lambda sample, _: self.failed.append(sample.index),
        )


@given(st.integers(1, 40), st.sets(st.integers(0, 40)), st.integers(1, 50))
def test_only_those_to_blame_fail_and_each_other_sample_has_one_call(
    count: int, poison: set[int], memory: int
) -> None:
    calls = Calls(poison=poison, memory=memory)
    room = calls.run(count)
    assert calls.failed == sorted(poison & set(range(count)))
    assert calls.done == [index for index in range(count) if index not in poison]
    assert min(count, memory + 1) // 2 <= room <= min(count, memory), "halving loses at most half of it"


@given(st.integers(2, 40), st.sets(st.integers(0, 40)))
def test_a_failure_that_is_not_about_memory_makes_no_batch_smaller(count: int, poison: set[int]) -> None:
    assert Calls(poison=poison).run(count) == count


def test_a_lost_device_is_nobodys_failure() -> None:
    calls = Calls()

    def lost(_samples: Sequence[Sample]) -> None:
        raise DeviceLost

    with pytest.raises(DeviceLost):
        call_or_halve(
            lost,
            [Numbered(0)],
            is_wanted=lambda _: True,
            fail=lambda sample, _: calls.failed.append(sample.index),
        )
    assert not calls.failed
