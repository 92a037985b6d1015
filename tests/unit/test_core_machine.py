"""The core's rules driven through anything that may happen: joins, leaves, cancels, deaths, timeouts.

Workers and checker are simulated; no process is started. What is checked after each step: exactly one
terminal event for each accepted job, none before `Accepted`, no picture without its own verdict, each job in
one place, sums that match, and no row left behind.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.core.dispatcher import Dispatcher
from engine.core.fair_queue import FairQueue
from engine.core.load import WorkerLoad
from engine.protocol import (
    Accepted,
    Assign,
    Cancel,
    Cancelled,
    CoreToWorker,
    EngineToBot,
    Failed,
    Finished,
    ModelCard,
    Preview,
    Progress,
    Queued,
    Submit,
    TerminalEvent,
    WorkerReady,
)
from tests.fixtures.engine import make_request
from tests.fixtures.fake_checker import FakeChecker, drawn

CARD = ModelCard(name="none", sizes={"square": (64, 64)})
QUEUE_LIMIT = 6
MAX_BATCH_SIZE = 4
PREVIEW_LIMIT = 0.5
WORKERS = 3


class FakeWorker:
    """A worker process as the core sees it: it is sent messages, and answers when the machine wants."""

    def __init__(self, number: int) -> None:
        self.device = f"fake:{number}"
        self.is_up = False
        self.is_draining = False
        self.steps: dict[str, int] = {}
        self.assigned: dict[str, Assign] = {}
        self.cancels: list[str] = []

    def send(self, message: CoreToWorker) -> None:
        assert self.is_up, "sent to a dead process"
        match message:
            case Assign(job_id):
                assert not self.is_draining, "assigned while the engine drains"
                assert job_id not in self.assigned, "assigned twice"
                self.assigned[job_id] = message
                self.steps[job_id] = 0
            case Cancel(job_id):
                self.cancels.append(job_id)
            case _:
                raise AssertionError(message)

    def forget(self, job_id: str) -> None:
        del self.assigned[job_id], self.steps[job_id]
        self.cancels = [each for each in self.cancels if each != job_id]

    def images(self, *, in_steps: bool) -> int:
        return sum(
            assign.request.num_images_per_prompt
            for job_id, assign in self.assigned.items()
            if not in_steps or self.steps[job_id] < assign.request.num_inference_steps
        )


class CoreMachine(RuleBasedStateMachine):
    """One engine's life."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.sent: list[EngineToBot] = []
        self.accepted: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.deaths: Counter[str] = Counter()
        self.names = 0
        self.checked = 0
        self.draining = False
        self.checker = FakeChecker()
        self.drawn: set[str] = set()
        self.checker_deaths: Counter[str] = Counter()
        self.core = Dispatcher(
            self.sent.append,
            lambda: self.now,
            self.checker,
            queue_limit=QUEUE_LIMIT,
            preview_limit=PREVIEW_LIMIT,
        )
        self.workers = [FakeWorker(number) for number in range(WORKERS)]
        self.unavailable = False

    # --- helpers ---

    def up(self) -> list[FakeWorker]:
        return [worker for worker in self.workers if worker.is_up]

    def busy(self) -> list[FakeWorker]:
        return [worker for worker in self.up() if worker.assigned]

    def alive(self) -> list[str]:
        return [name for name in self.accepted if not self.ended[name]]

    def pick(self, data: st.DataObject) -> tuple[FakeWorker, str]:
        worker = data.draw(st.sampled_from(self.busy()))
        return worker, data.draw(st.sampled_from(sorted(worker.assigned)))

    def end(self, worker: FakeWorker, event: TerminalEvent) -> None:
        worker.forget(event.job_id)
        self.core.worker_event(worker, event)

    def finish_drawing(self, worker: FakeWorker, name: str) -> None:
        images = worker.assigned[name].request.num_images_per_prompt
        self.drawn.add(name)
        self.end(worker, drawn(name, images))

    # --- what the bot does ---

    @rule(
        user=st.sampled_from("ABC"),
        images=st.integers(1, 6),
        weight=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
        deadline=st.sampled_from([0.0, 0.0, 0.5, 100.0]),
        accepted=st.booleans(),
    )
    def submit(self, user: str, images: int, weight: float, deadline: float, accepted: bool) -> None:
        name = f"job-{self.names}"
        self.names += 1
        was_full = len(queue_of(self.core)) >= QUEUE_LIMIT
        request = make_request(num_images_per_prompt=images)
        self.core.submit(Submit(name, request, user, weight, deadline, accepted))
        answer = next(each for each in self.sent[self.checked :] if not isinstance(each, Queued))
        if isinstance(answer, Failed):
            assert not accepted, "a promised job was refused"
            assert answer.code == ("queue_full" if was_full else "deadline")
            assert name not in self.core.jobs
        else:
            assert isinstance(answer, Accepted)
            assert accepted or self.unavailable or not was_full

    @precondition(lambda self: self.alive())
    @rule(data=st.data())
    def submit_again(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.alive()))
        self.core.submit(Submit(name, make_request(), accepted=True))

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.core.cancel(data.draw(st.sampled_from(sorted(self.accepted))))

    @rule()
    def cancel_a_stranger(self) -> None:
        self.core.cancel("nobody's job")

    # --- what workers do ---

    @precondition(lambda self: not self.draining and len(self.up()) < WORKERS)
    @rule(data=st.data(), size=st.sampled_from([1, MAX_BATCH_SIZE]))
    def become_ready(self, data: st.DataObject, size: int) -> None:
        worker = data.draw(st.sampled_from([each for each in self.workers if not each.is_up]))
        worker.is_up = True
        self.core.worker_ready(worker, WorkerReady(CARD, size))

    @precondition(lambda self: self.busy())
    @rule(data=st.data(), steps=st.integers(1, 4), seconds=st.sampled_from([0.0, 0.3]))
    def progress(self, data: st.DataObject, steps: int, seconds: float) -> None:
        self.now += seconds
        worker, name = self.pick(data)
        num_steps = worker.assigned[name].request.num_inference_steps
        worker.steps[name] = min(num_steps, worker.steps[name] + steps)
        self.core.worker_event(worker, Progress(name, worker.steps[name], num_steps))

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def preview(self, data: st.DataObject) -> None:
        worker, name = self.pick(data)
        self.core.worker_event(worker, Preview(name, f"{name}/preview".encode()))

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """Also a job that was cancelled: it was too late."""
        worker, name = self.pick(data)
        self.finish_drawing(worker, name)

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        worker, name = self.pick(data)
        self.end(worker, Failed(name, "generation_error", "the picture has NaN values"))

    @precondition(lambda self: any(worker.cancels for worker in self.up()))
    @rule(data=st.data())
    def confirm_cancel(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from([each for each in self.up() if each.cancels]))
        self.end(worker, Cancelled(worker.cancels[0]))

    @precondition(lambda self: self.up())
    @rule(data=st.data())
    def speak_of_a_strange_job(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.up()))
        strange = [name for name in self.accepted if name not in worker.assigned]
        name = data.draw(st.sampled_from([*strange, "nobody's job"]))
        before = len(self.sent)
        self.core.worker_event(worker, drawn(name))
        assert len(self.sent) == before

    @precondition(lambda self: self.up())
    @rule(data=st.data(), hung=st.sampled_from([0.0, 120.0]))
    def die(self, data: st.DataObject, hung: float) -> None:
        """Killed, or, after some time without a word, by the watchdog."""
        worker = data.draw(st.sampled_from(self.up()))
        self.now += hung
        self.deaths.update(worker.assigned.keys())
        unwanted = set(worker.cancels)
        worker.is_up = False
        worker.assigned.clear()
        worker.steps.clear()
        worker.cancels.clear()
        self.core.worker_lost(worker)
        assert not unwanted & set(self.core.jobs), "a cancel was lost with the worker"

    @precondition(lambda self: not self.up())
    @rule()
    def die_while_loading(self) -> None:
        self.core.worker_lost(self.workers[0])

    @precondition(lambda self: not self.up() and self.names > 8)
    @rule()
    def give_up(self) -> None:
        self.unavailable = True
        self.core.become_unavailable("nothing works")

    # --- what the checker does ---

    @precondition(lambda self: not self.checker.is_ready)
    @rule()
    def checker_becomes_ready(self) -> None:
        self.checker.become_ready(self.core.checks)

    @precondition(lambda self: self.checker.has)
    @rule(score=st.sampled_from([0.0, 0.4, 0.6, 1.0, math.nan, -0.1, 1.1]))
    def checker_says(self, score: float) -> None:
        before, picture = len(self.sent), self.checker.picture
        self.checker.say(self.core.checks, score)
        name = picture.partition("/")[0]
        if not 0 <= score <= 1:
            assert not any(isinstance(each, (Finished, Preview)) for each in self.sent[before:])
            assert picture.endswith("preview") or name not in self.core.checks
        if score > PREVIEW_LIMIT:
            assert not any(isinstance(each, Preview) for each in self.sent[before:])

    @precondition(lambda self: self.checker.has)
    @rule()
    def checker_fails(self) -> None:
        before = len(self.sent)
        self.checker.fail(self.core.checks)
        assert not any(isinstance(each, (Finished, Preview)) for each in self.sent[before:])

    @precondition(lambda self: self.checker.is_ready)
    @rule()
    def checker_dies(self) -> None:
        name, _, part = self.checker.picture.partition("/")
        if part != "preview":
            self.checker_deaths[name] += 1
        self.checker.die(self.core.checks)

    @precondition(lambda self: not self.checker.is_ready and self.names > 8)
    @rule()
    def checker_is_given_up(self) -> None:
        self.unavailable = True
        self.core.checks.give_up("no checker")
        self.core.become_unavailable("no checker")
        assert not self.core.jobs
        for worker in self.workers:
            assert worker.assigned.keys() <= {*worker.cancels}, "draws for nobody"
            for name in list(worker.assigned):
                worker.forget(name)

    # --- time, and the end ---

    @rule(seconds=st.sampled_from([0.1, 1.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def announce(self) -> None:
        self.core.announce()
        told = [each for each in self.sent[self.checked :] if isinstance(each, Queued)]
        assert len({each.position for each in told}) == len(told)
        self.core.announce()
        assert len([each for each in self.sent[self.checked :] if isinstance(each, Queued)]) == len(told)

    @precondition(lambda self: self.names > 6)
    @rule()
    def drain(self) -> None:
        self.draining = True
        for worker in self.workers:
            worker.is_draining = True
        self.core.drain()

    # --- what must hold ---

    @invariant()
    def all_is_well(self) -> None:
        self.one_terminal_event_for_each_accepted_job()  # first: it takes note of what was sent
        self.each_job_is_in_one_place()
        self.the_queue_is_consistent()
        self.loads_match()
        self.no_batch_is_overfull_and_suspects_are_alone()
        self.nobody_waits_for_an_idle_worker()

    def one_terminal_event_for_each_accepted_job(self) -> None:
        for event in self.sent[self.checked :]:
            match event:
                case Accepted(name):
                    assert not self.accepted[name], "accepted twice"
                    self.accepted[name] += 1
                case Failed(name, "queue_full" | "deadline"):
                    assert not self.accepted[name], "refused after it was accepted"
                case Finished(name) | Failed(name) | Cancelled(name):
                    assert self.accepted[name], "ended before it was accepted"
                    self.ended[name] += 1
                    assert self.ended[name] == 1, "ended twice"
                    if isinstance(event, Finished):
                        self.each_picture_has_its_own_verdict(event)
                    if isinstance(event, Failed) and event.code == "worker_lost":
                        assert self.deaths[name] == 2
                        assert name in event.detail
                case Progress(name) | Preview(name) | Queued(name):
                    if isinstance(event, Preview):
                        assert event.verdict is not None
                        assert event.verdict.pdq == event.png.decode() == f"{name}/preview"
                    assert self.accepted[name]
                    assert not self.ended[name], "spoken of after its end"
                    eta = None if isinstance(event, Preview) else event.eta_seconds
                    assert eta is None or (eta >= 0 and math.isfinite(eta))
                case _:
                    pass
        self.checked = len(self.sent)

    def each_picture_has_its_own_verdict(self, event: Finished) -> None:
        assert event.job_id in self.drawn
        for number, image in enumerate(event.images):
            assert image.verdict is not None
            assert image.verdict.pdq == image.png.decode() == f"{event.job_id}/{number}"
            assert 0 <= image.verdict.scores["sexual"] <= 1
        assert self.checker_deaths[event.job_id] < 2

    def each_job_is_in_one_place(self) -> None:
        waiting = [job.job_id for job in queue_of(self.core)]
        on_workers = [name for worker in self.workers for name in worker.assigned]
        checked = [name for name in self.alive() if name in self.core.checks]
        assert Counter(waiting + on_workers + checked) == Counter(self.alive())
        assert len(self.core.checks) == len(checked)
        assert self.checker.has or not checked or not self.checker.is_ready, "nobody looks"
        assert set(self.core.jobs) == set(self.alive())
        assert all(self.deaths[name] < 2 for name in self.alive()), "on a third worker"
        assert all(name.startswith("job-") for name in waiting)
        assert not self.unavailable or not waiting

    def the_queue_is_consistent(self) -> None:
        queue = queue_of(self.core)
        order = [job.job_id for job in queue.order()]
        assert sorted(order) == sorted(job.job_id for job in queue)
        assert len(order) == len(queue)
        fresh = {job.user for job in queue if not job.is_suspect}
        assert queue.users == len(fresh)
        assert queue.entries <= 2 * queue.users + 17
        assert queue.users or not queue.entries

    def loads_match(self) -> None:
        for load in loads_of(self.core):
            worker: Any = load.handle
            assert set(load.jobs) == set(worker.assigned)
            work = sum(job.cost * (1 - job.done) for job in load.jobs.values())
            assert load.outstanding == pytest.approx(work, abs=1e-3)
            assert load.images_in_steps == worker.images(in_steps=True)
            assert load.images == worker.images(in_steps=False)
            assert load.is_ready == worker.is_up

    def no_batch_is_overfull_and_suspects_are_alone(self) -> None:
        for load in loads_of(self.core):
            in_steps = [job for job in load.jobs.values() if job.in_steps]
            assert len(in_steps) <= 1 or load.images_in_steps <= load.max_batch_size
            assert not load.has_suspect or len(load.jobs) == 1

    def nobody_waits_for_an_idle_worker(self) -> None:
        """But for those with which a worker died, who share the half of the workers."""
        idle = [load for load in loads_of(self.core) if load.is_ready and not load.jobs]
        fresh = [job for job in queue_of(self.core) if not job.is_suspect]
        assert not idle or not fresh or self.draining or self.core.checks.is_full

    def teardown(self) -> None:
        """Everything that was accepted comes to an end once nothing goes wrong any more."""
        if not self.draining:
            self.let_all_finish()
            assert not self.alive()
            assert len(queue_of(self.core)) == 0
        self.one_terminal_event_for_each_accepted_job()
        self.loads_match()
        self.the_queue_is_consistent()

    def let_all_finish(self) -> None:
        for worker in self.workers:
            if not worker.is_up and not self.unavailable:
                worker.is_up = True
                self.core.worker_ready(worker, WorkerReady(CARD, MAX_BATCH_SIZE))
        if not self.checker.is_ready:
            self.checker.become_ready(self.core.checks)
        while self.busy() or self.checker.has:
            for worker in self.busy():
                self.finish_drawing(worker, next(iter(worker.assigned)))
            if self.checker.has:
                self.checker.say(self.core.checks)
        self.one_terminal_event_for_each_accepted_job()


def queue_of(core: Dispatcher) -> FairQueue:
    return core._queue  # pyright: ignore[reportPrivateUsage]


def loads_of(core: Dispatcher) -> list[WorkerLoad]:
    return list(core._loads.values())  # pyright: ignore[reportPrivateUsage]


def run_machine(examples: int) -> None:
    """Run many lives of the core."""
    run_state_machine_as_test(
        CoreMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
        ),
    )


def test_whatever_happens_every_job_ends_once() -> None:
    run_machine(1000)
