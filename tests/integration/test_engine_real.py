"""The real worker with the demo model: torch, diffusers and pictures. One engine for the whole module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image as PillowImage
from PIL import PngImagePlugin

from engine.protocol import Failed, Finished, Preview, Progress, Sampler
from tests.fixtures.engine import (
    PATIENCE,
    REAL_WORKER,
    Engine,
    WatchedJob,
    make_request,
    pixels_of,
    running_engine,
)

SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Engine]:
    """One worker of the demo model on the CPU."""
    folder: Path = tmp_path_factory.mktemp("engine")
    async with running_engine(folder, worker_module=REAL_WORKER) as engine:
        yield engine


async def finished(jobs: list[WatchedJob]) -> list[Finished]:
    """Wait for all; how they ended, which must be well."""
    ends = await asyncio.gather(*(job.ended() for job in jobs))
    assert [type(end) for end in ends] == [Finished] * len(jobs)
    return [end for end in ends if isinstance(end, Finished)]


async def test_fifty_jobs_at_once_all_finish(engine: Engine) -> None:
    jobs = [engine.submit("a cat", seed=seed, num_inference_steps=2) for seed in range(50)]
    ends = await finished(jobs)
    assert len({end.images[0].png for end in ends}) == 50


async def test_equal_requests_give_equal_files(engine: Engine) -> None:
    (first,) = await engine.submit("a lighthouse", seed=11).pictures()
    (again,) = await engine.submit("a lighthouse", seed=11).pictures()
    assert first == again


async def test_every_field_changes_the_picture(engine: Engine) -> None:
    requests: list[dict[str, Any]] = [
        {},
        {"seed": 8},
        {"prompt": "a sunset over the sea"},
        {"negative_prompt": "blue, night"},
        {"guidance_scale": 9.0},
        {"num_inference_steps": 7},
        {"sampler": "Euler"},
    ]
    ends = await finished([engine.submit(**changes) for changes in requests])
    pictures = {pixels_of(end.images[0].png).tobytes() for end in ends}
    assert len(pictures) == len(requests)


async def test_every_sampler_draws_at_any_number_of_steps(engine: Engine) -> None:
    settings = [(sampler, steps) for sampler in SAMPLERS for steps in (1, 2, 12)]
    ends = await finished(
        [engine.submit(sampler=sampler, num_inference_steps=steps) for sampler, steps in settings]
    )
    flat = [
        setting for setting, end in zip(settings, ends, strict=True) if pixels_of(end.images[0].png).std() < 5
    ]
    assert not flat


@pytest.mark.parametrize("sampler", SAMPLERS)
async def test_progress_counts_the_steps_that_were_asked_for(engine: Engine, sampler: Sampler) -> None:
    job = engine.submit(sampler=sampler, num_inference_steps=5)
    await job.ended()
    steps = [event.step for event in job.all(Progress)]
    assert steps == sorted(steps)
    assert steps[-1] == 5
    assert {event.num_steps for event in job.all(Progress)} == {5}


@pytest.mark.parametrize("sampler", ["DDIM", "Euler a", "DPM++ SDE"])
async def test_an_image_of_a_set_is_the_one_its_seed_gives_alone(engine: Engine, sampler: Sampler) -> None:
    together = await engine.submit(sampler=sampler, seed=40, num_images_per_prompt=4).pictures()
    for index, picture in enumerate(together):
        # Alone by waiting for each: the batch's size may change the rounding, and nothing else.
        (alone,) = await engine.submit(sampler=sampler, seed=40 + index).pictures()
        assert np.abs(pixels_of(picture) - pixels_of(alone)).max() <= 2


async def test_who_shares_a_call_does_not_change_a_picture(engine: Engine) -> None:
    prompts = ["a cat", "a red dress", "", "the sea, at night, under a very full moon"]
    together = await finished(engine.submit_all(prompts))
    for seed, prompt in enumerate(prompts):
        (alone,) = await engine.submit(prompt, seed=seed).pictures()
        assert np.abs(pixels_of(together[seed].images[0].png) - pixels_of(alone)).max() <= 2


async def test_the_file_says_how_it_was_made(engine: Engine) -> None:
    _, png = await engine.submit(
        "a cat, 猫\nby the sea",
        negative_prompt="blurry",
        seed=2**63 - 1,
        num_images_per_prompt=2,
        sampler="DPM++ 2M Karras",
        labels={"Preset": "soft, warm", "Version": "trinart-bot"},
    ).pictures()
    assert engine.client.card is not None
    with PillowImage.open(BytesIO(png)) as picture:
        assert isinstance(picture, PngImagePlugin.PngImageFile)
        assert picture.text["parameters"] == (
            "a cat, 猫\nby the sea\n"
            "Negative prompt: blurry\n"
            "Steps: 4, Sampler: DPM++ 2M Karras, CFG scale: 4, Seed: 0, Size: 64x64, "
            f'Model hash: {engine.client.card.hash}, Model: demo, Preset: "soft, warm", Version: trinart-bot'
        )


async def test_a_long_job_shows_previews(engine: Engine) -> None:
    # Longer than anybody waits; leaving the stream cancels it.
    request = make_request(num_inference_steps=900, num_images_per_prompt=4)
    async with asyncio.timeout(PATIENCE), aclosing(engine.client.submit("long", request)) as events:
        previews = (event async for event in events if isinstance(event, Preview))
        preview = await anext(previews)
    assert pixels_of(preview.png).std() > 1
    assert await engine.submit("a cat").pictures()


async def test_a_newcomer_joins_a_running_batch_and_leaves_it_first(engine: Engine) -> None:
    # Longer than anybody waits, and another sampler, size of steps and guidance than the newcomer's.
    request = make_request(num_inference_steps=900, sampler="LMS", guidance_scale=1.0)
    async with asyncio.timeout(PATIENCE), aclosing(engine.client.submit("long", request)) as events:
        progress = (event.step async for event in events if isinstance(event, Progress))
        before = await anext(progress)
        assert await engine.submit("a cat", sampler="Euler a").pictures()
        after = await anext(progress)
        assert before < after < 900


async def test_the_last_words_of_a_long_prompt_count(engine: Engine) -> None:
    long = "1girl, smile, " * 60
    assert (
        await engine.submit(long + "red hair").pictures()
        != await engine.submit(long + "blue hair").pictures()
    )


async def test_a_prompt_is_drawn_the_same_beside_a_longer_one(engine: Engine) -> None:
    """Filling it up to the longer one's length would change it; only rounding may."""
    (alone,) = await engine.submit("1girl, red hair", seed=3).pictures()
    jobs = [engine.submit(prompt, seed=3) for prompt in ("smile", "a, " * 200, "1girl, red hair")]
    (together,) = await jobs[-1].pictures()
    assert np.abs(pixels_of(alone).astype(int) - pixels_of(together)).max() <= 2
    await finished(jobs)


async def test_a_picture_of_not_a_number_fails_alone(engine: Engine) -> None:
    bad = engine.submit("a cat", guidance_scale=1e38)
    good = engine.submit("a cat")
    end = await bad.ended()
    assert isinstance(end, Failed)
    assert end.code == "generation_error"
    assert await good.pictures()


async def test_a_killed_worker_draws_the_same_picture_when_it_is_back(engine: Engine) -> None:
    settings = {"num_inference_steps": 40, "seed": 77}
    job = engine.submit("a cat", **settings)
    await job.seen(Progress)
    engine.workers()[0].kill()
    killed = await job.pictures()
    assert job.all(Progress)[0].step == 1
    assert [event.step for event in job.all(Progress)].count(1) == 2
    assert killed == await engine.submit("a cat", **settings).pictures()
