"""The jobs of the offline Discord as bars in the terminal, fed by the jobs themselves.

The message in the channel is edited every two seconds at most, and the demo model is quicker than that.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bot.errors import MemberError
from bot.generation import GenerationService
from bot.jobs import Job
from bot.reply import Delivery, JobProgress, Reply


@contextmanager
def job_bars(console: Console, service: GenerationService, members: Mapping[int, str]) -> Generator[None]:
    """Show a bar for each job that the service starts; `members` are names by user id."""

    def with_bar(job: Job, reply: Reply) -> Reply:
        name = members.get(job.origin.user_id or 0, "Somebody")
        return _ReplyWithBar(reply, bars, name, job.request.num_inference_steps)

    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"))
    with Progress(*columns, console=console) as bars:
        service.wrap_reply = with_bar
        yield


class _ReplyWithBar:
    """Implements `bot.reply.Reply`: moves a bar, and passes everything on to the member's own reply."""

    def __init__(self, reply: Reply, bars: Progress, name: str, steps: int) -> None:
        self._reply = reply
        self._bars = bars
        self._name = name
        self._steps = steps
        self._bar = bars.add_task(f"{name}: waiting", total=steps)

    def show_progress(self, progress: JobProgress) -> None:
        waiting = progress.position > 0
        self._show(f"waiting at place {progress.position}" if waiting else "drawing", step=progress.step)
        self._reply.show_progress(progress)

    async def deliver(self, delivery: Delivery) -> None:
        self._show("answering", step=self._steps)
        await self._reply.deliver(delivery)
        self._show("answered", step=self._steps)

    async def fail(self, error: MemberError) -> None:
        self._show(f"failed: {error.text('en-US')}")
        await self._reply.fail(error)

    def close(self) -> None:
        self._reply.close()

    def _show(self, state: str, *, step: int | None = None) -> None:
        self._bars.update(self._bar, description=f"{self._name}: {state}", completed=step)
