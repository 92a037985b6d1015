"""The worker's batching loop driven through anything that may happen, one turn at a time, on one thread.

The model is a toy that counts calls, and fails when it is told to. Checked after every turn: each job that
was assigned ends once (failed, cancelled, or all its pictures decoded), nothing is said of it afterwards, and
the loop keeps nothing of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.protocol import Assign, Cancel, Drain, ModelCard
from engine.worker import loop as loop_module
from engine.worker.interfaces import OutOfMemory, Pending, Pixels, Sample
from engine.worker.loop import BatchingLoop
from tests.fixtures.engine import make_request

MAX_BATCH_SIZE = 4
PICTURE: Pixels = np.zeros((8, 8, 3), np.uint8)

FAULTS = ("", "start", "step", "decode", "preview")
"""What fails for a job: nothing, or the named call, each time."""


@dataclass(eq=False, kw_only=True)
class ToySample:
    job: Assign
    index: int
    calls: int = 0

    @property
    def job_id(self) -> str:
        return self.job.job_id

    @property
    def shape(self) -> tuple[int, int]:
        return self.job.request.height, self.job.request.width

    @property
    def done(self) -> float:
        return self.calls / self.job.request.num_inference_steps

    @property
    def is_middle(self) -> bool:
        return self.index == self.job.request.num_images_per_prompt // 2

    @property
    def fault(self) -> str:
        return self.job.request.prompt


@dataclass
class ToyModel:
    """Fails for jobs whose prompt says so, and has memory for `memory` samples."""

    card: ModelCard = field(default_factory=lambda: ModelCard(name="toy", sizes={"square": (64, 64)}))
    max_batch_size: int = MAX_BATCH_SIZE
    memory: int = MAX_BATCH_SIZE
    ends: Counter[str] = field(default_factory=Counter[str])
    """How often jobs have ended, as `Notes` has it."""

    def start(self, job: Assign) -> Sequence[ToySample]:
        if job.request.prompt == "start":
            raise ValueError("start, as asked")
        return [ToySample(job=job, index=index) for index in range(job.request.num_images_per_prompt)]

    def step(self, samples: Sequence[ToySample]) -> None:
        self._check(samples)
        assert len(samples) <= MAX_BATCH_SIZE
        assert all(sample.done < 1 for sample in samples), "a step too many"
        if len(samples) > self.memory:
            raise OutOfMemory(f"{len(samples)} samples")
        if any(sample.fault == "step" and sample.calls and sample.is_middle for sample in samples):
            raise RuntimeError("step, as asked")
        for sample in samples:
            sample.calls += 1

    def decode(self, samples: Sequence[ToySample]) -> Pending:
        self._check(samples)
        assert all(sample.done >= 1 for sample in samples), "decoded before it was done"
        if len(samples) > self.memory:
            raise OutOfMemory(f"{len(samples)} pictures")
        if any(sample.fault == "decode" for sample in samples):
            raise OutOfMemory("decode, as asked")
        return lambda: [PICTURE] * len(samples)

    def preview(self, sample: ToySample) -> Pending:
        if sample.fault == "preview":
            raise RuntimeError("preview, as asked")
        return lambda: [PICTURE]

    def _check(self, samples: Sequence[ToySample]) -> None:
        assert samples, "a call for nothing"
        assert not any(self.ends[sample.job_id] for sample in samples), "drawn after its job's end"
        assert len({sample.shape for sample in samples}) == 1
        assert len(set(map(id, samples))) == len(samples), "a sample twice in a batch"


class Notes:
    """Hears what the loop says."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.failed: set[str] = set()
        self.steps: dict[str, int] = {}
        self.decoded: dict[str, set[int]] = {}
        self.wanted: dict[str, int] = {}

    def on_step(self, job_id: str, step: int, num_steps: int) -> None:
        self._lives(job_id)
        assert self.steps.get(job_id, 0) < step <= num_steps, "steps go up"
        self.steps[job_id] = step

    def on_preview(self, job_id: str, pending: Pending) -> None:
        self._lives(job_id)

    def on_decoded(self, samples: Sequence[Sample], pending: Pending) -> None:
        assert len(pending()) == len(samples)
        for sample in samples:
            self._lives(sample.job_id)
            indices = self.decoded.setdefault(sample.job_id, set())
            assert sample.index not in indices, "decoded twice"
            indices.add(sample.index)
            if len(indices) == self.wanted[sample.job_id]:
                self.ends[sample.job_id] += 1

    def on_failed(self, job_id: str, error: Exception) -> None:
        self._lives(job_id)
        self.failed.add(job_id)
        self.ends[job_id] += 1

    def on_cancelled(self, job_id: str) -> None:
        self._lives(job_id)
        self.ends[job_id] += 1

    def _lives(self, job_id: str) -> None:
        assert job_id in self.wanted
        assert not self.ends[job_id], "spoken of after its end"


