"""Which job runs where, and how each comes to its end. Step 6 of a request's life, without processes.

Runs in the engine process and is plain calculation: messages go out through `send` and the workers' handles,
and the time comes from `clock`, so that a test can drive it through anything
(tests/unit/test_core_machine.py).

The invariant: a job that was accepted is in `_jobs`, and either waits in `_queue`, or is on one of `_loads`,
or its pictures are in `checks`. It leaves all of them in `_end`, which sends its one terminal event. Nothing
else removes a job.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, KeysView, Sequence

from engine.core.checks import CheckerHandle, Checks
from engine.core.fair_queue import FairQueue
from engine.core.jobs import Job, eta_differs, problem_of
from engine.core.load import WorkerHandle, WorkerLoad
from engine.protocol import (
    Accepted,
    Assign,
    Cancel,
    Cancelled,
    EngineToBot,
    EngineUnavailable,
    Failed,
    FailureCode,
    Finished,
    Preview,
    Progress,
    Queued,
    Submit,
    TerminalEvent,
    WorkerJobEvent,
    WorkerReady,
)

log = logging.getLogger(__name__)

MAX_LOST_WORKERS = 2
"""A job that was on this many workers when they died is taken for the cause, and fails. It was alone on the
last of them."""


class Dispatcher:
    """All jobs of one engine."""

    def __init__(
        self,
        send: Callable[[EngineToBot], None],
        clock: Callable[[], float],
        checker: CheckerHandle,
        *,
        queue_limit: int,
        preview_limit: float,
    ) -> None:
        self._send = send
        self._clock = clock
        self._queue_limit = queue_limit
        self._jobs: dict[str, Job] = {}
        self._queue = FairQueue()
        self._loads: dict[WorkerHandle, WorkerLoad] = {}
        self._worker_of: dict[str, WorkerLoad] = {}
        self.checks = Checks(checker, self._checked, self._preview_passed, preview_limit=preview_limit)
        self._unavailable_reason = ""
        self._draining = False

    @property
    def has_waiting(self) -> bool:
        """Whether there are positions to announce."""
        return len(self._queue) > 0

    @property
    def jobs(self) -> KeysView[str]:
        """The ids of the jobs that have not ended."""
        return self._jobs.keys()

    # --- what the bot says ---

    def submit(self, message: Submit) -> None:
        """Accept a job, or say at once why not."""
        if message.job_id in self._jobs:
            return  # it came once before
        now = self._clock()
        job = Job.of(message, now)
        refusal = self._refusal(job, message, now)
        if refusal is not None:
            self._send(refusal)
            return
        self._jobs[job.job_id] = job
        self._send(Accepted(job.job_id))
        if self._unavailable_reason:
            self._fail(job, "model_unavailable", self._unavailable_reason)
            return
        self._queue.add(job, now)
        self._place(now)

    def _refusal(self, job: Job, message: Submit, now: float) -> Failed | None:
        """Why a job is not accepted. One that was accepted before is, if it can be drawn at all."""
        if problem := problem_of(job.request):
            return Failed(job.job_id, "invalid_request", problem)
        if message.accepted or self._unavailable_reason:
            return None
        if len(self._queue) >= self._queue_limit:
            return Failed(job.job_id, "queue_full", f"{len(self._queue)} jobs are waiting")
        if message.deadline_seconds > 0:
            eta = self._eta_if_added(job, now)
            if eta is not None and eta > message.deadline_seconds:
                detail = f"it would take {eta:.1f} s, and has {message.deadline_seconds:.1f} s"
                return Failed(job.job_id, "deadline", detail)
        return None

    def cancel(self, job_id: str) -> None:
        """End a job that waits; ask the worker of one that does not. For one that is drawn it is too late."""
        job = self._jobs.get(job_id)
        if job is None or job_id in self.checks:
            return
        load = self._worker_of.get(job_id)
        if load is None:
            self._end(job, Cancelled(job_id))
            self._place(self._clock())
        elif not job.cancelled:
            job.cancelled = True  # remembered in case the worker dies before it answers
            load.handle.send(Cancel(job_id))

    def drain(self) -> None:
        """Place nothing more: what waits now is for the bot's next start."""
        self._draining = True

    def become_unavailable(self, reason: str) -> None:
        """Nobody can draw or check pictures, and nobody will: all jobs fail that are not drawn yet, and those
        to come."""
        log.error("the engine cannot draw: %s", reason)
        self._unavailable_reason = reason
        self._send(EngineUnavailable(reason))
        for job in list(self._jobs.values()):
            if job.job_id in self.checks:
                continue
            if load := self._worker_of.get(job.job_id):
                load.handle.send(Cancel(job.job_id))  # nobody will see what it draws
            self._fail(job, "model_unavailable", reason)

    # --- what the workers say ---

    def worker_ready(self, worker: WorkerHandle, ready: WorkerReady) -> None:
        """A worker has loaded the model."""
        load = self._loads.setdefault(worker, WorkerLoad(worker))
        load.card, load.max_batch_size = ready.model, ready.max_batch_size
        self._place(self._clock())

    def worker_event(self, worker: WorkerHandle, event: WorkerJobEvent) -> None:
        """Progress or an ending of one of the worker's jobs; events of other jobs are its mistake."""
        load = self._loads.get(worker)
        job = load.jobs.get(event.job_id) if load is not None else None
        if load is None or job is None:
            log.error("worker %s spoke of a job that is not its own: %s", worker.device, type(event).__name__)
        elif isinstance(event, Preview):
            self.checks.add_preview(event)
        elif isinstance(event, Progress):
            self._progress(load, job, event)
        else:
            if isinstance(event, Finished) and event.images:
                self._drawn(load, job, event)
            else:
                self._end(job, event)
            self._place(self._clock())

    def _drawn(self, load: WorkerLoad, job: Job, event: Finished) -> None:
        """The worker is free for others while the pictures are looked at."""
        del self._worker_of[job.job_id]
        load.remove(job)
        self.checks.add(event)

    def _progress(self, load: WorkerLoad, job: Job, event: Progress) -> None:
        now = self._clock()
        made_room = load.progress(job, event.step / max(1, event.num_steps), now)
        self._send(Progress(event.job_id, event.step, event.num_steps, job.seconds_left(now)))
        if made_room:
            self._place(now)

    def worker_lost(self, worker: WorkerHandle) -> None:
        """A worker is gone. Its jobs wait again before all others, but for those that end here."""
        load = self._loads.get(worker)
        jobs: Sequence[Job] = load.lose_all() if load is not None else ()
        if jobs:
            names = ", ".join(job.job_id for job in jobs)
            log.warning("worker %s was lost with %d jobs: %s", worker.device, len(jobs), names)
        for job in reversed(jobs):
            del self._worker_of[job.job_id]
            job.worker_died(worker.device)
            if job.cancelled:
                self._end(job, Cancelled(job.job_id))
            elif len(job.died_on) >= MAX_LOST_WORKERS:
                devices = ", ".join(job.died_on)
                log.error("job %s is given up: its workers died on %s", job.job_id, devices)
                self._fail(job, "worker_lost", f"the workers of job {job.job_id} died: {devices}")
            else:
                self._queue.put_back(job)
        self._place(self._clock())

    # --- what the check says ---

    def _checked(self, event: Finished | Failed) -> None:
        self._end(self._jobs[event.job_id], event)
        self._place(self._clock())

    def _preview_passed(self, preview: Preview) -> None:
        if preview.job_id in self._worker_of:
            self._send(preview)

    # --- endings: here and nowhere else ---

    def _end(self, job: Job, event: TerminalEvent) -> None:
        """Forget the job wherever it is, and send its terminal event."""
        del self._jobs[job.job_id]
        load = self._worker_of.pop(job.job_id, None)
        if load is not None:
            load.remove(job)
        elif job.job_id in self.checks:
            self.checks.forget(job.job_id)
        else:
            self._queue.remove(job)
        self._send(event)

    def _fail(self, job: Job, code: FailureCode, detail: str) -> None:
        self._end(job, Failed(job.job_id, code, detail))

    # --- placing ---

    def _place(self, now: float) -> None:
        """Hand waiting jobs, in the order of their turns, to the workers with the least to do.

        A job for which no worker has room keeps one for itself: nothing else joins that worker, which so
        becomes empty enough. Jobs behind it go to the other workers meanwhile.
        """
        if self._draining or self.checks.is_full:
            return
        loads = [load for load in self._loads.values() if load.is_ready]
        # Jobs with which a worker died have one worker each, but never all of them together: those whose
        # worker lives should not notice.
        for_suspects = max(1, len(loads) // 2) - sum(load.has_suspect for load in loads)
        passed: set[Job] = set()
        while any(load.has_room for load in loads):
            job = self._queue.first(now, passed)
            if job is None:
                return
            if job.is_suspect:
                for_suspects -= 1
                if for_suspects < 0:
                    passed.add(job)
                    continue
            able = [load for load in loads if load.has_room_for(job)]
            if able:
                self._assign(job, min(able, key=_least_to_do), now)
            else:
                passed.add(job)
                loads.remove(min((load for load in loads if not load.has_suspect), key=_least_to_do))

    def _assign(self, job: Job, load: WorkerLoad, now: float) -> None:
        self._queue.take(job, now)
        self._worker_of[job.job_id] = load
        load.add(job, now)
        load.handle.send(Assign(job.job_id, job.request))

    # --- how long it takes ---

    def _speed(self) -> float | None:
        """Step-work per second of all workers together; one that was not measured is like the others."""
        ready = [load for load in self._loads.values() if load.is_ready]
        speeds = [load.speed for load in ready if load.speed]
        return sum(speeds) / len(speeds) * len(ready) if speeds else None

    def _eta_if_added(self, job: Job, now: float) -> float | None:
        """In how many seconds a job would be done that is not in the queue yet."""
        speed = self._speed()
        if speed is None:
            return None
        ahead = sum(load.outstanding for load in self._loads.values())
        self._queue.add(job, now)
        for each in self._queue.order():
            ahead += each.cost
            if each is job:
                break
        self._queue.remove(job)
        return ahead / speed

    def announce(self) -> None:
        """Tell the waiting jobs their positions, and how long it takes, where that has changed."""
        speed = self._speed()
        work = sum(load.outstanding for load in self._loads.values())
        for position, job in enumerate(self._queue.order(), start=1):
            work += job.cost
            eta = work / speed if speed else None
            if position != job.announced[0] or eta_differs(eta, job.announced[1]):
                job.announced = position, eta
                self._send(Queued(job.job_id, position, eta))


def _least_to_do(load: WorkerLoad) -> float:
    return load.outstanding
