"""A short run of the benchmark that kills at random; `python -m benchmarks.chaos` is the long one."""

from __future__ import annotations

from benchmarks.chaos import GOALS, run_chaos

JOBS = 15


async def test_nothing_is_lost_or_done_twice_whatever_is_killed() -> None:
    outcome = await run_chaos(jobs=JOBS, seed=1)
    assert outcome.jobs >= JOBS
    assert outcome.killed.get("bot", 0) >= 1
    assert {key: getattr(outcome, key) for key in GOALS} == dict.fromkeys(GOALS, 0)
    assert outcome.delivered + outcome.failed_and_refunded == outcome.jobs
