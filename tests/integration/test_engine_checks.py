"""No picture leaves the engine unchecked, whatever happens to the process that checks."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.client import EngineStatus
from engine.protocol import (
    EngineReady,
    EngineUnavailable,
    Failed,
    Finished,
    Preview,
    Progress,
    TerminalEvent,
)
from engine.safety.classifiers import DEFAULT_MODELS, added_models, model_hash
from tests.fixtures.added_classifier import NAME, green_is_explicit, install
from tests.fixtures.engine import (
    PATIENCE,
    REAL_CHECKER,
    Engine,
    WatchedJob,
    eventually,
    gone,
    is_alive,
    running_engine,
)


def verdicts(event: TerminalEvent) -> list[float]:
    """The scores of a finished job's pictures."""
    assert isinstance(event, Finished), event
    found = [image.verdict for image in event.images]
    return [verdict.scores["sexual"] for verdict in found if verdict is not None]


def assert_no_picture(job: WatchedJob, event: TerminalEvent) -> None:
    """That the job ended because of the check, once, and that nothing of it was to be seen."""
    assert isinstance(event, Failed), event
    assert event.code == "check_failed"
    assert not [each for each in job.events if isinstance(each, (Finished, Preview))]
    assert sum(isinstance(each, TerminalEvent) for each in job.events) == 1


