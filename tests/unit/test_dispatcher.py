"""Where jobs go: the rules of placing, one at a time. That none of them loses a job: test_core_machine.py."""

from __future__ import annotations

from typing import Any

import pytest

from engine.core.dispatcher import Dispatcher
from engine.core.jobs import step_work
from engine.protocol import (
    Assign,
    CoreToWorker,
    EngineToBot,
    Failed,
    Finished,
    ModelCard,
    Progress,
    Queued,
    Submit,
    WorkerReady,
)
from tests.fixtures.engine import make_request
from tests.fixtures.fake_checker import FakeChecker

CARD = ModelCard(name="none", sizes={"square": (64, 64)})


def about(seconds: float) -> Any:
    """A float that is not compared to the last digit."""
    return pytest.approx(seconds)


class Note:
    """A worker that only notes what it is sent."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.jobs: list[str] = []

    def send(self, message: CoreToWorker) -> None:
        if isinstance(message, Assign):
            self.jobs.append(message.job_id)


class Desk:
    """A Dispatcher with workers that have room for four images."""

    def __init__(self, workers: int = 1) -> None:
        self.now = 0.0
        self.sent: list[EngineToBot] = []
        self.checker = FakeChecker()
        self.core = Dispatcher(
            self.sent.append, lambda: self.now, self.checker, queue_limit=10, preview_limit=0.5
        )
        self.workers = [Note(f"fake:{number}") for number in range(workers)]
        for worker in self.workers:
            self.make_ready(worker)

    def make_ready(self, worker: Note) -> None:
        self.core.worker_ready(worker, WorkerReady(CARD, 4))

    def submit(
        self, name: str, *, images: int = 1, steps: int = 4, user: str = "", deadline: float = 0
    ) -> None:
        request = make_request(num_images_per_prompt=images, num_inference_steps=steps)
        self.core.submit(Submit(name, request, user=user, deadline_seconds=deadline))

    def progress(self, worker: Note, name: str, step: int, *, of: int = 4, seconds: float = 0) -> None:
        self.now += seconds
        self.core.worker_event(worker, Progress(name, step, of))

    def finish(self, worker: Note, name: str) -> None:
        self.core.worker_event(worker, Finished(name, [], 1.0))

    def lose(self, worker: Note) -> None:
        worker.jobs.clear()
        self.core.worker_lost(worker)


def test_cost_is_images_times_calls_times_rows_times_pixels() -> None:
    assert step_work(make_request(num_images_per_prompt=3, num_inference_steps=5)) == 3 * 5 * 2 * 64 * 64
    assert step_work(make_request(num_inference_steps=5, guidance_scale=1.0)) == 5 * 64 * 64
    assert step_work(make_request(num_inference_steps=5, sampler="Heun")) == 10 * 2 * 64 * 64
    assert step_work(make_request(num_inference_steps=8, init_image=b"png", strength=0.5)) == 4 * 2 * 64 * 64


def test_a_job_goes_where_the_least_is_left_to_do() -> None:
    desk = Desk(workers=2)
    first, second = desk.workers
    desk.submit("long", steps=40)
    desk.submit("short", steps=20)
    desk.progress(first, "long", 30, of=40)  # 10 steps are left there, and 20 on the other
    desk.submit("next")
    assert (first.jobs, second.jobs) == (["long", "next"], ["short"])


def test_a_job_past_its_steps_makes_room() -> None:
    desk = Desk()
    (worker,) = desk.workers
    desk.submit("first", images=4)
    desk.submit("second", images=4)
    desk.progress(worker, "first", 3)
    assert worker.jobs == ["first"]
    desk.progress(worker, "first", 4)
    assert worker.jobs == ["first", "second"]


def test_a_worker_that_is_slow_to_decode_does_not_collect_jobs() -> None:
    desk = Desk()
    (worker,) = desk.workers
    for number in range(5):
        desk.submit(f"job{number}", images=4)
        desk.progress(worker, worker.jobs[-1], 4)
    assert len(worker.jobs) == 3
    desk.finish(worker, "job0")
    assert len(worker.jobs) == 4


def test_a_job_larger_than_a_batch_gets_a_worker_for_its_steps() -> None:
    desk = Desk()
    desk.submit("huge", images=9)
    desk.submit("small")
    assert desk.workers[0].jobs == ["huge"]


def test_a_job_that_fits_nowhere_keeps_one_worker_and_the_others_go_on() -> None:
    desk = Desk(workers=2)
    less, more = desk.workers
    desk.submit("less", images=2, steps=4)
    desk.submit("more", images=2, steps=40)
    desk.submit("large", images=4, user="A")
    for number in range(3):
        desk.submit(f"small{number}", user="B")
    assert less.jobs == ["less"], "it is kept for the large one"
    assert more.jobs == ["more", "small0", "small1"]
    desk.progress(less, "less", 4)
    assert less.jobs == ["less", "large"]


def test_jobs_of_a_dead_worker_are_drawn_one_by_one() -> None:
    desk = Desk()
    (worker,) = desk.workers
    for name in "abc":
        desk.submit(name)
    desk.lose(worker)
    desk.submit("innocent")
    desk.make_ready(worker)
    assert worker.jobs == ["a"]
    desk.progress(worker, "a", 4)
    assert worker.jobs == ["a"], "not even while it is decoded"
    for name in "abc":
        desk.finish(worker, name)
    assert worker.jobs == ["a", "b", "c", "innocent"]


def test_suspects_leave_half_of_the_workers_to_the_others() -> None:
    desk = Desk(workers=2)
    dying, living = desk.workers
    for name in "abcd":
        desk.submit(name)
    assert (dying.jobs, living.jobs) == (["a", "c"], ["b", "d"])
    desk.lose(dying)
    desk.make_ready(dying)
    desk.submit("new")
    assert (dying.jobs, living.jobs) == (["a"], ["b", "d", "new"])
    desk.finish(dying, "a")
    assert (dying.jobs, living.jobs) == (["a", "c"], ["b", "d", "new"])


def test_a_job_fails_with_its_second_worker() -> None:
    desk = Desk()
    (worker,) = desk.workers
    desk.submit("killer")
    desk.lose(worker)
    desk.make_ready(worker)
    desk.lose(worker)
    assert desk.sent[-1] == Failed("killer", "worker_lost", "the workers of job killer died: fake:0, fake:0")


def test_the_time_left_comes_from_the_measured_speed() -> None:
    desk = Desk()
    (worker,) = desk.workers
    desk.submit("drawn", images=4)
    desk.submit("waiting", images=4)
    desk.core.announce()
    assert desk.sent[-1] == Queued("waiting", 1, None), "nothing is known yet"
    desk.progress(worker, "drawn", 1, seconds=2.0)
    desk.progress(worker, "drawn", 2, seconds=2.0)
    assert desk.sent[-1] == Progress("drawn", 2, 4, about(4.0))
    desk.core.announce()
    assert desk.sent[-1] == Queued("waiting", 1, about(12.0))  # two steps, and then its own four
    desk.submit("late", images=4, deadline=19.0)
    assert desk.sent[-1] == Failed("late", "deadline", "it would take 20.0 s, and has 19.0 s")
    desk.core.announce()
    assert desk.sent[-1] == Failed("late", "deadline", "it would take 20.0 s, and has 19.0 s"), "all was told"


def test_the_speed_does_not_fall_while_there_is_nothing_to_do() -> None:
    desk = Desk()
    (worker,) = desk.workers
    for name in "ab":
        desk.submit(name)
        for step in range(1, 5):
            desk.progress(worker, name, step, seconds=1.0)
        desk.finish(worker, name)
        desk.now += 1000.0
    for name in "cd":
        desk.submit(name, images=4)
    desk.core.announce()
    assert desk.sent[-1] == Queued("d", 1, about(4.0 * (4 + 4)))  # per image; a fuller batch is faster


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_images_per_prompt": 0},
        {"num_images_per_prompt": -2},
        {"num_inference_steps": 0},
        {"num_inference_steps": 1001},
        {"width": 0},
        {"width": 65, "height": 63},
        {"guidance_scale": float("nan")},
        {"init_image": b"a", "strength": 0.0},
        {"init_image": b"a", "strength": 1.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("accepted", [False, True])
def test_what_no_model_can_draw_is_refused_and_never_reaches_a_worker(
    wrong: dict[str, Any], accepted: bool
) -> None:
    desk = Desk()
    desk.sent.clear()
    desk.core.submit(Submit("odd", make_request(**wrong), accepted=accepted))
    assert [(type(event), event.code) for event in desk.sent if isinstance(event, Failed)] == [
        (Failed, "invalid_request")
    ]
    assert len(desk.sent) == 1
    assert not desk.workers[0].jobs
