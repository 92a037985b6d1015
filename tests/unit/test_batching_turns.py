"""Whose step is next when a worker draws several sizes at once: all get the same time, none catches up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from engine.protocol import Assign
from engine.worker.interfaces import Shape
from engine.worker.loop import BatchingLoop
from tests.fixtures.engine import make_request
from tests.fixtures.toy_model import Notes, ToyModel, ToySample

SMALL = (64, 64)
LARGE = (128, 128)
WIDE = (32, 128)
"""As many pixels as SMALL, in another shape."""

LONG = 10_000
"""Steps of a job that outlives its test."""


@dataclass
class RecordingModel(ToyModel):
    """Keeps the shape of every call."""

    calls: list[Shape] = field(default_factory=list[Shape])

    def step(self, samples: Sequence[ToySample]) -> None:
        super().step(samples)
        self.calls.append(samples[0].shape)


class Bench:
    """A loop with long jobs. It is turned by hand: as long as there is work, every turn makes one call."""

    def __init__(self) -> None:
        self._notes = Notes()
        self._model = RecordingModel(ends=self._notes.ends)
        self._loop = BatchingLoop(self._model, self._notes)

    def assign(self, shape: Shape, *, images: int = 1, steps: int = LONG) -> None:
        """Give the loop a job, to be read at its next turn."""
        name = f"job-{len(self._notes.wanted)}"
        self._notes.wanted[name] = images
        request = make_request(
            "", height=shape[0], width=shape[1], num_images_per_prompt=images, num_inference_steps=steps
        )
        self._loop.post(Assign(name, request))

    def turns(self, count: int) -> list[Shape]:
        """Make so many turns; the shapes of their calls."""
        begin = len(self._model.calls)
        for _ in range(count):
            assert self._loop.turn(wait=False)
        return self._model.calls[begin:]


def takes_every_other(shape: Shape, calls: Sequence[Shape]) -> bool:
    """Whether no two calls in a row are for, or not for, this shape."""
    return all((one == shape) != (other == shape) for one, other in pairwise(calls))


def test_a_size_of_four_times_the_area_gets_a_quarter_of_the_calls() -> None:
    bench = Bench()
    bench.assign(LARGE, images=2)  # how many share a call changes nothing
    bench.assign(SMALL)
    calls = bench.turns(500)
    assert Counter(calls) == {SMALL: 400, LARGE: 100}
    # Evenly, too: a picture that waits for all of another's calls first would have the same sums.
    assert all(Counter(calls[begin : begin + 5])[LARGE] == 1 for begin in range(0, 500, 5))


def test_a_shape_that_joins_late_takes_every_other_call_at_once() -> None:
    bench = Bench()
    bench.assign(SMALL)
    assert Counter(bench.turns(100)) == {SMALL: 100}
    bench.assign(WIDE)
    assert takes_every_other(WIDE, bench.turns(20))


def test_a_shape_that_was_gone_for_a_while_has_no_time_to_catch_up_on() -> None:
    bench = Bench()
    bench.assign(SMALL)
    bench.assign(WIDE, steps=3)
    assert Counter(bench.turns(100)) == {SMALL: 97, WIDE: 3}
    bench.assign(WIDE)
    assert takes_every_other(WIDE, bench.turns(20))


def test_jobs_that_join_a_shape_on_its_way_bring_it_no_time() -> None:
    bench = Bench()
    bench.assign(SMALL)
    bench.assign(LARGE)
    for _ in range(60):  # with every call for the large ones three of these leave, and three join
        bench.assign(LARGE, steps=1)
    assert Counter(bench.turns(100)) == {SMALL: 80, LARGE: 20}
