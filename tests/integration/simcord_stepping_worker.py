"""The plain worker, held after each step until the test lets it go on.

A job goes on after its step n when the folder named by $STEPPING_WORKER_DIR has a file called n, or one
called `all`.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.fixtures import plain_worker
from tests.fixtures.counted_sample import CountedSample


class SteppingModel(plain_worker.PlainModel):
    """Tells of a step, and then waits for the test."""

    def may_go_on(self, sample: CountedSample) -> bool:
        """As the plain worker does, one step at a time."""
        folder = Path(os.environ["STEPPING_WORKER_DIR"])
        is_released = any((folder / name).exists() for name in ("all", str(sample.calls)))
        return super().may_go_on(sample) and (not sample.calls or is_released)


if __name__ == "__main__":
    plain_worker.PlainModel = SteppingModel
    plain_worker.main()
