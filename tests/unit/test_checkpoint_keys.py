"""Every key is accounted for: the names are diffusers', and no difference in a single key is let through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from diffusers.loaders import single_file_utils
from hypothesis import given
from hypothesis import strategies as st

from engine.checkpoints.accounting import account_for
from engine.checkpoints.components import SD1_FOLDER, read_components
from engine.checkpoints.errors import CheckpointError
from engine.checkpoints.keys import VAE_PREFIX
from engine.checkpoints.reading import Checkpoint
from engine.models import DEMO_FOLDER
from tests.fixtures.checkpoints import components, compvis_model, compvis_vae, training_extras

MODEL = {name: tuple(tensor.shape) for name, tensor in compvis_model().items()}
VAE = {name: tuple(tensor.shape) for name, tensor in compvis_vae().items() if not name.startswith("loss.")}
TEXT = sorted(name for name in MODEL if name.startswith("cond_stage_model."))

Shapes = dict[str, tuple[int, ...]]


def opened(shapes: Shapes, name: str = "model.ckpt", **fields: Any) -> Checkpoint:
    """A checkpoint of these keys, without a file."""
    return Checkpoint(Path(name), shapes, dict.fromkeys(shapes, True), NotImplemented, **fields)


def refusal(model: Shapes, vae: Shapes | None = None) -> str:
    """The sentence with which it is refused."""
    with pytest.raises(CheckpointError) as told:
        account_for(components(), opened(model), opened(vae, "vae.ckpt") if vae is not None else None)
    assert told.value.exit_code == 2
    assert "\n" not in str(told.value)
    return str(told.value)


class Name(str):
    """A key in a tensor's place: diffusers' conversion asks tensors for their dimensions."""

    ndim = 2
    shape = (1, 1)


@pytest.mark.parametrize("folder", [DEMO_FOLDER, SD1_FOLDER], ids=["demo", "sd1"])
def test_the_names_are_those_of_the_conversion_in_diffusers(folder: Path) -> None:
    unet, vae, text = read_components(folder)
    theirs: dict[str, dict[str, str]] = {}
    for component in (unet, vae, text):
        theirs[component.folder] = {name: Name(name) for name in component.names.values()}
    config = {"layers_per_block": 1 if folder == DEMO_FOLDER else 2}
    assert single_file_utils.convert_ldm_unet_checkpoint(theirs["unet"], config) == unet.names
    blocks = {"down_block_types": range(4), "up_block_types": range(4)}
    assert single_file_utils.convert_ldm_vae_checkpoint(theirs["vae"], blocks) == vae.names
    converted = single_file_utils.convert_ldm_clip_checkpoint(theirs["text_encoder"])
    assert {key.removeprefix("text_model."): name for key, name in converted.items()} == text.names


def test_stable_diffusion_v1_has_its_published_size() -> None:
    sizes = {component.folder: component.parameters for component in read_components(SD1_FOLDER)}
    assert sizes == {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}


def test_a_whole_checkpoint_is_accounted_for() -> None:
    extras = {name: tuple(tensor.shape) for name, tensor in training_extras().items()}
    account = account_for(components(), opened(MODEL | extras, leftovers=["epoch"]), None)
    assert sum(len(part.names) for part in account.parts) == len(MODEL)
    assert sum(account.ignored.values()) == len(extras) + 1
    assert set(account.ignored) == {
        *("EMA copies", "noise schedule", "training loss", "position_ids", "training state")
    }


@given(st.sampled_from(sorted(MODEL)))
def test_no_key_can_be_missing(name: str) -> None:
    sentence = refusal({key: shape for key, shape in MODEL.items() if key != name})
    assert f"no key {name}" in sentence


def test_a_missing_key_of_the_text_encoder_is_told() -> None:
    """diffusers' own loader draws without it."""
    assert f"no key {TEXT[0]}" in refusal({key: shape for key, shape in MODEL.items() if key != TEXT[0]})


