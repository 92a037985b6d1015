"""The plain worker, held after each step until the test lets it go on.

Step n of a job ends when the folder named by $STEPPING_WORKER_DIR has a file called n, or one called `all`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.worker.batch import Batch, Drawing
from tests.fixtures import plain_worker


class SteppingPipeline(plain_worker.PlainPipeline):
    """Tells of a step, and then waits for the test."""

    def draw(self, batch: Batch) -> list[Drawing]:
        """As the plain worker does, one step at a time."""

        def on_step(step: int, steps: int) -> None:
            batch.on_step(step, steps)
            wait_for_any(("all", str(step)), batch)

        return super().draw(replace(batch, on_step=on_step))


def wait_for_any(names: Sequence[str], batch: Batch) -> None:
    """Hold the batch until one of the files is there, or nobody wants the batch any more."""
    folder = Path(os.environ["STEPPING_WORKER_DIR"])
    while not any((folder / name).exists() for name in names) and not plain_worker.everyone_left(batch):
        time.sleep(plain_worker.POLL_SECONDS)


if __name__ == "__main__":
    plain_worker.PlainPipeline = SteppingPipeline
    plain_worker.main()
