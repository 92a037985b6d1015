"""Whoever dies, every job ends as it would have: workers, the engine and the bot are killed in mid-job."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import psutil
import pytest

from engine.client import EngineClient
from engine.models import DEMO_FOLDER
from engine.protocol import (
    Accepted,
    Cancelled,
    Drain,
    EngineReady,
    EngineUnavailable,
    Failed,
    Finished,
    Progress,
    Submit,
)
from tests.fixtures.engine import (
    PATIENCE,
    PLAIN_CHECKER,
    PLAIN_WORKER,
    REAL_WORKER,
    Engine,
    WatchedJob,
    engine_on_the_wire,
    eventually,
    gone,
    is_alive,
    make_request,
    running_engine,
    worker_environment,
)
from tests.fixtures.odd_client import odd_engine
from tests.fixtures.odd_engine import ODDITIES

STEP_TIMEOUT = 3.0
"""Long enough for a plain worker on a busy machine, and short enough to wait for."""

# --- a worker dies ------------------------------------------------------------------------------------


async def test_a_killed_worker_is_replaced_and_its_job_drawn_again(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as engine:
        job = engine.submit("a slow cat")
        await job.seen(Progress)
        (worker,) = engine.workers()
        worker.kill()
        engine.open_gate()
        pictures = await job.pictures()
        assert pictures == await engine.submit("a slow cat").pictures()
        assert engine.workers() != [worker]


async def test_a_killed_worker_leaves_its_job_to_the_other_one(tmp_path: Path) -> None:
    async with running_engine(tmp_path, devices="cpu*2") as engine:
        await engine.wait_for_workers(2)
        jobs = engine.submit_all(["a slow cat"] * 2)
        for job in jobs:
            await job.seen(Progress)
        killed, survivor = engine.workers()
        killed.kill()
        engine.open_gate()
        assert all([await job.pictures() for job in jobs])
        first_steps = sorted([event.step for event in job.all(Progress)].count(1) for job in jobs)
        assert first_steps == [1, 2], "one job was drawn anew, the other went on"
        assert is_alive(survivor)


async def test_all_jobs_of_a_killed_worker_are_begun_again_in_their_order(tmp_path: Path) -> None:
    async with running_engine(tmp_path, max_batch_size=3) as engine:
        jobs = engine.submit_all(["a slow cat"] * 6)
        for job in jobs[:3]:
            await job.seen(Progress)
        engine.workers()[0].kill()
        await jobs[0].seen(Progress, times=2)
        begun: list[WatchedJob] = []
        noting = [asyncio.create_task(note_the_begin(job, begun)) for job in jobs]
        engine.open_gate()
        await asyncio.gather(*noting)
        assert begun[:3] == jobs[:3], "before those that were never drawn, and each alone"
        assert all([await job.pictures() for job in jobs])


async def note_the_begin(job: WatchedJob, begun: list[WatchedJob]) -> None:
    """Append the job when it is drawn, for the second time if it was before."""
    await job.seen(Progress, times=len(job.all(Progress)) + 1 if len(job.all(Progress)) < 2 else 2)
    begun.append(job)


async def test_jobs_of_a_killed_worker_run_elsewhere_and_the_others_do_not_notice(tmp_path: Path) -> None:
    async with running_engine(tmp_path, devices="cpu*2", max_batch_size=3) as engine:
        await engine.wait_for_workers(2)
        jobs = engine.submit_all(["a slow cat"] * 6)
        for job in jobs:
            await job.seen(Progress)
        killed, survivor = engine.workers()
        killed.kill()
        engine.open_gate()
        assert all([await job.pictures() for job in jobs])
        first_steps = sorted([event.step for event in job.all(Progress)].count(1) for job in jobs)
        assert first_steps == [1, 1, 1, 2, 2, 2]
        assert is_alive(survivor)


@pytest.mark.parametrize("story", ["die", "unplugged", "garbage", "oversized"])
async def test_a_worker_that_breaks_once_costs_only_time(tmp_path: Path, story: str) -> None:
    async with running_engine(tmp_path) as engine:
        (worker,) = engine.workers()
        jobs = engine.submit_all(["a cat", story, "another cat"])
        assert all([await job.pictures() for job in jobs])
        assert not is_alive(worker)


async def test_a_job_that_kills_every_worker_fails_alone(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as engine:
        jobs = engine.submit_all(["a cat", "another cat", "die always", "a dog", "another dog"])
        ends = [await job.ended() for job in jobs]
        killer = ends.pop(2)
        assert isinstance(killer, Failed)
        assert killer.code == "worker_lost"
        assert killer.detail == "the workers of job job-2 died: cpu, cpu"
        assert [type(end) for end in ends] == [Finished] * 4


async def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    async with running_engine(tmp_path, step_timeout=STEP_TIMEOUT) as engine:
        (worker,) = engine.workers()
        jobs = engine.submit_all(["a cat", "hang", "another cat"])
        assert all([await job.pictures() for job in jobs])
        assert not is_alive(worker)


async def test_a_worker_that_is_stopped_is_replaced(tmp_path: Path) -> None:
    async with running_engine(tmp_path, devices="cpu*2", step_timeout=STEP_TIMEOUT) as engine:
        await engine.wait_for_workers(2)
        stopped = engine.workers()[0]
        stopped.suspend()
        assert all([await job.pictures() for job in engine.submit_all(["a cat"] * 4)])
        await gone([stopped])


async def test_a_job_that_hangs_every_worker_fails_alone(tmp_path: Path) -> None:
    async with running_engine(tmp_path, step_timeout=STEP_TIMEOUT) as engine:
        jobs = engine.submit_all(["a cat", "hang always", "a dog"])
        good, bad, other = [await job.ended() for job in jobs]
        assert isinstance(bad, Failed)
        assert bad.code == "worker_lost"
        assert (type(good), type(other)) == (Finished, Finished)


async def test_a_worker_without_work_is_not_taken_to_hang(tmp_path: Path) -> None:
    async with running_engine(tmp_path, devices="cpu*2", step_timeout=STEP_TIMEOUT) as engine:
        await engine.wait_for_workers(2)
        idle = engine.workers()
        hangs = engine.submit("hang", num_images_per_prompt=2)
        assert await hangs.pictures(), "in this time the other one had nothing to say"
        assert len([worker for worker in idle if is_alive(worker)]) == 1


async def test_two_jobs_that_kill_every_worker_fail_and_the_others_finish(tmp_path: Path) -> None:
    async with running_engine(tmp_path, devices="cpu*2") as engine:
        prompts = ["die always" if number in (3, 7) else "a cat" for number in range(24)]
        ends = [await job.ended() for job in engine.submit_all(prompts)]
        killers = [ends[3], ends[7]]
        assert [type(end) for end in ends if end not in killers] == [Finished] * 22
        assert [end.code for end in killers if isinstance(end, Failed)] == ["worker_lost"] * 2


async def test_a_cancel_is_not_lost_with_the_worker(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as engine:
        job = engine.submit("a slow cat")
        await job.seen(Progress)
        (worker,) = engine.workers()
        worker.suspend()
        job.cancel()
        await engine.submit("a later job").seen(Accepted)  # so the engine has read the cancel before it
        engine.open_gate()
        worker.kill()
        assert isinstance(await job.ended(), Cancelled)


async def test_the_engine_ends_while_a_worker_is_being_replaced(tmp_path: Path) -> None:
    async with engine_on_the_wire(tmp_path) as wire:
        wire.send(Submit("killer", make_request("die always")))
        await wire.read_until(lambda messages: any(isinstance(each, Failed) for each in messages))
        wire.send(Drain())
        await wire.read_to_the_end()
        await gone([wire.process])


# --- the engine dies ----------------------------------------------------------------------------------


async def test_a_killed_engine_is_started_again_and_its_jobs_finish(tmp_path: Path) -> None:
    async with running_engine(tmp_path, devices="cpu*2") as engine:
        await engine.wait_for_workers(2)
        jobs = engine.submit_all(["a slow cat"] * 5)
        await asyncio.gather(*(job.seen(Progress) for job in jobs[:2]))
        first_life, orphans = engine.process, engine.workers()
        first_life.kill()
        await gone([first_life, *orphans])
        engine.open_gate()
        assert all([await job.pictures() for job in jobs])
        assert engine.process != first_life
        assert [len(job.all(Finished)) for job in jobs] == [1] * 5


async def test_what_was_accepted_once_is_not_refused_by_the_next_engine(tmp_path: Path) -> None:
    async with running_engine(tmp_path, max_batch_size=1, queue_limit=1) as engine:
        drawn = engine.submit("a slow cat")
        await drawn.seen(Progress)
        waiting = engine.submit("a cat", deadline_seconds=1e-9)
        await waiting.seen(Accepted)
        refused = await engine.submit("a cat").ended()
        assert isinstance(refused, Failed)
        assert refused.code == "queue_full"
        engine.process.kill()
        engine.open_gate()
        assert await drawn.pictures()
        assert await waiting.pictures()


async def test_a_job_submitted_while_there_is_no_engine_is_drawn_later(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as engine:
        dead = engine.process
        dead.kill()
        await eventually(lambda: engine.client.pid is None)
        assert await engine.submit("a cat").pictures()
        assert isinstance(engine.client.status, EngineReady)


async def test_a_cancel_is_not_lost_with_the_engine(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as engine:
        job = engine.submit("a slow cat")
        await job.seen(Progress)
        engine.process.kill()
        await eventually(lambda: engine.client.pid is None)
        job.cancel()
        engine.open_gate()
        assert isinstance(await job.ended(), Cancelled)


async def test_a_job_left_while_there_is_no_engine_is_not_drawn_later(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as engine:
        job = engine.submit("a slow cat")
        await job.seen(Progress)
        engine.process.kill()
        await eventually(lambda: engine.client.pid is None)
        await job.abandon()
        # The gate stays shut: this finishes only if the slow job is not on the only worker.
        assert await engine.submit("a cat").pictures()


@pytest.mark.parametrize("oddity", ODDITIES)
async def test_an_odd_engine_is_replaced(tmp_path: Path, oddity: str) -> None:
    async with odd_engine(tmp_path, "-m", "tests.fixtures.odd_engine", oddity, str(tmp_path)) as engine:
        await engine.client.wait_settled()
        first_life = engine.process
        assert isinstance(await engine.submit("a cat").ended(), Finished)
        assert not is_alive(first_life)


async def test_nobody_waits_for_an_engine_that_never_starts(tmp_path: Path) -> None:
    async with odd_engine(tmp_path, "-c", "raise SystemExit(3)") as engine:
        job = engine.submit("a cat")
        status = await engine.client.wait_settled()
        assert isinstance(status, EngineUnavailable)
        assert await job.ended() == Failed(job.job_id, "model_unavailable", status.reason)


async def test_an_engine_that_starts_at_last_is_used(tmp_path: Path) -> None:
    """Three lives end before the engine comes up, which is as long as anybody is kept waiting."""
    program = (
        "import pathlib, runpy, sys; lives = pathlib.Path(sys.argv[2]) / 'lives'; lives.mkdir(exist_ok=True);"
        "n = len(list(lives.iterdir())); (lives / str(n)).touch(); n > 2 or sys.exit(1);"
        "(lives.parent / 'was-odd').touch();"
        "runpy.run_module('tests.fixtures.odd_engine', run_name='__main__')"
    )
    async with odd_engine(tmp_path, "-c", program, "death", str(tmp_path)) as engine:
        assert isinstance(await engine.client.wait_settled(), EngineUnavailable)
        await engine.client.wait_until(lambda status: isinstance(status, EngineReady))
        assert isinstance(await engine.submit("a cat").ended(), Finished)


async def test_files_in_the_current_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("engine", "msgspec", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('run from the current folder')")
    monkeypatch.chdir(tmp_path)
    async with running_engine(tmp_path) as engine:
        assert await engine.submit("a cat").pictures()


# --- the bot dies, or closes --------------------------------------------------------------------------


async def test_engine_and_workers_end_when_the_bot_is_killed(tmp_path: Path) -> None:
    with worker_environment(tmp_path):
        bot = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.fixtures.lonely_bot"),
            stdout=asyncio.subprocess.PIPE,
        )
    assert bot.stdout is not None
    async with asyncio.timeout(PATIENCE):
        assert await bot.stdout.readline() == b"drawing\n"
    family = psutil.Process(bot.pid).children(recursive=True)
    assert len(family) == 4, "an engine, two workers and a checker"
    bot.kill()
    await bot.wait()
    await gone(family)


async def test_the_engine_ends_when_the_bot_talks_nonsense(tmp_path: Path) -> None:
    async with engine_on_the_wire(tmp_path) as wire:
        await wire.read_until(lambda messages: any(isinstance(each, EngineReady) for each in messages))
        family = [wire.process, *wire.process.children()]
        wire.send_nonsense()
        await gone(family)


@pytest.mark.parametrize("worker_module", [PLAIN_WORKER, REAL_WORKER])
async def test_closing_while_loading_leaves_nothing_behind(tmp_path: Path, worker_module: str) -> None:
    with worker_environment(tmp_path) as gate:
        client = EngineClient(DEMO_FOLDER, devices="cpu*2", worker_module=worker_module)
        engine = Engine(client, gate)
        await client.start()
        await eventually(lambda: client.pid is not None and len(engine.workers()) == 2)
        family = engine.family()
        await client.close()
        await gone(family)


@pytest.mark.parametrize("moments", [0, 1, 2, 3, 5, 8])
async def test_closing_at_once_leaves_nothing_behind(tmp_path: Path, moments: int) -> None:
    before = set(psutil.Process().children(recursive=True))
    with worker_environment(tmp_path):
        client = EngineClient(
            DEMO_FOLDER, devices="cpu", worker_module=PLAIN_WORKER, checker_module=PLAIN_CHECKER
        )
        await client.start()
        for _ in range(moments):
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            await client.close(grace=2 * PATIENCE)  # so that force would come too late
    await gone(set(psutil.Process().children(recursive=True)) - before)


async def test_closing_in_mid_job_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running_engine(tmp_path, devices="cpu*2") as engine:
        await engine.wait_for_workers(2)
        jobs = engine.submit_all(["a slow cat"] * 2)
        for job in jobs:
            await job.seen(Progress)
        family = engine.family()
        await engine.client.close(grace=0.1)
        await gone(family)


async def test_closing_with_a_worker_that_hangs_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as engine:
        await engine.submit("a slow cat").seen(Progress)
        family = engine.family()
        engine.workers()[0].send_signal(signal.SIGSTOP)
        await engine.client.close(grace=0.1)
        try:
            await gone(family)
        finally:
            for process in filter(is_alive, family):
                process.kill()
