"""The worker's threads against each other: the real server and batching loop around a model that is held.

The test is the engine core at the other end of the socket. It decides when a step goes on and when a picture
comes off the device, so that each race is run in the order that was once wrong.
"""

from __future__ import annotations

import asyncio
import io
import os
import socket
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image as PillowImage

from engine.protocol import (
    Assign,
    Cancel,
    Cancelled,
    CoreToWorker,
    Drain,
    Failed,
    Finished,
    ModelCard,
    Progress,
    TerminalEvent,
    WorkerReady,
    WorkerToCore,
)
from engine.transport import Channel
from engine.worker.interfaces import Pending, Pixels
from engine.worker.server import WorkerServer
from tests.fixtures.engine import PATIENCE, make_request

STEPS = 2


class Gate:
    """Something that is held until the test lets it go on."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def open(self) -> None:
        self._event.set()

    def pass_through(self) -> None:
        assert self._event.wait(PATIENCE), "the test did not open it"

    async def passed(self) -> None:
        """Wait until it is open, and what the thread that opened it had said before is told."""
        await asyncio.to_thread(self.pass_through)


@dataclass(eq=False)
class HeldSample:
    """A picture in one grey."""

    job: Assign
    index: int
    calls: int = 0
    shape: tuple[int, int] = (64, 64)

    @property
    def job_id(self) -> str:
        return self.job.job_id

    @property
    def done(self) -> float:
        return self.calls / STEPS


class Handover(Sequence[Pixels | None]):
    """Pictures that say when each of them has been taken and encoded."""

    def __init__(self, pictures: list[Pixels | None], encoded: Gate) -> None:
        self._pictures = pictures
        self._encoded = encoded

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: Any) -> Any:
        return self._pictures[index]

    def __iter__(self) -> Iterator[Pixels | None]:
        yield from self._pictures
        self._encoded.open()


class HeldModel:
    """Takes two pictures at a time.

    The first two of the first job come off the device when `device` is opened, and those of later jobs when
    `device_later` is. The next step after that of the first two is made when `step_gate` is opened.
    """

    def __init__(self) -> None:
        self.card = ModelCard(name="held", sizes={"square": (64, 64)})
        self.max_batch_size = 2
        self.device, self.device_later, self.step_gate = Gate(), Gate(), Gate()
        self.in_step, self.encoded = Gate(), Gate()
        self.decoded: list[HeldSample] = []
        self._first: Assign | None = None

    def start(self, job: Assign) -> list[HeldSample]:
        self._first = self._first or job
        return [HeldSample(job, index) for index in range(job.request.num_images_per_prompt)]

    def step(self, samples: Sequence[HeldSample]) -> None:
        if self.decoded:
            self.in_step.open()
            self.step_gate.pass_through()
        for sample in samples:
            sample.calls += 1

    def decode(self, samples: Sequence[HeldSample]) -> Pending:
        self.decoded += samples
        pictures = [self._picture(sample) for sample in samples]
        if samples[0].job is not self._first:
            return lambda: self._hand_over(pictures, self.device_later)
        if samples[0].index > 0:
            return lambda: pictures
        return lambda: self._hand_over(pictures, self.device)

    def preview(self, sample: HeldSample) -> Pending:
        return lambda: [None]

    def _hand_over(self, pictures: list[Pixels | None], device: Gate) -> Sequence[Pixels | None]:
        device.pass_through()
        return Handover(pictures, self.encoded)

    def _picture(self, sample: HeldSample) -> Pixels | None:
        prompt = sample.job.request.prompt
        return None if prompt == "nan" else np.full((64, 64, 3), int(prompt), np.uint8)


class Core:
    """The other end of the worker's socket."""

    def __init__(self, channel: Channel[WorkerToCore, CoreToWorker], model: HeldModel) -> None:
        self.model = model
        self.heard: list[WorkerToCore] = []
        self._channel = channel
        self._incoming = aiter(channel)

    def assign(self, prompt: str, images: int) -> None:
        """A job which always has the same id; `prompt` is its grey, or `nan`."""
        request = make_request(prompt, num_images_per_prompt=images, num_inference_steps=STEPS)
        self._channel.send(Assign("the-job", request))

    def send(self, message: CoreToWorker) -> None:
        self._channel.send(message)

    async def next_end(self) -> TerminalEvent:
        """Read up to the next terminal event."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self.heard.append(await anext(self._incoming))
                if isinstance(self.heard[-1], TerminalEvent):
                    return self.heard[-1]

    async def drain(self) -> list[WorkerToCore]:
        """Let the worker end; what it said before that."""
        self.send(Drain())
        async with asyncio.timeout(PATIENCE):
            return [message async for message in self._incoming]


@pytest_asyncio.fixture
async def core(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Core]:
    """A worker that is ready. It ends in order, or it would take this process with it."""
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)
    ours, theirs = socket.socketpair()
    model = HeldModel()
    serving = asyncio.create_task(WorkerServer(lambda: model).serve(theirs))
    channel: Channel[WorkerToCore, CoreToWorker] = await Channel.open(ours, WorkerToCore)
    core = Core(channel, model)
    try:
        yield core
    finally:
        for gate in (model.device, model.device_later, model.step_gate):
            gate.open()
        core.send(Drain())
        async with asyncio.timeout(PATIENCE):
            await serving
        await channel.close()
    assert exits == []


def greys(event: TerminalEvent) -> list[object]:
    """The colours of the pictures."""
    assert isinstance(event, Finished), event
    files = [PillowImage.open(io.BytesIO(image.png)) for image in event.images]
    return [file.convert("L").getpixel((0, 0)) for file in files]


async def test_a_job_of_held_pictures_finishes(core: Core) -> None:
    core.model.device.open()
    core.model.step_gate.open()
    core.assign("10", images=3)
    assert greys(await core.next_end()) == [10, 10, 10]
    assert [type(message) for message in core.heard] == [WorkerReady, Progress, Progress, Finished]
    assert await core.drain() == []


@pytest.mark.parametrize("old", ["10", "nan"])
async def test_pictures_of_a_cancelled_job_are_not_of_the_next_with_its_id(core: Core, old: str) -> None:
    core.assign(old, images=3)
    await core.model.in_step.passed()
    core.send(Cancel("the-job"))
    await received(core)
    core.model.step_gate.open()
    assert await core.next_end() == Cancelled("the-job")
    core.assign("200", images=2)
    await received(core)
    core.model.device.open()
    await core.model.encoded.passed()
    core.model.device_later.open()
    assert greys(await core.next_end()) == [200, 200]
    assert await core.drain() == []


async def test_not_a_number_fails_the_job_once_and_stops_its_other_pictures(core: Core) -> None:
    core.assign("nan", images=3)
    await core.model.in_step.passed()
    core.model.device.open()
    end = await core.next_end()
    assert end == Failed("the-job", "generation_error", "the picture has NaN values")
    core.model.step_gate.open()
    assert await core.drain() == []
    assert [sample.index for sample in core.model.decoded] == [0, 1], "the third was not drawn to its end"


async def test_the_end_of_a_failed_job_is_not_of_the_next_with_its_id(core: Core) -> None:
    core.assign("nan", images=3)
    await core.model.in_step.passed()
    core.model.device.open()
    assert isinstance(await core.next_end(), Failed)
    core.assign("200", images=2)
    await received(core)
    core.model.device_later.open()
    core.model.step_gate.open()  # the device thread hears only now that the first one has ended
    assert greys(await core.next_end()) == [200, 200]
    assert await core.drain() == []


async def received(core: Core) -> None:
    """Let the server's event loop, which is this one, take what was sent."""
    for _ in range(50):
        await asyncio.sleep(0)