@given(st.sampled_from(sorted(MODEL)), st.sampled_from(["x", ".weight", ".0", "_"]))
def test_no_key_can_be_added(name: str, suffix: str) -> None:
    added = name + suffix
    assert f"unexpected in a Stable Diffusion v1 model: {added}" in refusal(MODEL | {added: (1,)})


@given(st.sampled_from(sorted(MODEL)), st.data())
def test_no_key_can_have_another_shape(name: str, data: st.DataObject) -> None:
    shape = list(MODEL[name])
    axis = data.draw(st.integers(0, len(shape) - 1))
    shape[axis] += data.draw(st.integers(1, 9))
    sentence = refusal(MODEL | {name: tuple(shape)})
    assert f"another shape at {name}: {'x'.join(map(str, shape))} where" in sentence


@given(st.sampled_from(sorted(VAE)), st.sampled_from(["drop", "add", "reshape"]))
def test_the_autoencoders_file_is_as_strict(name: str, harm: str) -> None:
    vae = dict(VAE)
    if harm == "drop":
        del vae[name]
    elif harm == "add":
        name += ".more"
        vae[name] = (1,)
    else:
        vae[name] = (*vae[name], 2)
    sentence = refusal(MODEL, vae)
    assert sentence.startswith("vae.ckpt")
    assert name in sentence


def test_a_key_that_would_write_on_the_terminal_is_told_plainly_and_cut() -> None:
    sentence = refusal(MODEL | {"\x1b[31m\n../../\u202ex" + "y" * 5000: (1,)})
    assert "v1 model: ?[31m?../../?xyyy" in sentence
    assert sentence.isprintable()
    assert len(sentence) < 300


def test_with_an_autoencoder_the_checkpoints_own_may_be_missing_or_there() -> None:
    pruned = {name: shape for name, shape in MODEL.items() if not name.startswith(VAE_PREFIX)}
    for model, replaced in ((MODEL, len(VAE)), (pruned, 0)):
        account = account_for(components(), opened(model), opened(VAE, "vae.ckpt"))
        assert account.ignored.get("replaced by the VAE file", 0) == replaced
        assert [part.source.name for part in account.parts] == ["model.ckpt", "model.ckpt", "vae.ckpt"]
    assert "first_stage_model.what" in refusal(MODEL | {"first_stage_model.what": (1,)}, VAE)


def test_numbers_that_are_no_floats_are_told() -> None:
    broken = Checkpoint(Path("m.ckpt"), MODEL, {name: name != TEXT[3] for name in MODEL}, NotImplemented)
    with pytest.raises(CheckpointError, match=f"wrong type at {TEXT[3]}"):
        account_for(components(), broken, None)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["conditioner.embedders.0.transformer.text_model.x"], "is a Stable Diffusion XL model"),
        (["cond_stage_model.model.transformer.resblocks.0.ln_1.bias"], "is a Stable Diffusion 2.x model"),
        (["lora_unet_down_blocks_0.lora_up.weight"], "is a LoRA file"),
        (["emb_params"], "is a textual inversion"),
        (["down_blocks.0.resnets.0.conv1.weight"], "is one part of a diffusers folder"),
        (list(VAE), "is an autoencoder: give it with --vae"),
        (["weird"], "has no key "),
        ([], "has no key "),
    ],
)
def test_another_kind_of_file_is_told_by_what_it_is(names: list[str], sentence: str) -> None:
    assert f"model.ckpt {sentence}" in refusal(dict.fromkeys(names, (1,)))


def test_a_stable_diffusion_2_unet_is_told_by_its_shape() -> None:
    name = next(name for name in MODEL if name.endswith("attn2.to_k.weight"))
    assert f"another shape at {name}" in refusal(MODEL | {name: (MODEL[name][0], 1024)})


def test_a_whole_model_is_no_autoencoder() -> None:
    assert "vae.ckpt is a whole model" in refusal(MODEL, MODEL)
