"""What happens to jobs while nobody dies: the engine and its workers as real processes, without torch."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from engine.protocol import (
    Accepted,
    Cancel,
    Cancelled,
    Drain,
    EngineReady,
    EngineToBot,
    Failed,
    Finished,
    Preview,
    Progress,
    Queued,
    Submit,
    TerminalEvent,
)
from tests.fixtures.engine import (
    PATIENCE,
    Engine,
    WatchedJob,
    engine_on_the_wire,
    make_request,
    pixels_of,
    running_engine,
)


@pytest_asyncio.fixture
async def engine(tmp_path: Path) -> AsyncGenerator[Engine]:
    """One plain worker."""
    async with running_engine(tmp_path) as engine:
        yield engine


def ends_of(messages: Sequence[EngineToBot]) -> list[TerminalEvent]:
    """The terminal events among the messages."""
    return [message for message in messages if isinstance(message, TerminalEvent)]


async def ends(jobs: Sequence[WatchedJob]) -> list[TerminalEvent]:
    """How all the jobs ended."""
    return await asyncio.gather(*(job.ended() for job in jobs))


async def test_a_job_tells_its_life_in_order(engine: Engine) -> None:
    job = engine.submit("a cat", num_inference_steps=5)
    await job.ended()
    kinds = [type(event) for event in job.events if not isinstance(event, (Queued, Preview))]
    assert kinds == [Accepted, *[Progress] * 5, Finished]
    assert [event.step for event in job.all(Progress)] == [1, 2, 3, 4, 5]
    assert {event.num_steps for event in job.all(Progress)} == {5}


async def test_pictures_come_in_the_order_of_their_seeds(engine: Engine) -> None:
    last = await engine.submit("a cat", seed=2**63 - 2, num_images_per_prompt=4).ended()
    assert isinstance(last, Finished)
    assert [image.seed for image in last.images] == [2**63 - 2, 2**63 - 1, 0, 1]
    assert {pixels_of(image.png).shape for image in last.images} == {(256, 256, 3)}
    assert len({image.png for image in last.images}) == 4


async def test_fifty_jobs_at_once_all_finish(engine: Engine) -> None:
    jobs = engine.submit_all(["a cat"] * 50)
    assert [type(end) for end in await ends(jobs)] == [Finished] * 50


async def test_queue_positions_are_announced_and_fall(tmp_path: Path) -> None:
    async with running_engine(tmp_path, max_batch_size=1) as engine:
        jobs = engine.submit_all(["a slow cat"] * 6)
        await jobs[-1].seen_waiting_at(5)  # one is drawn
        jobs[0].cancel()
        await jobs[-1].seen_waiting_at(4)
        jobs[1].cancel()
        await jobs[-1].seen_waiting_at(3)
        engine.open_gate()
        await ends(jobs)


async def test_positions_fall_when_somebody_ahead_leaves_the_queue(tmp_path: Path) -> None:
    async with running_engine(tmp_path, max_batch_size=1) as engine:
        jobs = engine.submit_all(["a slow cat"] * 5)
        await jobs[-1].seen_waiting_at(4)
        jobs[2].cancel()  # it is at no worker
        await jobs[-1].seen_waiting_at(3)
        engine.open_gate()
        await ends(jobs)


async def test_one_users_many_jobs_do_not_delay_anothers_only_one(tmp_path: Path) -> None:
    async with running_engine(tmp_path, max_batch_size=1) as engine:
        many = [engine.submit("a slow cat", user="many") for _ in range(10)]
        await many[-1].seen_waiting_at(9)
        only = engine.submit("a slow dog", user="one")
        await only.seen_waiting_at(2)
        await many[-1].seen_waiting_at(10)
        many[0].cancel()
        await only.seen_waiting_at(1)
        many[1].cancel()
        await only.seen(Progress)
        assert not any(job.all(Progress) for job in many[2:]), "one more of them at most was placed"
        engine.open_gate()
        await ends([*many, only])


async def test_a_full_queue_says_so(tmp_path: Path) -> None:
    async with running_engine(tmp_path, max_batch_size=1, queue_limit=2) as engine:
        drawn, *waiting = [engine.submit("a slow cat", user=user) for user in "ABC"]
        await drawn.seen(Progress)
        await waiting[-1].seen(Accepted)
        refused = engine.submit("a cat", user="D")
        assert await refused.ended() == Failed(refused.job_id, "queue_full", "2 jobs are waiting")
        assert refused.events == [await refused.ended()]
        waiting[0].cancel()
        await waiting[0].ended()
        assert isinstance(await engine.submit("a cat", user="D").seen(Accepted), Accepted)
        engine.open_gate()
        await ends([drawn, *waiting])


async def test_a_deadline_that_cannot_be_met_is_refused_once_the_speed_is_known(engine: Engine) -> None:
    assert await engine.submit("a cat", deadline_seconds=1e-9).pictures(), "nothing was measured yet"
    end = None
    while not isinstance(end, Failed):
        end = await engine.submit("a cat", num_inference_steps=1000, deadline_seconds=1e-9).ended()
    assert end.code == "deadline"
    assert await engine.submit("a cat", deadline_seconds=1000).pictures()


async def test_those_who_wait_are_told_how_long(tmp_path: Path) -> None:
    async with running_engine(tmp_path, max_batch_size=1) as engine:
        jobs: list[WatchedJob] = []
        measured: list[Queued] = []
        while not measured:
            jobs = [engine.submit("a cat", num_inference_steps=1000) for _ in range(3)]
            await ends(jobs)
            measured = [event for event in jobs[-1].all(Queued) if event.eta_seconds is not None]
        assert min(event.eta_seconds or 0 for event in measured) > 0
        assert jobs[-1].all(Progress)[-1].eta_seconds == 0


STORIES = ("a cat", "nan", "raise", "noise", "big", "die", "garbage", "oversized", "die always")


async def test_on_the_wire_every_accepted_job_ends_exactly_once(tmp_path: Path) -> None:
    names = [f"{story} {number}" for number in range(3) for story in STORIES]
    async with engine_on_the_wire(tmp_path, devices="cpu*2") as wire:
        wire.send(*(Submit(name, make_request(name, seed=seed)) for seed, name in enumerate(names)))
        wire.send(*(Cancel(name) for name in names[::5]))
        messages = await wire.read_until(lambda messages: len(ends_of(messages)) == len(names))
        wire.send(Drain())
        messages += await wire.read_to_the_end()
    accepted = Counter(message.job_id for message in messages if isinstance(message, Accepted))
    assert accepted == Counter(names)
    assert Counter(end.job_id for end in ends_of(messages)) == Counter(names)


async def test_on_the_wire_nothing_is_said_of_a_job_that_has_ended(tmp_path: Path) -> None:
    async with engine_on_the_wire(tmp_path) as wire:
        for name in ("a cat", "nan", "raise"):
            wire.send(Submit(name, make_request(name)), Cancel(name), Cancel(name))
        messages = await wire.read_until(lambda messages: len(ends_of(messages)) == 3)
        wire.send(*(Cancel(end.job_id) for end in ends_of(messages)), Drain())
        messages += await wire.read_to_the_end()
    for end in ends_of(messages):
        events = [each for each in messages if getattr(each, "job_id", None) == end.job_id]
        assert events.index(end) == len(events) - 1


async def test_on_the_wire_a_job_submitted_twice_is_one_job(tmp_path: Path) -> None:
    async with engine_on_the_wire(tmp_path) as wire:
        wire.send(*[Submit("twin", make_request())] * 2)
        messages = await wire.read_until(lambda messages: bool(ends_of(messages)))
        wire.send(Drain())
        messages += await wire.read_to_the_end()
    assert len([message for message in messages if isinstance(message, Accepted)]) == 1
    assert len(ends_of(messages)) == 1


async def test_drain_finishes_what_a_worker_has_begun(tmp_path: Path) -> None:
    async with engine_on_the_wire(tmp_path) as wire:
        wire.send(Submit("begun", make_request("a slow cat")))
        await wire.read_until(lambda messages: any(isinstance(each, Progress) for each in messages))
        wire.send(Drain())
        (tmp_path / "gate").touch()
        assert [type(end) for end in ends_of(await wire.read_to_the_end())] == [Finished]


@pytest.mark.parametrize("story", ["raise", "nan"])
async def test_a_job_that_goes_wrong_fails_alone(engine: Engine, story: str) -> None:
    good, bad, other = engine.submit_all(["a cat", story, "another cat"])
    end = await bad.ended()
    assert isinstance(end, Failed)
    assert end.code == "generation_error"
    assert (
        end.detail == {"raise": "RuntimeError: raised, as asked", "nan": "the picture has NaN values"}[story]
    )
    assert await good.pictures()
    assert await other.pictures()


@pytest.mark.parametrize("story", ["raise", "nan"])
async def test_a_job_that_goes_wrong_in_a_batch_fails_alone(engine: Engine, story: str) -> None:
    blocker = engine.submit("a slow cat", num_inference_steps=2)
    await blocker.seen(Progress)
    # These wait together, and so will share a call.
    jobs = engine.submit_all(["a cat", story, "another cat"])
    await jobs[-1].seen(Accepted)
    engine.open_gate()
    good, bad, other = await ends(jobs)
    assert isinstance(good, Finished)
    assert isinstance(bad, Failed)
    assert isinstance(other, Finished)


async def test_noise_on_stdout_does_no_harm(engine: Engine) -> None:
    worker = engine.workers()
    noisy, quiet = engine.submit("noise", seed=3), engine.submit("a cat", seed=3)
    assert await noisy.ended()
    assert pixels_of((await noisy.pictures())[0]).tolist() == pixels_of((await quiet.pictures())[0]).tolist()
    assert engine.workers() == worker, "the worker was replaced"


async def test_big_pictures_arrive_whole(engine: Engine) -> None:
    pictures = await engine.submit("big", num_images_per_prompt=4).pictures()
    assert [pixels_of(png).shape for png in pictures] == [(1024, 1024, 3)] * 4
    assert min(len(png) for png in pictures) > 1_000_000


async def test_a_running_job_is_cancelled(engine: Engine) -> None:
    job = engine.submit("a slow cat")
    await job.seen(Progress)
    job.cancel()
    assert isinstance(await job.ended(), Cancelled)
    assert await engine.submit("the next cat").pictures()


async def test_a_queued_job_is_cancelled(tmp_path: Path) -> None:
    async with running_engine(tmp_path, max_batch_size=1) as engine:
        first, second, third = engine.submit_all(["a slow cat"] * 3)
        await third.seen(Queued)
        third.cancel()
        assert isinstance(await third.ended(), Cancelled)
        assert not third.all(Progress)
        engine.open_gate()
        assert await first.pictures()
        assert await second.pictures()


async def test_a_cancelled_job_leaves_its_batch_alone(engine: Engine) -> None:
    blocker = engine.submit("a slow cat", num_inference_steps=2)
    await blocker.seen(Progress)
    going, staying = engine.submit_all(["a slow dog"] * 2)
    await staying.seen(Accepted)
    blocker.cancel()
    await asyncio.gather(going.seen(Progress), staying.seen(Progress))
    going.cancel()
    engine.open_gate()
    assert isinstance(await going.ended(), Cancelled)
    assert await staying.pictures()


async def test_cancelling_after_the_end_does_nothing(engine: Engine) -> None:
    job = engine.submit("a cat")
    await job.pictures()
    job.cancel()
    assert await engine.submit("another cat").pictures()
    assert len(job.all(Finished)) == 1
    assert not job.all(Cancelled)


async def test_leaving_the_stream_cancels_the_job(engine: Engine) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        aclosing(engine.client.submit("left", make_request("slow"))) as events,
    ):
        async for event in events:
            if isinstance(event, Progress):
                break
    # The gate stays shut: the only worker is free again only if the slow job was cancelled.
    assert await engine.submit("the next cat").pictures()


async def test_a_request_that_cannot_be_sent_harms_no_other(engine: Engine) -> None:
    with pytest.raises(UnicodeEncodeError):
        await engine.submit("half a surrogate pair: \ud800").ended()
    engine.process.kill()
    assert await engine.submit("a cat").pictures()


async def test_the_status_names_the_devices(tmp_path: Path) -> None:
    async with running_engine(tmp_path, devices="cpu*2") as engine:
        await engine.wait_for_workers(2)
        assert isinstance(engine.client.status, EngineReady)
        assert engine.client.status.devices == ["cpu", "cpu"]
        assert engine.client.card is not None
        assert engine.client.card.hash == "0000000000"