class BatchingMachine(RuleBasedStateMachine):
    """One worker's life."""

    def __init__(self) -> None:
        super().__init__()
        self.notes = Notes()
        self.model = ToyModel(ends=self.notes.ends)
        self.loop = BatchingLoop(self.model, self.notes)
        self.faults: dict[str, str] = {}
        self.posted = 0

    def alive(self) -> list[str]:
        return [name for name in self.faults if not self.notes.ends[name]]

    @rule(
        images=st.integers(1, 5),
        side=st.sampled_from([64, 128]),
        steps=st.integers(1, 4),
        fault=st.sampled_from([*[""] * len(FAULTS), *FAULTS]),
    )
    def assign(self, images: int, side: int, steps: int, fault: str) -> None:
        name = f"job-{len(self.faults)}"
        request = make_request(
            fault, num_images_per_prompt=images, height=side, width=side, num_inference_steps=steps
        )
        self.faults[name] = fault
        self.notes.wanted[name] = images
        self.loop.post(Assign(name, request))
        self.posted += 1

    @precondition(lambda self: self.faults)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Also of a job that has ended."""
        self.loop.post(Cancel(data.draw(st.sampled_from(sorted(self.faults)))))
        self.posted += 1

    @rule(memory=st.integers(1, MAX_BATCH_SIZE))
    def memory_changes(self, memory: int) -> None:
        self.model.memory = memory

    @precondition(lambda self: self.alive())
    @rule(turns=st.integers(1, 4))
    def turn(self, turns: int) -> None:
        for _ in range(turns):
            assert self.loop.turn(wait=False)
            self.posted = 0

    @invariant()
    def nothing_is_lost_or_kept(self) -> None:
        if self.posted:
            return  # the loop has not read everything yet
        state: Any = self.loop
        running = [sample for batch in state._running.values() for sample in batch]
        places = [*running, *state._waiting, *state._decoding]
        assert len(set(map(id, places))) == len(places), "a sample in two places"
        assert {sample.job_id for sample in places} == set(self.alive()) == set(state._jobs)
        assert all(state._running.values()), "an empty batch was kept"
        assert all(len(batch) <= MAX_BATCH_SIZE for batch in state._running.values())
        for name in self.alive():
            missing = set(range(self.notes.wanted[name])) - self.notes.decoded.get(name, set())
            assert {sample.index for sample in places if sample.job_id == name} == missing
        for name in self.notes.failed:
            assert self.faults[name] not in ("", "preview"), "a job failed that nothing was wrong with"

    def teardown(self) -> None:
        self.loop.post(Drain())
        for _ in range(2000):
            if not self.loop.turn(wait=False):
                break
        assert not self.alive()
        self.posted = 0
        self.nothing_is_lost_or_kept()


def test_whatever_happens_every_job_of_a_worker_ends_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(loop_module, "PREVIEW_SECONDS", 0.0)
    run_state_machine_as_test(
        BatchingMachine,
        settings=settings(
            max_examples=1000,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
        ),
    )
