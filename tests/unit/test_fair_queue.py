"""Whose job is next: the promises of FairQueue, over many histories."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from engine.core.fair_queue import AGING_SECONDS, FairQueue
from engine.core.jobs import Job, step_work
from engine.protocol import Submit
from tests.fixtures.engine import make_request

COSTS = st.sampled_from([1, 2, 3, 7, 20])


def make_job(name: str, user: str, *, images: int = 1, weight: float = 1.0, since: float = 0.0) -> Job:
    """A job that costs as much as `images` pictures."""
    request = make_request(num_images_per_prompt=images)
    return Job.of(Submit(name, request, user=user, weight=weight), since)


def fill(queue: FairQueue, user: str, costs: list[int], *, weight: float = 1.0) -> list[Job]:
    """Add a user's jobs."""
    jobs = [
        make_job(f"{user}{number}", user, images=images, weight=weight) for number, images in enumerate(costs)
    ]
    for job in jobs:
        queue.add(job, 0.0)
    return jobs


def serve(queue: FairQueue, now: float = 0.0) -> Job:
    """Place the next job."""
    job = queue.first(now)
    assert job is not None
    queue.take(job, now)
    return job


@given(
    hog=st.lists(COSTS, min_size=50, max_size=50),
    late=COSTS,
    served_before=st.integers(0, 49),
    weight=st.sampled_from([0.5, 1.0, 4.0]),
)
def test_one_user_with_fifty_jobs_delays_another_by_one_at_most(
    hog: list[int], late: int, served_before: int, weight: float
) -> None:
    queue = FairQueue()
    fill(queue, "A", hog, weight=weight)
    for _ in range(served_before):
        serve(queue)
    (single,) = fill(queue, "B", [late])
    assert single in [serve(queue) for _ in range(2)]


@given(st.dictionaries(st.sampled_from("ABCDEF"), st.lists(COSTS, min_size=1, max_size=8), min_size=1))
def test_between_two_jobs_of_a_user_nobody_falls_behind_by_more_than_one_job(
    wishes: dict[str, list[int]],
) -> None:
    """The bound of deficit round-robin: among users who wait, served work differs by one job's cost."""
    queue = FairQueue()
    for user, costs in wishes.items():
        fill(queue, user, costs)
    served = dict.fromkeys(wishes, 0.0)
    largest = step_work(make_request(num_images_per_prompt=max(max(costs) for costs in wishes.values())))
    for _ in range(min(map(len, wishes.values()))):
        waiting = {job.user for job in queue}
        if waiting != set(wishes):
            break
        job = serve(queue)
        served[job.user] += job.cost
        assert max(served.values()) - min(served.values()) <= largest


@given(
    weights=st.lists(st.sampled_from([1, 2, 3, 5]), min_size=2, max_size=4),
    cost=COSTS,
)
def test_weights_give_shares(weights: list[int], cost: int) -> None:
    queue = FairQueue()
    for number, weight in enumerate(weights):
        fill(queue, f"user{number}", [cost] * 60, weight=weight)
    turns = 10 * sum(weights)
    counts = Counter(serve(queue).user for _ in range(turns))
    for number, weight in enumerate(weights):
        assert abs(counts[f"user{number}"] - 10 * weight) <= len(weights)


