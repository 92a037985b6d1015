"""The worker's batching loop driven through anything that may happen, one turn at a time, on one thread.

The model is a toy that counts calls, and fails when it is told to. Checked after every turn: each job that
was assigned ends once (failed, cancelled, or all its pictures decoded), nothing is said of it afterwards, and
the loop keeps nothing of it.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.protocol import Assign, Cancel, Drain
from engine.worker import loop as loop_module
from engine.worker.loop import BatchingLoop
from tests.fixtures.engine import make_request
from tests.fixtures.toy_model import MAX_BATCH_SIZE, Notes, ToyModel

FAULTS = ("", "start", "step", "decode", "preview")
"""What fails for a job: nothing, or the named call, each time."""


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
