"""An engine that can never draw says so in one sentence, and fails every job at once."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.models import DEMO_FOLDER
from engine.protocol import EngineReady, EngineUnavailable, Failed, Progress
from tests.fixtures.engine import PATIENCE, REAL_WORKER, Engine, running_engine


def no_folder(model: Path) -> None:
    shutil.rmtree(model)


def broken_index(model: Path) -> None:
    (model / "model_index.json").write_text('{"_class_name": ')


def empty_weights(model: Path) -> None:
    (model / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"")


def no_vae(model: Path) -> None:
    shutil.rmtree(model / "vae")


def card_with_foreign_bytes(model: Path) -> None:
    (model / "trinart_model.json").write_bytes(b'{"name": "\xff", "sizes": {"square": [64, 64]}}')


def garbage_weights(model: Path) -> None:
    (model / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"\xff" * 4096)


async def assert_says_no(engine: Engine) -> None:
    """The status is one sentence, and a job fails with it."""
    status = engine.client.status
    assert isinstance(status, EngineUnavailable)
    assert status.reason
    assert "\n" not in status.reason
    end = await engine.submit("a cat").ended()
    assert end == Failed("job-0", "model_unavailable", status.reason)
    assert engine.client.card is None


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the demo model to be broken."""
    return Path(shutil.copytree(DEMO_FOLDER, tmp_path / "model"))


@pytest.mark.parametrize(
    "harm",
    [no_folder, broken_index, empty_weights, no_vae, card_with_foreign_bytes],
    ids=lambda f: f.__name__,
)
async def test_a_broken_model_folder(tmp_path: Path, model: Path, harm: Callable[[Path], None]) -> None:
    harm(model)
    async with running_engine(tmp_path, model=model) as engine:
        await assert_says_no(engine)
        assert engine.workers() == []
        assert isinstance(engine.client.status, EngineUnavailable)
        assert str(model) in engine.client.status.reason


@pytest.mark.parametrize("devices", ["gpu", "cpu*0", "cpu*00", "cuda", ""])
async def test_a_devices_setting_that_means_nothing(tmp_path: Path, devices: str) -> None:
    async with running_engine(tmp_path, devices=devices) as engine:
        await assert_says_no(engine)
        assert isinstance(engine.client.status, EngineUnavailable)
        assert "TRINART_DEVICES" in engine.client.status.reason


async def test_a_worker_that_never_starts(tmp_path: Path) -> None:
    async with running_engine(tmp_path, worker_module="tests.fixtures.no_such_worker") as engine:
        await assert_says_no(engine)


async def test_jobs_that_came_before_the_bad_news_fail_too(tmp_path: Path, model: Path) -> None:
    async with running_engine(tmp_path, model=model) as engine:
        jobs = engine.submit_all(["a slow cat"] * 20)
        await jobs[0].seen(Progress)
        empty_weights(model)
        engine.process.kill()
        ends = await asyncio.gather(*(job.ended() for job in jobs))
        assert [getattr(end, "code", "") for end in ends] == ["model_unavailable"] * 20


async def test_weights_that_only_the_real_worker_can_judge(tmp_path: Path, model: Path) -> None:
    garbage_weights(model)
    async with running_engine(tmp_path, model=model, worker_module=REAL_WORKER) as engine:
        await assert_says_no(engine)


async def test_the_engine_draws_on_the_devices_that_work(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    devices = "cpu,cuda:99"
    async with running_engine(tmp_path, devices=devices, worker_module=REAL_WORKER) as engine:
        assert await engine.submit("a cat").pictures()
        assert isinstance(engine.client.status, EngineReady)
        assert engine.client.status.devices == ["cpu"]
        said = ""
        async with asyncio.timeout(PATIENCE):
            while "the engine goes on without cuda:99, with cpu" not in said:
                said += capfd.readouterr().err
                await asyncio.sleep(0.01)
        assert "TRINART_DEVICES names cuda:99" in said


async def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    async with running_engine(tmp_path, devices="cuda:99", worker_module=REAL_WORKER) as engine:
        await assert_says_no(engine)
        assert isinstance(engine.client.status, EngineUnavailable)
        assert "TRINART_DEVICES names cuda:99" in engine.client.status.reason
