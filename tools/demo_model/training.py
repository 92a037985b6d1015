"""What both trainings share: steps by a budget, a cosine schedule, an average of the weights, checkpoints.

Whatever is random in a step follows from the seed and the step's number, so that a training that was killed
and resumed sees the same batches and noise as one that was not.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tools.demo_model.progress import Progress

WARM_UP = 100
"""Steps until the learning rate is at its height."""
LAST_RATE = 0.02
"""Of the height, at the end."""
SAVE_EVERY = 120.0
"""Seconds."""
EMA_DECAY = 0.998


@dataclass(frozen=True)
class Budget:
    """How long to train: this many steps, or these minutes if given, however many steps they are."""

    steps: int
    minutes: float | None = None

    def spent(self, step: int, seconds: float) -> float:
        """The share of it, 1 at the end."""
        return step / self.steps if self.minutes is None else seconds / (self.minutes * 60)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to train, whatever is trained."""

    device: torch.device
    threads: int
    seed: int
    rate: float
    budget: Budget
    save_every: float = SAVE_EVERY


@dataclass
class Step:
    """What a step may know: its number, how far the training is, and dice of its own."""

    number: int
    spent: float
    dice: random.Random
    noise: torch.Generator


class Threads:
    """Uses as many threads as are fastest: beside other work, two that wait for each other are slower."""

    TRIAL = 4
    PERIOD = 200

    def __init__(self, most: int) -> None:
        self._offered = sorted({1, most})
        self._seconds: dict[int, float] = {}
        self._count = 0
        self.best = most

    def choose(self, seconds_of_last: float) -> int:
        """How many to use for the next step."""
        place = self._count % self.PERIOD
        if 0 < place <= self.TRIAL * len(self._offered):
            tried = self._offered[(place - 1) // self.TRIAL]
            self._seconds[tried] = min(seconds_of_last, self._seconds.get(tried, math.inf))
        elif place == 0:
            self._seconds.clear()
        self._count += 1
        if place < self.TRIAL * len(self._offered):
            return self._offered[place // self.TRIAL]
        self.best = min(self._seconds, key=lambda threads: self._seconds[threads])
        return self.best


def autocast(device: torch.device) -> torch.autocast:
    """Compute in bfloat16 where the device can: processors without AVX-512 imitate it, very slowly."""
    can = device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=can)


class Training:
    """Trains modules in steps, resumably, and keeps an average of their weights."""

    def __init__(self, modules: torch.nn.Module, folder: Path, options: Options) -> None:
        self.modules = modules
        self.options = options
        self.path = folder / "checkpoint.pt"
        self.average = [parameter.detach().clone() for parameter in modules.parameters()]
        self.optimizer = torch.optim.AdamW(
            modules.parameters(), lr=options.rate, betas=(0.9, 0.99), weight_decay=0.01
        )
        self.step = 0
        self.seconds = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self._load()

    @property
    def spent(self) -> float:
        """The share of the budget."""
        return self.options.budget.spent(self.step, self.seconds)

    def run(
        self,
        title: str,
        batch_loss: Callable[[Step], tuple[torch.Tensor, int]],
        after_step: Callable[[int, Progress], None] = lambda _step, _progress: None,
    ) -> None:
        """Train to the end of the budget.

        Args:
            batch_loss: the loss of a step, a scalar, and how many samples it was of.
            after_step: called with the number of steps done.
        """
        threads = Threads(self.options.threads)
        saved, took, mean_loss, rate = time.monotonic(), 0.0, math.nan, 0.0
        with Progress(title, total=100) as progress:
            while self.spent < 1:
                torch.set_num_threads(threads.choose(took))
                started = time.monotonic()
                loss, samples = batch_loss(self._next_step())
                self._update(loss)
                value = float(loss.detach())
                took = time.monotonic() - started
                self.seconds += took
                mean_loss = value if math.isnan(mean_loss) else mean_loss + 0.02 * (value - mean_loss)
                rate += max(0.02, 1 / (self.step + 1)) * (samples / took - rate)
                note = f"step {self.step} loss {mean_loss:.4f} {rate:.1f} samples/s {threads.best} threads"
                progress.show(100 * self.spent, note)
                after_step(self.step, progress)
                if time.monotonic() - saved > self.options.save_every:
                    self.save()
                    saved = time.monotonic()
        self.save()

    def _next_step(self) -> Step:
        name = f"{self.options.seed}/{self.step}"
        noise = torch.Generator().manual_seed(random.Random(name).getrandbits(60))
        return Step(self.step, self.spent, random.Random(name), noise)

    def _update(self, loss: torch.Tensor) -> None:
        warm = min(1.0, (self.step + 1) / WARM_UP)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, self.spent)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate * warm * (LAST_RATE + (1 - LAST_RATE) * cosine)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.modules.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        # The first weights are noise: the average forgets them soon.
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for average, parameter in zip(self.average, self.modules.parameters(), strict=True):
                average.lerp_(parameter, 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it the modules have the averaged weights and are in eval mode."""
        own = [parameter.detach().clone() for parameter in self.modules.parameters()]
        self._fill(self.average)
        self.modules.eval()
        try:
            yield
        finally:
            self._fill(own)
            self.modules.train()

    @torch.no_grad()
    def _fill(self, values: list[torch.Tensor]) -> None:
        for parameter, value in zip(self.modules.parameters(), values, strict=True):
            parameter.copy_(value)

    def save(self) -> None:
        """Write the checkpoint; whoever is killed meanwhile keeps the last one."""
        content = {
            "step": self.step,
            "seconds": self.seconds,
            "modules": self.modules.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        unfinished = self.path.with_suffix(".new")
        torch.save(content, unfinished)
        unfinished.replace(self.path)

    def _load(self) -> None:
        if not self.path.exists():
            return
        content: dict[str, Any] = torch.load(self.path, map_location=self.options.device, weights_only=True)
        self.modules.load_state_dict(content["modules"])
        self.average = content["average"]
        self.optimizer.load_state_dict(content["optimizer"])
        self.step, self.seconds = content["step"], content["seconds"]
