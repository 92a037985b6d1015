"""Whose job is next: weighted deficit round-robin over users, with aging. Step 6 of a request's life.

Runs in the engine process, without a clock or any I/O of its own. In each round every waiting user is given
one unit of step-work per unit of weight. A user without a debt may have a job placed, and owes its cost from
then on. Two things differ from the textbook, where a job waits until its user has saved enough for it:

- The debt comes after the job. So a user who comes new is served at the next turn, however large the job
  and however many jobs the others have, and nobody is served twice meanwhile.
- Rounds in which all are in debt take no time: a user's place in the heap is the round in which the debt is
  paid off. Placing costs O(log users).

A user's debt outlives the last waiting job, until it is paid off or nobody waits any more: else whoever has
always just one job waiting would never owe anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count

from engine.core.jobs import Job

AGING_SECONDS = 60.0
"""A user who waited so long without being served goes first, whatever the weights and debts. It is counted
from the user's last turn and not from each job's coming: otherwise all jobs of a long queue would be old,
and it would be first come, first served again."""


@dataclass(eq=False, slots=True)
class _User:
    name: str
    since: float
    """Of the last turn, or of coming."""
    round: float
    """In which the debt is paid off."""
    order: int
    """Between users of the same round."""
    jobs: deque[Job] = field(default_factory=deque[Job])


class FairQueue:
    """The waiting jobs in the order in which they are to be served."""

    def __init__(self) -> None:
        self._returned: deque[Job] = deque()
        self._users: dict[str, _User] = {}
        self._debts: dict[str, float] = {}
        """Of users without a waiting job: the rounds in which they are paid off."""
        self._turns: list[tuple[float, int, _User]] = []
        self._round = 0.0
        self._order = count()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Job]:
        """All waiting jobs, in no particular order."""
        yield from self._returned
        for user in self._users.values():
            yield from user.jobs

    @property
    def users(self) -> int:
        """How many users have jobs waiting, those that were put back aside."""
        return len(self._users)

    @property
    def entries(self) -> int:
        """What the heap holds; a little more than its users."""
        return len(self._turns)

    @property
    def debts(self) -> int:
        """How many users without a waiting job owe something."""
        return len(self._debts)

    def add(self, job: Job, now: float) -> None:
        """A job starts to wait, behind the others of its user."""
        user = self._users.get(job.user)
        if user is None:
            round_ = max(self._round, self._debts.pop(job.user, 0.0))
            user = self._users[job.user] = _User(job.user, now, round_, next(self._order))
            self._push(user)
        user.jobs.append(job)
        self._length += 1

    def put_back(self, job: Job) -> None:
        """A job whose worker was lost waits again, before all others: it has had its turn already."""
        self._returned.appendleft(job)
        self._length += 1

    def remove(self, job: Job) -> bool:
        """Take a job out without its turn being used; False if it does not wait."""
        user = self._users.get(job.user)
        for jobs in (self._returned, user.jobs if user is not None else None):
            if jobs is not None and job in jobs:
                jobs.remove(job)
                self._length -= 1
                self._forget_if_done(user)
                return True
        return False

    def first(self, now: float, passed: Container[Job] = ()) -> Job | None:
        """The next job; without those `passed` over, and without what waits behind them."""
        for job in self._returned:
            if job not in passed:
                return job
        user = self._oldest(now, passed) or self._next(passed)
        return user.jobs[0] if user is not None else None

    def take(self, job: Job, now: float) -> None:
        """The job leaves the queue because it is placed; its user has had a turn."""
        self._length -= 1
        if job.is_suspect and job in self._returned:
            self._returned.remove(job)
            return
        user = self._users[job.user]
        user.jobs.remove(job)
        self._round = max(self._round, user.round)
        user.round = max(self._round, user.round) + job.cost / job.weight
        user.since, user.order = now, next(self._order)
        self._push(user)
        self._forget_if_done(user)

    def order(self) -> Iterator[Job]:
        """All jobs as they would be served if nobody came or left; aging aside. O(jobs × log users)."""
        yield from self._returned
        jobs = {name: iter(tuple(user.jobs)) for name, user in self._users.items()}
        turns = [(*turn[:2], turn[2].name) for turn in self._turns if self._is_current(turn)]
        order = count(next(self._order))
        while turns:
            round_, _, name = heappop(turns)
            job = next(jobs[name], None)
            if job is not None:
                yield job
                heappush(turns, (round_ + job.cost / job.weight, next(order), name))

    def _oldest(self, now: float, passed: Container[Job]) -> _User | None:
        """The user who has waited longest, if that is too long.

        `_users` is in the order of the last turns, so only its first ones are looked at.
        """
        for user in self._users.values():
            if now - user.since < AGING_SECONDS:
                return None
            if user.jobs[0] not in passed:
                return user
        return None

    def _next(self, passed: Container[Job]) -> _User | None:
        """The user whose debt is paid off first."""
        passed_over: list[tuple[float, int, _User]] = []
        found: _User | None = None
        while self._turns and found is None:
            turn = self._turns[0]
            if self._is_current(turn) and turn[2].jobs[0] not in passed:
                found = turn[2]
                break
            heappop(self._turns)
            if self._is_current(turn):
                passed_over.append(turn)
        for turn in passed_over:
            heappush(self._turns, turn)
        return found

    def _push(self, user: _User) -> None:
        if len(self._turns) > 2 * len(self._users) + 16:
            self._turns = [turn for turn in self._turns if self._is_current(turn)]
            heapify(self._turns)
        heappush(self._turns, (user.round, user.order, user))
        self._users[user.name] = self._users.pop(user.name)  # to the end: it waits least

    def _is_current(self, turn: tuple[float, int, _User]) -> bool:
        """Whether an entry of the heap still holds: what changed stays in it until it comes to the top."""
        _, order, user = turn
        return user.order == order and self._users.get(user.name) is user

    def _remember_debt(self, user: _User) -> None:
        if len(self._debts) > 2 * len(self._users) + 16:
            self._debts = {name: debt for name, debt in self._debts.items() if debt > self._round}
        self._debts[user.name] = user.round

    def _forget_if_done(self, user: _User | None) -> None:
        if user is not None and not user.jobs and self._users.get(user.name) is user:
            del self._users[user.name]
            if user.round > self._round:
                self._remember_debt(user)
        if not self._users:
            self._turns.clear()
            self._debts.clear()
            self._round = 0.0
