"""Samples that share UNet calls step by step, against diffusers' own pipelines with the same seeds."""

from __future__ import annotations

import io
import weakref
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img import (
    StableDiffusionImg2ImgPipeline,
)
from PIL import Image as PillowImage

from engine.models import DEMO_FOLDER, read_model
from engine.protocol import Assign, Drain, GenerationRequest, Sampler
from engine.worker.batch import DiffusionSample
from engine.worker.interfaces import Pending
from engine.worker.loading import ModelOptions, load_model
from engine.worker.loop import BatchingLoop
from engine.worker.model import DiffusionModel
from engine.worker.samplers import make_sampler
from engine.worker.unet import UNetCaller
from tests.fixtures.engine import make_request

SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    torch.set_num_threads(1)  # two of them on two busy cores wait for each other most of the time
    pipe = StableDiffusionPipeline.from_pretrained(
        DEMO_FOLDER,
        local_files_only=True,
        dtype=torch.float32,
        safety_checker=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def config(pipe: StableDiffusionPipeline) -> Any:
    """The noise schedule, before any test puts a sampler into the pipeline."""
    return pipe.scheduler.config


@pytest.fixture(scope="module")
def model(pipe: StableDiffusionPipeline, config: Any) -> DiffusionModel:
    return DiffusionModel(pipe, read_model(DEMO_FOLDER))


def start(model: DiffusionModel, *requests: GenerationRequest) -> list[DiffusionSample]:
    """The samples of these requests, one each."""
    return [model.start(Assign(f"job-{number}", request))[0] for number, request in enumerate(requests)]


def finish(model: DiffusionModel, samples: Sequence[DiffusionSample]) -> list[torch.Tensor]:
    """Step all samples together; each leaves when it is done. Their latents."""
    going_on = list(samples)
    while going_on:
        model.step(going_on)
        going_on = [sample for sample in going_on if sample.done < 1]
    return [sample.latent for sample in samples]


def reference(pipe: Any, config: Any, request: GenerationRequest) -> torch.Tensor:
    """The latent that diffusers' own loop makes of a request."""
    pipe.scheduler = make_sampler(request.sampler, config)
    return pipe(
        request.prompt,
        negative_prompt=request.negative_prompt,
        height=request.height,
        width=request.width,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        generator=torch.Generator().manual_seed(request.seed),
        output_type="latent",
    ).images[0]


def assert_close(latent: torch.Tensor, expected: torch.Tensor) -> None:
    assert (latent - expected).abs().max() <= TOLERANCE


@pytest.mark.parametrize("steps", [1, 2, 3, 12])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_alone_is_diffusers_own(
    model: DiffusionModel, pipe: StableDiffusionPipeline, config: Any, sampler: Sampler, steps: int
) -> None:
    request = make_request("1girl, blue hair", sampler=sampler, num_inference_steps=steps)
    [latent] = finish(model, start(model, request))
    assert_close(latent, reference(pipe, config, request))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_early_preview_is_not_overdriven(model: DiffusionModel, sampler: Sampler) -> None:
    """Whatever the scale is at which the sampler keeps its latent."""
    [sample] = start(model, make_request("1girl, blue hair", sampler=sampler, num_inference_steps=12))
    while sample.done < 0.25:
        model.step([sample])
    [preview] = model.preview(sample)()
    assert preview is not None
    assert np.isin(preview, (0, 255)).mean() < 0.1


def company() -> list[GenerationRequest]:
    """One request for each sampler, no two alike in anything but the size."""
    return [
        make_request(
            f"1girl, smile, {number} ribbons",
            negative_prompt="blurry" * (number % 3),
            sampler=sampler,
            seed=number,
            num_inference_steps=4 + 2 * number,
            guidance_scale=1.0 if number % 4 == 3 else 2.0 + number / 2,
        )
        for number, sampler in enumerate(SAMPLERS)
    ]


def test_all_samplers_in_one_batch_are_each_their_own(
    model: DiffusionModel, pipe: StableDiffusionPipeline, config: Any
) -> None:
    requests = company()
    for request, latent in zip(requests, finish(model, start(model, *requests)), strict=True):
        assert_close(latent, reference(pipe, config, request))


def test_samples_that_join_and_leave_at_any_step_are_not_changed(
    model: DiffusionModel, pipe: StableDiffusionPipeline, config: Any
) -> None:
    """Every other step a new one joins, and one that was not done leaves for ever."""
    requests = company()
    arriving = start(model, *requests)
    leaver = start(model, make_request("nobody waits for this", num_inference_steps=50))[0]
    going_on = [leaver]
    for sample in arriving:
        going_on.append(sample)
        for _ in range(2):
            model.step(going_on)
            going_on = [each for each in going_on if each.done < 1 and each is not leaver]
    finish(model, going_on)
    for request, sample in zip(requests, arriving, strict=True):
        assert_close(sample.latent, reference(pipe, config, request))


def test_prompts_of_different_lengths_share_calls(model: DiffusionModel) -> None:
    requests = [make_request(prompt) for prompt in ("1girl", "a, " * 200, "red hair, " * 40)]
    together = finish(model, start(model, *requests))
    for request, latent in zip(requests, together, strict=True):
        [alone] = finish(model, start(model, request))
        assert_close(latent, alone)


class CountingUNet:
    """Counts the rows of the calls to the real one."""

    def __init__(self, model: DiffusionModel) -> None:
        self._predict = model._unet
        self.rows: list[int] = []

    def __call__(self, latents: torch.Tensor, *others: Any) -> torch.Tensor:
        self.rows.append(len(latents))
        return self._predict(latents, *others)


def test_without_guidance_a_sample_takes_one_row(
    model: DiffusionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = CountingUNet(model)
    monkeypatch.setattr(model, "_unet", counting)
    scales = (1.0, 4.0, 1.0, 7.5)
    finish(model, start(model, *(make_request(guidance_scale=scale) for scale in scales)))
    assert set(counting.rows) == {6}


def test_a_step_that_fails_changes_nothing(model: DiffusionModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the latents nor the noise that is still to come."""
    requests = [make_request(sampler=sampler) for sampler in ("Euler a", "DPM++ SDE", "LMS")]
    undisturbed = finish(model, start(model, *requests))
    samples = start(model, *requests)
    model.step(samples)
    model._batches.clear()

    def out_of_order(*_: Any) -> torch.Tensor:
        raise RuntimeError("out of order")

    with monkeypatch.context() as patch:
        patch.setattr(model, "_unet", out_of_order)
        for _ in range(2):
            for part in (samples, samples[:1], samples[1:]):
                with pytest.raises(RuntimeError, match="out of order"):
                    model.step(part)
    for latent, expected in zip(finish(model, samples), undisturbed, strict=True):
        assert_close(latent, expected)


class HungryUNet:
    """Runs out of memory with more than `max_rows` rows, in the middle of a call that holds some."""

    def __init__(self, model: DiffusionModel, *, max_rows: int) -> None:
        self._predict = model._unet
        self._max_rows = max_rows
        self._activations: list[weakref.ref[torch.Tensor]] = []
        self.failures = 0
        self.leaks = 0

    def __call__(self, latents: torch.Tensor, *others: Any) -> torch.Tensor:
        self.leaks += sum(reference() is not None for reference in self._activations)
        activation = torch.zeros(8)
        if len(latents) > self._max_rows:
            self._activations.append(weakref.ref(activation))
            self.failures += 1
            raise torch.OutOfMemoryError("full, as asked")
        return self._predict(latents, *others)


class Pictures:
    """Listens to a loop that has to draw every picture."""

    def __init__(self) -> None:
        self.drawn: list[str] = []

    def on_step(self, job_id: str, step: int, num_steps: int) -> None:
        pass

    def on_preview(self, job_id: str, pending: Pending) -> None:
        pass

    def on_decoded(self, samples: Sequence[Any], pending: Pending) -> None:
        assert all(picture is not None for picture in pending())
        self.drawn += [sample.job_id for sample in samples]

    def on_failed(self, job_id: str, error: Exception) -> None:
        raise AssertionError(job_id) from error

    def on_cancelled(self, job_id: str) -> None:
        raise AssertionError(job_id)


def test_a_call_that_ran_out_of_memory_holds_none_of_it_at_its_retry(
    model: DiffusionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hungry = HungryUNet(model, max_rows=4)
    monkeypatch.setattr(model, "_unet", hungry)
    pictures = Pictures()
    loop = BatchingLoop(model, pictures)
    for number in range(5):
        loop.post(Assign(f"job-{number}", make_request(seed=number)))
    loop.post(Drain())
    loop.run()
    assert sorted(pictures.drawn) == [f"job-{number}" for number in range(5)]
    assert hungry.failures >= 1
    assert hungry.leaks == 0


def test_half_precision_draws_nearly_the_same_picture() -> None:
    """On the CPU, where float32 is at hand for comparison."""
    request = make_request("1girl, blue hair")
    pictures: list[Any] = []
    for dtype in ("float32", "bfloat16"):
        model = load_model(DEMO_FOLDER, ModelOptions(dtype=dtype))
        samples = start(model, request)
        finish(model, samples)
        pictures += model.decode(samples)()
    exact, rounded = (picture.astype(np.float32) for picture in pictures)
    assert 0 < np.abs(exact - rounded).mean() < 8


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_with_fixed_rows_company_changes_no_bit(
    pipe: StableDiffusionPipeline, config: Any, sampler: Sampler
) -> None:
    pipe.scheduler = make_sampler("DDIM", config)
    unet = UNetCaller(pipe.unet, buckets=(16,))
    model = DiffusionModel(pipe, read_model(DEMO_FOLDER), unet, is_exact=True)
    request = make_request("1girl", sampler=sampler, num_inference_steps=6)
    [alone] = finish(model, start(model, request))
    others = [make_request(f"{number} cats", seed=number, sampler=SAMPLERS[number]) for number in range(7)]
    samples = start(model, *others, request)
    finish(model, samples)
    assert torch.equal(samples[-1].latent, alone)
    [picture] = model.decode(samples[-1:])()
    beside_others = model.decode(samples)()[-1]
    assert picture is not None
    assert beside_others is not None
    assert np.array_equal(beside_others, picture)


# --- from an image ---


def png(image: PillowImage.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("strength", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_drawing_from_an_image_is_diffusers_own(
    model: DiffusionModel, pipe: StableDiffusionPipeline, config: Any, sampler: Sampler, strength: float
) -> None:
    image = PillowImage.linear_gradient("L").resize((64, 64)).convert("RGB")
    request = make_request(
        "1girl", sampler=sampler, num_inference_steps=20, init_image=png(image), strength=strength
    )
    img2img: Any = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    img2img.set_progress_bar_config(disable=True)
    img2img.scheduler = make_sampler(sampler, config)
    expected = img2img(
        request.prompt,
        image=image,
        strength=strength,
        negative_prompt=request.negative_prompt,
        num_inference_steps=20,
        guidance_scale=request.guidance_scale,
        generator=torch.Generator().manual_seed(request.seed),
        output_type="latent",
    ).images[0]
    [latent] = finish(model, start(model, request))
    assert_close(latent, expected)


def test_a_start_image_of_another_size_is_refused(model: DiffusionModel) -> None:
    image = png(PillowImage.new("RGB", (64, 72)))
    with pytest.raises(ValueError, match="64, 72"):
        start(model, make_request(init_image=image))
