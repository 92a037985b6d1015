"""What to do when a call for several samples fails: find those that are the cause, and spare the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from engine.worker.interfaces import OutOfMemory, Sample

log = logging.getLogger(__name__)


def call_or_halve(
    call: Callable[[Sequence[Sample]], None],
    samples: Sequence[Sample],
    *,
    is_wanted: Callable[[Sample], bool],
    fail: Callable[[Sample, Exception], None],
) -> int:
    """Make a call; where it fails, halve it until it works, or fails for one sample, which alone is to blame.

    Args:
        call: changes no sample if it raises.
        is_wanted: asked before a half is called, as a failure may have ended the job of others too.
        fail: told of a sample that fails alone.

    Returns:
        How many samples the device's memory has room for at once: all of them, unless it said otherwise.
    """
    error = _try(call, samples)
    if error is None:
        return len(samples)
    if len(samples) == 1:
        fail(samples[0], error)
        return 1
    middle = len(samples) // 2
    room = middle if isinstance(error, OutOfMemory) else len(samples)
    for half in (samples[:middle], samples[middle:]):
        if wanted := [sample for sample in half if is_wanted(sample)]:
            half_room = call_or_halve(call, wanted, is_wanted=is_wanted, fail=fail)
            room = min(room, half_room) if half_room < len(wanted) else room
    return room


def _try(call: Callable[[Sequence[Sample]], None], samples: Sequence[Sample]) -> Exception | None:
    """The call's error without the traceback, whose frames would keep the call's memory in use."""
    try:
        call(samples)
    except Exception as error:
        names = ", ".join(dict.fromkeys(sample.job_id for sample in samples))
        log.warning("a call for %d samples failed; jobs %s", len(samples), names, exc_info=True)
        return error.with_traceback(None)
    return None