@given(
    large=st.integers(1, 20),
    small=st.integers(1, 3),
    members=st.integers(1, 4),
    weight=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_who_has_always_one_job_waiting_gets_no_more_than_who_queues_all(
    large: int, small: int, members: int, weight: float
) -> None:
    """A user who comes back for more as soon as a job is placed still owes for it."""
    queue = FairQueue()
    for member in range(members):
        fill(queue, f"member{member}", [small] * 200)
    queue.add(make_job("first", "B", images=large, weight=weight), 0.0)
    served: Counter[str] = Counter()
    for turn in range(150):
        job = serve(queue)
        served[job.user] += round(job.cost)
        if job.user == "B":
            queue.add(make_job(f"next{turn}", "B", images=large, weight=weight), 0.0)
    picture = step_work(make_request())
    share = served["B"] / weight - min(served[f"member{member}"] for member in range(members))
    assert share <= (large / weight + small) * picture


@given(st.lists(st.tuples(st.sampled_from("ABCDEFGH"), COSTS), max_size=80))
def test_debts_are_kept_while_somebody_waits_and_no_longer(wishes: list[tuple[str, int]]) -> None:
    queue = FairQueue()
    (patient,) = fill(queue, "patient", [1])
    queue.first(0.0)
    for number, (user, images) in enumerate(wishes):
        queue.add(make_job(f"job{number}", user, images=images), 0.0)
        queue.take(next(job for job in queue if job.user == user), 0.0)
        assert queue.debts <= len({name for name, _ in wishes[: number + 1]})
    queue.remove(patient)
    assert queue.debts == 0


def test_a_large_job_is_paid_for_afterwards() -> None:
    queue = FairQueue()
    fill(queue, "large", [4] * 3)
    fill(queue, "small", [1] * 9)
    assert "".join(serve(queue).user[0] for _ in range(12)) == "lsssslssssls"


@given(st.lists(st.tuples(st.sampled_from("ABC"), COSTS), max_size=30))
def test_the_order_told_is_the_order_served(wishes: list[tuple[str, int]]) -> None:
    queue = FairQueue()
    for number, (user, images) in enumerate(wishes):
        queue.add(make_job(str(number), user, images=images), 0.0)
    told = list(queue.order())
    assert told == [serve(queue) for _ in wishes]
    assert len(queue) == 0


@given(st.lists(st.sampled_from(["flood", "serve", "age"]), min_size=100, max_size=200))
def test_nothing_starves_under_a_flood_of_newcomers(story: list[str]) -> None:
    """Newcomers have no debt and so go first, but only until somebody has waited too long."""
    queue = FairQueue()
    patient = fill(queue, "patient", [20, 20])[1]
    assert serve(queue) is not patient
    now, left = 0.0, 0
    for number, event in enumerate(story):
        queue.add(make_job(f"flood{number}", f"newcomer{number}", since=now), now)
        now += AGING_SECONDS / 50 if event == "age" else 0.0
        if event != "flood":
            left += serve(queue, now) is patient
    if patient in queue:
        assert serve(queue, AGING_SECONDS + now) is patient
    else:
        assert left == 1


def test_old_jobs_go_first_oldest_first_one_for_each_user() -> None:
    queue = FairQueue()
    for number, user in enumerate("ABA"):
        queue.add(make_job(f"{user}{number}", user, weight=0.001), float(number))
    now = AGING_SECONDS + 10
    queue.add(make_job("new", "C", since=now), now)
    assert [serve(queue, now).job_id for _ in range(4)] == ["A0", "B1", "new", "A2"]


def test_an_old_queue_is_still_fair() -> None:
    """When everybody waits for minutes, one user's fifty jobs do not become older than another's only one."""
    queue = FairQueue()
    fill(queue, "A", [1] * 50)
    for turn in range(10):
        serve(queue, 30.0 * turn)
    queue.add(make_job("single", "B"), 300.0)
    assert "single" in [serve(queue, 330.0 + 30 * turn).job_id for turn in range(2)]


def test_what_is_passed_over_keeps_its_turn() -> None:
    queue = FairQueue()
    first, _ = fill(queue, "A", [4, 1])
    (other,) = fill(queue, "B", [1])
    assert queue.first(0.0, {first}) is other
    assert queue.first(0.0, {first, other}) is None
    assert queue.first(0.0) is first


def test_what_was_put_back_goes_before_all_others() -> None:
    queue = FairQueue()
    lost = fill(queue, "A", [1, 1])
    for job in lost:
        queue.take(job, 0.0)
        job.worker_died("cpu")
    fill(queue, "B", [1])
    for job in reversed(lost):
        queue.put_back(job)
    assert [job.job_id for job in queue.order()] == ["A0", "A1", "B0"]
    assert [serve(queue).job_id for _ in range(3)] == ["A0", "A1", "B0"]


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.booleans()), max_size=60))
def test_nothing_is_kept_of_those_who_left(story: list[tuple[str, bool]]) -> None:
    queue = FairQueue()
    jobs: list[Job] = []
    for number, (user, leaves) in enumerate(story):
        if leaves and jobs:
            assert queue.remove(jobs.pop(number % len(jobs)))
        else:
            jobs.append(make_job(str(number), user))
            queue.add(jobs[-1], 0.0)
        assert len(queue) == len(jobs)
        assert queue.users == len({job.user for job in jobs})
        assert queue.entries <= 2 * queue.users + 17
    for job in jobs:
        assert queue.remove(job)
        assert not queue.remove(job)
    assert (queue.users, queue.entries) == (0, 0)
