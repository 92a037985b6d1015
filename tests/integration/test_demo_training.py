"""The training of the demo model, in tiny: from nothing, killed at any time, to a model that draws."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.models import read_model
from engine.protocol import Assign
from engine.worker.loading import ModelOptions, load_model
from tests.fixtures.checkpoints import do_import
from tests.fixtures.engine import make_request
from tools.demo_model.compvis import write_compvis
from tools.demo_model.dataset import face_at, pictures
from tools.demo_model.renderer import render
from tools.demo_model.stages import Stages
from tools.demo_model.training import Budget, Options, Step, Training

NO_MINUTES = {"autoencoder_minutes": None, "denoiser_minutes": None}
COUNT = 64
"""Square pictures that --quick makes."""


def start_training(work: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tools.demo_model.train", "--work", work, "--quick", "--device", "cpu"]
    return subprocess.Popen([*command, "--threads", "1"], stdout=subprocess.DEVNULL)


def kill_once_there(training: subprocess.Popen[bytes], file: Path) -> None:
    """SIGKILL it as soon as it has written a file."""
    while not file.exists():
        with suppress(subprocess.TimeoutExpired):
            training.wait(timeout=0.02)
            pytest.fail("it ended before it wrote the file")
    training.kill()
    assert training.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of a training that was killed and resumed."""
    work = tmp_path_factory.mktemp("training")
    kill_once_there(start_training(work), work / "denoiser" / "checkpoint.pt")
    assert not (work / "denoiser" / "finished").exists()
    assert start_training(work).wait() == 0
    return work


def test_a_killed_training_ends_with_a_model_that_draws(trained: Path) -> None:
    card = read_model(trained / "model")
    assert card.sizes == {"square": (128, 128), "portrait": (128, 160), "landscape": (160, 128)}
    assert draw(trained / "model").shape == (160, 128, 3)


def test_its_compvis_checkpoint_draws_the_same(trained: Path, tmp_path: Path) -> None:
    write_compvis(trained / "model", tmp_path)
    for name in ("demo.ckpt", "demo.safetensors"):
        folder = do_import(
            tmp_path / name.replace(".", "-"),
            tmp_path / name,
            tmp_path / "demo-autoencoder.ckpt",
            config_dir=trained / "model",
        )
        np.testing.assert_array_equal(draw(folder), draw(trained / "model"))


def test_its_pictures_are_those_of_their_numbers(trained: Path) -> None:
    made = pictures(trained, "square", COUNT).read()
    for index in (0, COUNT - 1):
        np.testing.assert_array_equal(made[index], np.asarray(render(face_at("square", index), 128, 128)))


def test_what_is_done_is_not_done_again(trained: Path) -> None:
    folders = ("pictures", "autoencoder", "denoiser")
    before = {path: path.stat().st_mtime_ns for part in folders for path in (trained / part).rglob("*")}

    stages = Stages(argparse.Namespace(work=trained, quick=True, device="cpu", threads=1, **NO_MINUTES))
    for run in stages.by_name.values():
        run()

    after = {path: path.stat().st_mtime_ns for part in folders for path in (trained / part).rglob("*")}
    assert after == before


def draw(folder: Path) -> np.ndarray:
    model = load_model(folder, ModelOptions())
    request = make_request("1girl, blue hair", width=128, height=160, num_inference_steps=2)
    [sample] = model.start(Assign("job", request))
    while sample.done < 1:
        model.step([sample])
    [picture] = model.decode([sample])()
    assert picture is not None
    return picture


class Stop(Exception):
    """As if the process was killed."""


def train_line(folder: Path, stop_at: int | None = None) -> tuple[list[float], list[torch.Tensor]]:
    """Fit a line in 12 steps; the losses of this run's steps, and the averaged weights."""
    torch.manual_seed(0)
    line = torch.nn.Linear(3, 1)
    options = Options(
        device=torch.device("cpu"), threads=1, seed=5, rate=0.1, budget=Budget(12), save_every=-1.0
    )
    training = Training(line, folder, options)
    losses: list[float] = []

    def batch_loss(step: Step) -> tuple[torch.Tensor, int]:
        if step.number == stop_at:
            raise Stop
        batch = torch.randn(4, 3, generator=step.noise)
        loss = (line(batch) - batch.sum() * step.dice.random()).pow(2).mean()
        losses.append(loss.item())
        return loss, 4

    training.run("a line", batch_loss)
    return losses, training.average


def test_a_resumed_training_goes_as_if_it_had_not_been_stopped(tmp_path: Path) -> None:
    losses, average = train_line(tmp_path / "whole")
    with pytest.raises(Stop):
        train_line(tmp_path / "parts", stop_at=7)

    resumed, resumed_average = train_line(tmp_path / "parts")

    assert resumed == losses[7:]
    for one, other in zip(average, resumed_average, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_the_average_is_used_only_where_it_is_asked_for(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 2)
    options = Options(device=torch.device("cpu"), threads=1, seed=5, rate=0.1, budget=Budget(1))
    training = Training(layer, tmp_path, options)
    own = layer.weight.detach().clone()
    training.average = [torch.zeros_like(each) for each in layer.parameters()]

    with training.averaged():
        assert not layer.training
        assert not layer.weight.any()

    assert layer.training
    assert torch.equal(layer.weight, own)
