"""Which waiting jobs share a pipeline call."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.protocol import Assign, GenerationRequest
from engine.worker.batch import batch_key, take_batch

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""However busy the machine is."""

REQUESTS = st.builds(
    GenerationRequest,
    prompt=st.sampled_from(["a cat", "a dog"]),
    negative_prompt=st.sampled_from(["", "blurry"]),
    height=st.sampled_from([512, 768]),
    width=st.just(512),
    num_inference_steps=st.sampled_from([20, 28]),
    guidance_scale=st.just(7.0),
    sampler=st.sampled_from(["Euler", "DDIM"]),
    seed=st.integers(0, 2**63 - 1),
    num_images_per_prompt=st.integers(1, 4),
)
# Two jobs may ask for the same picture: only their ids tell them apart.
WAITING = st.lists(REQUESTS, min_size=1, max_size=20).map(
    lambda requests: [Assign(str(number), request) for number, request in enumerate(requests)]
)
MAX_SIZES = st.integers(1, 10)


def count_chunks(request: GenerationRequest) -> int:
    """As if a cat took more tokens than a dog."""
    return 2 if "cat" in request.prompt else 1


def key(job: Assign) -> tuple[Any, ...]:
    """What a job shares with those it can be drawn with."""
    return batch_key(job.request, count_chunks(job.request))


def images(batch: list[Assign]) -> int:
    """How many images the batch draws."""
    return sum(job.request.num_images_per_prompt for job in batch)


def ages(jobs: list[Assign]) -> list[int]:
    """When the jobs came: their ids, as numbers."""
    return [int(job.job_id) for job in jobs]


@given(WAITING, MAX_SIZES)
@patient
def test_no_job_is_lost_or_doubled(jobs: list[Assign], max_size: int) -> None:
    waiting = list(jobs)
    drawn: list[Assign] = []
    while waiting:
        drawn += take_batch(waiting, max_size, count_chunks)
    assert sorted(ages(drawn)) == ages(jobs)


@given(WAITING, MAX_SIZES)
@patient
def test_a_batch_has_one_key_and_fits(jobs: list[Assign], max_size: int) -> None:
    batch = take_batch(list(jobs), max_size, count_chunks)
    assert len({key(job) for job in batch}) == 1
    assert images(batch) <= max_size or len(batch) == 1


@given(WAITING, MAX_SIZES)
@patient
def test_the_oldest_goes_first_and_those_left_keep_their_order(jobs: list[Assign], max_size: int) -> None:
    waiting = list(jobs)
    batch = take_batch(waiting, max_size, count_chunks)
    assert batch[0] is jobs[0]
    assert ages(batch) == sorted(ages(batch))
    assert ages(waiting) == sorted(ages(waiting))


@given(WAITING, MAX_SIZES)
@patient
def test_nobody_who_fits_is_left_behind(jobs: list[Assign], max_size: int) -> None:
    waiting = list(jobs)
    batch = take_batch(waiting, max_size, count_chunks)
    alike = [job for job in waiting if key(job) == key(batch[0])]
    assert all(images([*batch, job]) > max_size for job in alike)