@asynccontextmanager
async def stopped(process: psutil.Process) -> AsyncGenerator[None]:
    """The process does nothing meanwhile; goes on afterwards if it still lives."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        if is_alive(process):
            process.send_signal(signal.SIGCONT)


async def drawn_to_the_end(job: WatchedJob) -> None:
    """Wait until the worker has done the last step."""
    while (await job.seen(Progress, times=len(job.all(Progress)) + 1)).step < 4:
        pass


# --- with the real classifiers ---


async def test_every_picture_carries_its_verdict(tmp_path: Path) -> None:
    async with running_engine(tmp_path, checker_module=REAL_CHECKER) as engine:
        event = await engine.submit(num_images_per_prompt=3).ended()
    assert isinstance(event, Finished)
    found = [image.verdict for image in event.images]
    assert [verdict.model for verdict in found if verdict] == 3 * [model_hash(DEFAULT_MODELS)]
    assert len({verdict.pdq for verdict in found if verdict}) == 3, "each was looked at for itself"
    assert all(score < 0.3 for score in verdicts(event)), "they are circles"


async def test_pictures_in_a_checker_that_is_killed_are_checked_by_the_next(tmp_path: Path) -> None:
    async with running_engine(tmp_path, checker_module=REAL_CHECKER) as engine:
        (first,) = engine.checkers()
        async with stopped(first):
            job = engine.submit(num_images_per_prompt=2)
            await drawn_to_the_end(job)
            # The worker is free for others: its slot does not wait for the check.
            await drawn_to_the_end(engine.submit("another"))
            assert not job.all(Finished)
            first.kill()
            assert len(verdicts(await job.ended())) == 2
        assert engine.checkers() != [first]


async def test_a_checker_that_hangs_is_replaced(tmp_path: Path) -> None:
    async with running_engine(tmp_path, checker_module=REAL_CHECKER, check_timeout=1.0) as engine:
        (first,) = engine.checkers()
        async with stopped(first):
            assert len(verdicts(await engine.submit().ended())) == 1
            await gone([first])


async def test_a_checker_without_memory_lets_nothing_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise it would be enough what the process has left over from loading the classifiers.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    async with running_engine(tmp_path, checker_module=REAL_CHECKER) as engine:
        (checker,) = engine.checkers()
        now = checker.memory_info().vms
        checker.rlimit(psutil.RLIMIT_AS, (now, now))
        job = engine.submit("big", height=1024, width=1024)
        event = await job.ended()
        # Where the memory ends decides whether the process dies of it, and the next one has enough.
        if isinstance(event, Finished):
            assert len(verdicts(event)) == 1
            assert engine.checkers() != [checker]
        else:
            assert_no_picture(job, event)


@pytest.mark.parametrize("content", ["", "pdq:00 too short\n"])
async def test_a_block_list_that_cannot_be_used_refuses_generation(tmp_path: Path, content: str) -> None:
    block_list = tmp_path / "blocked.txt"
    if content:
        block_list.write_text(content, encoding="utf-8")
    async with running_engine(tmp_path, checker_module=REAL_CHECKER, block_list=block_list) as engine:
        status = await refused(engine)
    assert str(block_list) in status.reason


async def test_an_added_classifier_that_is_not_there_refuses_generation(tmp_path: Path) -> None:
    missing = tmp_path / "models" / NAME
    async with running_engine(tmp_path, checker_module=REAL_CHECKER, classifiers=[missing]) as engine:
        status = await refused(engine)
    assert f"run trinart models pull {NAME}" in status.reason


async def test_an_added_classifier_looks_at_every_picture(tmp_path: Path) -> None:
    folder = install(tmp_path / "models", green_is_explicit())
    async with running_engine(tmp_path, checker_module=REAL_CHECKER, classifiers=[folder]) as engine:
        event = await engine.submit().ended()
    expected = model_hash([*DEFAULT_MODELS, *added_models([folder])])
    for image in found_images(event):
        assert image.verdict.model == expected != model_hash(DEFAULT_MODELS)
        assert f"{NAME}.r18" in image.verdict.scores


async def test_a_picture_on_the_block_list_is_found(tmp_path: Path) -> None:
    async with running_engine(tmp_path, checker_module=REAL_CHECKER) as engine:
        event = await engine.submit(seed=3).ended()
        assert isinstance(event, Finished)
        assert event.images[0].verdict
        block_list = tmp_path / "blocked.txt"
        block_list.write_text(f"# ours\n\npdq:{event.images[0].verdict.pdq} case 12\n", encoding="utf-8")
    async with running_engine(tmp_path, checker_module=REAL_CHECKER, block_list=block_list) as engine:
        blocked, other = [await engine.submit(seed=seed).ended() for seed in (3, 4)]
    assert [image.verdict.blocked for image in found_images(blocked)] == ["case 12"]
    assert [image.verdict.blocked for image in found_images(other)] == [""]


def found_images(event: TerminalEvent) -> list[Any]:
    """The pictures of a finished job."""
    assert isinstance(event, Finished), event
    return list(event.images)


async def refused(engine: Engine) -> EngineUnavailable:
    """Wait until the engine says that it draws nothing, and see that it does not."""

    def is_unavailable(status: EngineStatus) -> bool:
        return isinstance(status, EngineUnavailable)

    async with asyncio.timeout(PATIENCE):
        status = await engine.client.wait_until(is_unavailable)
    event = await engine.submit().ended()
    assert isinstance(event, Failed)
    assert event.code == "model_unavailable"
    assert isinstance(status, EngineUnavailable)
    return status


# --- with a checker that misbehaves when it is asked to ---


@pytest.mark.parametrize("word", ["checkdie", "checkhang", "checkmemory", "checkgarbage"])
async def test_a_first_failure_of_the_checker_is_not_the_pictures_end(tmp_path: Path, word: str) -> None:
    async with running_engine(tmp_path, check_timeout=2.0) as engine:
        jobs = engine.submit_all([word, "a cat"])
        for job in jobs:
            assert verdicts(await job.ended()) == [0.0]


@pytest.mark.parametrize("word", ["checkdie", "checkhang", "checkmemory", "checkgarbage"])
async def test_a_picture_that_no_checker_survives_fails_alone(tmp_path: Path, word: str) -> None:
    async with running_engine(tmp_path, check_timeout=2.0) as engine:
        bad, good = engine.submit_all([f"{word} always", "a cat"])
        assert_no_picture(bad, await bad.ended())
        assert verdicts(await good.ended()) == [0.0]


@pytest.mark.parametrize(
    "word", ["sexual=nan", "sexual=-0.1", "sexual=1.5", "sexual=inf", "unscored", "foreign", "unchecked"]
)
async def test_an_answer_that_is_no_verdict_lets_nothing_out(tmp_path: Path, word: str) -> None:
    async with running_engine(tmp_path) as engine:
        job = engine.submit(word, num_images_per_prompt=2)
        assert_no_picture(job, await job.ended())
        assert verdicts(await engine.submit("a cat").ended()) == [0.0], "the checker goes on"


async def test_it_is_too_late_to_cancel_what_is_being_checked(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as engine:
        job = engine.submit("checkslow")
        await drawn_to_the_end(job)
        job.cancel()
        engine.open_gate()
        assert verdicts(await job.ended()) == [0.0]


async def test_closing_in_order_waits_for_the_check(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as engine:
        job = engine.submit("checkslow")
        await drawn_to_the_end(job)
        family = engine.family()
        closing = asyncio.create_task(engine.client.close(grace=PATIENCE))
        engine.open_gate()
        await closing
        assert verdicts(await job.ended()) == [0.0]
        await gone(family)


async def test_the_engine_is_not_ready_before_its_check_is(tmp_path: Path) -> None:
    (tmp_path / "checker-broken").touch()
    async with running_engine(tmp_path) as engine:
        status = await refused(engine)
        assert status.reason == "broken, as asked"
        await eventually(lambda: not engine.workers())


async def test_a_checker_that_dies_at_each_start_is_given_up(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as engine:
        job = engine.submit("checkslow")
        await drawn_to_the_end(job)
        (tmp_path / "checker-deadly").touch()
        engine.checkers()[0].kill()
        assert_no_picture(job, await job.ended())
        assert (await refused(engine)).reason == "the checker died 3 times while starting"


async def test_a_preview_passes_the_check_too(tmp_path: Path) -> None:
    async with running_engine(tmp_path, preview_limit=0.0) as engine:
        job = engine.submit("slow")
        await job.seen(Preview)
        engine.open_gate()
        assert isinstance(await job.ended(), Finished)


async def test_a_preview_that_scores_too_high_is_seen_by_nobody(tmp_path: Path) -> None:
    async with running_engine(tmp_path, preview_limit=-0.1) as engine:
        job = engine.submit("slow")
        await eventually((tmp_path / "preview-checked").exists)
        engine.open_gate()
        assert isinstance(await job.ended(), Finished)
        assert not job.all(Preview)


async def test_ready_again_after_a_restart(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as engine:
        (first,) = engine.checkers()
        first.kill()
        await gone([first])
        assert verdicts(await engine.submit().ended()) == [0.0]
        assert isinstance(engine.client.status, EngineReady)
