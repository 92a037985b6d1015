"""The demo model on a CUDA device: `pytest -m gpu` on a machine that has one."""

from __future__ import annotations

import pytest
import torch

from engine.models import DEMO_FOLDER
from engine.protocol import Assign
from engine.worker.loading import ModelOptions, load_model
from engine.worker.model import DiffusionModel
from tests.fixtures.engine import make_request

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def draw(model: DiffusionModel, seeds: range) -> torch.Tensor:
    """Pictures of these seeds, drawn in one batch; float, shape (seeds, height, width, 3)."""
    samples = [
        sample
        for seed in seeds
        for sample in model.start(Assign(f"job-{seed}", make_request("1girl, blue hair", seed=seed)))
    ]
    while samples[0].done < 1:
        model.step(samples)
    pictures = model.decode(samples)()
    return torch.stack([torch.from_numpy(picture).float() for picture in pictures if picture is not None])


@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_picture_is_nearly_the_one_of_the_cpu(is_compiled: bool) -> None:
    on_cpu = draw(load_model(DEMO_FOLDER, ModelOptions()), range(3))
    options = ModelOptions(device="cuda:0", is_compiled=is_compiled)
    on_cuda = draw(load_model(DEMO_FOLDER, options), range(3))
    assert (on_cpu - on_cuda).abs().mean() < 4, "float16 rounds, and nothing else differs"


def test_in_exact_mode_company_changes_no_bit() -> None:
    model = load_model(DEMO_FOLDER, ModelOptions(device="cuda:0", is_exact=True))
    assert torch.equal(draw(model, range(1))[0], draw(model, range(5))[0])


def test_the_memory_probe_finds_less_room_where_there_is_less() -> None:
    options = ModelOptions(device="cuda:0", max_batch_size=1_000_000)
    all_of_it = load_model(DEMO_FOLDER, options).max_batch_size
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    ballast = torch.empty(free // 2, dtype=torch.uint8, device="cuda:0")
    half_of_it = load_model(DEMO_FOLDER, options).max_batch_size
    assert 1 < half_of_it < all_of_it, f"beside {ballast.numel()} bytes"
