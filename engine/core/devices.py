"""Which devices the workers run on: the meaning of TRINART_DEVICES."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

_DEVICE = re.compile(r"(cpu|cuda:[0-9]+)(?:\*([1-9][0-9]?))?")

DRIVERS = [Path("/dev/nvidiactl"), Path("/dev/dxg")]
"""One of them is there where a CUDA device can be."""


class DeviceError(Exception):
    """The setting cannot be understood; the message is one sentence for the operator."""


def parse_devices(setting: str) -> list[str]:
    """One entry per worker: `cuda:0,cuda:1` or `cpu*2` (two workers on the CPU).

    Raises:
        DeviceError: for anything else.
    """
    devices: list[str] = []
    for part in setting.replace(" ", "").split(","):
        match = _DEVICE.fullmatch(part)
        if match is None:
            raise DeviceError(
                f"TRINART_DEVICES is {setting!r}: it must be auto, "
                "or a list such as cpu, cpu*2 or cuda:0,cuda:1."
            )
        devices += [match[1]] * int(match[2] or 1)
    return devices


async def find_devices(setting: str) -> list[str]:
    """`parse_devices`, with `auto` meaning every CUDA device, or the CPU where there is none."""
    if setting.strip() != "auto":
        return parse_devices(setting)
    # Asking torch takes seconds; where there is no driver at all the answer is known.
    if not any(path.exists() for path in DRIVERS):
        return ["cpu"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c"),
        "import torch; print(torch.cuda.device_count())",
        stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:  # nobody waits for the answer any more
            process.kill()
            await process.wait()
    last_line = output.decode(errors="replace").strip().rpartition("\n")[2]
    count = int(last_line) if last_line.isdigit() else 0
    return [f"cuda:{index}" for index in range(count)] or ["cpu"]


def default_threads(devices: list[str]) -> int:
    """Torch threads per worker: all cores but one, shared out among the CPU workers.

    One core stays free for the bot and the PNG encoder: threads that wait for a busy core make a step
    ten times slower than having one thread less.
    """
    return max(1, ((os.cpu_count() or 1) - 1) // max(1, devices.count("cpu")))
