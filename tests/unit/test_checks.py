"""Pictures that wait for their verdict, message by message. What may happen in any order is in
tests/unit/test_core_machine.py."""

from __future__ import annotations

import pytest

from engine.core.checks import MAX_WAITING, Checks
from engine.core.dispatcher import Dispatcher
from engine.protocol import (
    Assign,
    Checked,
    CoreToWorker,
    EngineToBot,
    Failed,
    Finished,
    ModelCard,
    Preview,
    Submit,
    Verdict,
    WorkerReady,
)
from tests.fixtures.engine import make_request
from tests.fixtures.fake_checker import FakeChecker, drawn


class Desk:
    """Checks whose results are collected."""

    def __init__(self) -> None:
        self.checker = FakeChecker()
        self.sent: list[Finished | Failed | Preview] = []
        self.checks = Checks(self.checker, self.end, self.sent.append, preview_limit=0.3)

    def end(self, event: Finished | Failed) -> None:
        self.checks.forget(event.job_id)
        self.sent.append(event)


def ready_desk() -> Desk:
    desk = Desk()
    desk.checker.become_ready(desk.checks)
    return desk


def preview(job_id: str) -> Preview:
    return Preview(job_id, f"{job_id}/preview".encode())


def test_pictures_are_looked_at_in_the_order_in_which_they_came() -> None:
    desk = ready_desk()
    desk.checks.add(drawn("one", images=2))
    desk.checks.add(drawn("two"))
    seen: list[str] = []
    while desk.checker.has:
        seen.append(desk.checker.picture)
        desk.checker.say(desk.checks, score=0.25)
    assert seen == ["one/0", "one/1", "two/0"]
    assert [event.job_id for event in desk.sent] == ["one", "two"]
    first = desk.sent[0]
    assert isinstance(first, Finished)
    verdict = Verdict(scores={"sexual": 0.25}, model="fake", pdq="one/1")
    assert first.images[1].verdict == verdict
    assert (first.images[1].png, first.seconds) == (b"one/1", 1.0)


def test_pictures_wait_while_there_is_no_checker() -> None:
    desk = Desk()
    desk.checks.add(drawn("one"))
    desk.checks.add_preview(preview("two"))
    assert desk.checker.has is None
    desk.checker.become_ready(desk.checks)
    assert desk.checker.picture == "one/0", "the preview is forgotten, the picture is not"


def test_previews_do_not_wait_and_keep_nobody_waiting() -> None:
    desk = ready_desk()
    desk.checks.add_preview(preview("one"))
    desk.checks.add_preview(preview("two"))
    desk.checks.add(drawn("three"))
    desk.checker.say(desk.checks)
    assert desk.checker.picture == "three/0"
    desk.checks.add_preview(preview("four"))
    desk.checker.say(desk.checks)
    assert [(type(event), event.job_id) for event in desk.sent] == [(Preview, "one"), (Finished, "three")]


@pytest.mark.parametrize(("score", "is_seen"), [(0.0, True), (0.3, True), (0.31, False), (1.0, False)])
def test_a_preview_is_held_to_the_strictest_threshold(score: float, is_seen: bool) -> None:
    desk = ready_desk()
    desk.checks.add_preview(preview("one"))
    desk.checker.say(desk.checks, score)
    assert bool(desk.sent) == is_seen


def test_a_blocked_preview_is_seen_by_nobody() -> None:
    desk = ready_desk()
    desk.checks.add_preview(preview("one"))
    desk.checker.say(desk.checks, blocked="entry 7")
    assert desk.sent == []


def test_a_preview_in_a_checker_that_dies_is_forgotten() -> None:
    desk = ready_desk()
    desk.checks.add_preview(preview("one"))
    desk.checker.die(desk.checks)
    desk.checker.become_ready(desk.checks)
    assert desk.checker.has is None
    assert desk.sent == []


def test_only_the_job_with_whose_picture_two_checkers_died_fails() -> None:
    desk = ready_desk()
    desk.checks.add(drawn("bad", images=2))
    desk.checks.add(drawn("good"))
    for _ in range(2):
        assert desk.checker.picture == "bad/0"
        desk.checker.die(desk.checks)
        desk.checker.become_ready(desk.checks)
    assert desk.checker.picture == "good/0"
    assert [type(event) for event in desk.sent] == [Failed]


def test_an_answer_about_another_picture_is_ignored() -> None:
    desk = ready_desk()
    verdict = Verdict(scores={"sexual": 0.0}, model="fake")
    desk.checks.answered(Checked(1, verdict))
    desk.checks.add(drawn("one"))
    assert desk.checker.has
    desk.checks.answered(Checked(desk.checker.has.check_id + 1, verdict))
    assert desk.sent == []
    desk.checker.say(desk.checks)
    assert [type(event) for event in desk.sent] == [Finished]


def test_a_verdict_of_a_model_that_did_not_start_is_none() -> None:
    desk = ready_desk()
    desk.checks.add(drawn("one"))
    desk.checker.say(desk.checks, model="another")
    [event] = desk.sent
    assert isinstance(event, Failed)
    assert (event.code, event.detail) == ("check_failed", "the verdict is of the model another, not fake")


class Worker:
    """A worker that is done as soon as it is asked."""

    device = "fake"

    def __init__(self) -> None:
        self.assigned: list[str] = []

    def send(self, message: CoreToWorker) -> None:
        assert isinstance(message, Assign)
        self.assigned.append(message.job_id)


def test_nothing_more_is_drawn_while_too_many_pictures_wait() -> None:
    sent: list[EngineToBot] = []
    checker, worker = FakeChecker(), Worker()
    core = Dispatcher(sent.append, lambda: 0.0, checker, queue_limit=100, preview_limit=0.0)
    core.worker_ready(worker, WorkerReady(ModelCard(name="none", sizes={"square": (64, 64)}), 4))
    jobs = MAX_WAITING // 4 + 2
    for number in range(jobs):
        core.submit(Submit(f"job-{number}", make_request(num_images_per_prompt=4)))
    for number in range(jobs - 2):
        core.worker_event(worker, drawn(f"job-{number}", images=4))
    assert len(worker.assigned) == jobs - 2, "64 pictures wait"
    checker.become_ready(core.checks)
    for _ in range(4):
        checker.say(core.checks)
    assert worker.assigned[-1] == f"job-{jobs - 2}", "as soon as a job is checked, the next one is drawn"
