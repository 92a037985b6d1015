"""The UNet's calls: filled up to a number of rows, and compiled. On a UNet so small that this is quick."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from engine.worker.unet import UNetCaller

HIDDEN = 8

# PyTorch's own, when its compiler is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 8),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=HIDDEN,
        attention_head_dim=2,
        norm_num_groups=4,
    ).eval()


def call(caller: UNetCaller, rows: int, *, masked: int = 0, tokens: int = 77, width: int = 8) -> torch.Tensor:
    """The predicted noise of `rows` rows, the first without its last `masked` tokens."""
    dice = torch.Generator().manual_seed(rows)
    mask = None
    if masked:
        mask = torch.ones(rows, tokens, dtype=torch.bool)
        mask[0, -masked:] = False
    with torch.inference_mode():
        return caller(
            torch.randn(rows, 4, 8, width, generator=dice),
            torch.linspace(1, 999, rows),
            torch.randn(rows, tokens, HIDDEN, generator=dice),
            mask,
        )


@pytest.mark.parametrize("masked", [0, 7])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 9])
def test_filling_up_changes_no_row(unet: UNet2DConditionModel, rows: int, masked: int) -> None:
    """Nor does a number of rows for which there is no bucket."""
    filled = call(UNetCaller(unet, buckets=(8, 2, 4)), rows, masked=masked)
    torch.testing.assert_close(filled, call(UNetCaller(unet), rows, masked=masked))


class Compiler:
    """A compiler for torch.compile that changes nothing and counts what it was given."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: Any, _inputs: Any) -> Callable[..., Any]:
        self.graphs += 1
        return graph.forward


@pytest.fixture
def compiling() -> Iterator[None]:
    """What is compiled in a test, and set for it, is gone after it."""
    with torch._dynamo.config.patch(automatic_dynamic_shapes=True):
        yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("compiling")
def test_one_compilation_serves_every_number_of_rows(unet: UNet2DConditionModel) -> None:
    compiler, compiled = Compiler(), UNetCaller(unet, buckets=(2, 4, 8))
    compiled.compile(backend=compiler)
    for rows in (2, 7, 3, 1):
        torch.testing.assert_close(call(compiled, rows), call(UNetCaller(unet), rows))
    torch.testing.assert_close(call(compiled, 3, masked=5), call(UNetCaller(unet), 3, masked=5))
    torch.testing.assert_close(
        call(compiled, 3, masked=80, tokens=154), call(UNetCaller(unet), 3, masked=80, tokens=154)
    )
    assert compiler.graphs == 1, "one compilation for prompts of equal and of different lengths"
    for rows in (2, 8):
        wide = call(compiled, rows, width=12)
        torch.testing.assert_close(wide, call(UNetCaller(unet), rows, width=12))
    call(compiled, 4)
    assert compiler.graphs == 2, "another size is compiled once, and the first one is not forgotten"


@pytest.mark.usefixtures("compiling")
def test_a_compiler_that_fails_costs_only_speed(unet: UNet2DConditionModel) -> None:
    def broken(_graph: Any, _inputs: Any) -> Callable[..., Any]:
        raise RuntimeError("no compiler on this machine")

    caller = UNetCaller(unet)
    caller.compile(backend=broken)
    for rows in (2, 3):
        torch.testing.assert_close(call(caller, rows), call(UNetCaller(unet), rows))


@pytest.mark.usefixtures("compiling")
def test_running_out_of_memory_is_no_failure_of_the_compiler(unet: UNet2DConditionModel) -> None:
    def full(_graph: Any, _inputs: Any) -> Callable[..., Any]:
        def run(*_: Any) -> Any:
            raise torch.OutOfMemoryError("full")

        return run

    caller = UNetCaller(unet)
    caller.compile(backend=full)
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            call(caller, 2)
