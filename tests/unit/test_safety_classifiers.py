"""The classifiers score as nsfwjs does, and everything about them that is wrong stops the check."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageOps

from engine.safety.classifiers import DEFAULT_MODELS, MODELS_FOLDER, ModelFile, model_hash, shrink
from engine.safety.errors import CheckerError, CheckError
from engine.safety.inspector import Inspector
from engine.safety.self_test import canary, clean_anchors, run_self_test
from tools.demo_model.faces import sample_face
from tools.demo_model.renderer import render
from tools.nsfw_models.pictures import digest, picture

ROOT = Path(__file__).parents[2]
RECORDED = json.loads((ROOT / "tests" / "fixtures" / "nsfwjs_scores.json").read_bytes())
STRICTEST = 0.3


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    """The real models."""
    return Inspector()


# --- what they say ---


def test_scores_are_those_that_tfjs_gave(inspector: Inspector) -> None:
    pictures = [picture(number) for number in range(len(RECORDED))]
    assert [digest(pixels) for pixels in pictures] == [row["sha256"] for row in RECORDED], "other pictures"
    for pixels, row in zip(pictures, RECORDED, strict=True):
        for classifier in inspector.classifiers:
            scores = list(classifier.scores(pixels).values())
            assert scores == pytest.approx(row[classifier.name], abs=0.0001)
            assert np.argmax(scores) == np.argmax(row[classifier.name])


def test_the_canary_is_caught_and_a_landscape_passes(inspector: Inspector) -> None:
    assert inspector.inspect([canary()]).scores["sexual"] > 0.8
    for anchor in clean_anchors():
        assert inspector.inspect([anchor]).scores["sexual"] < 0.1


def test_the_score_is_the_highest_of_all_models_and_views(inspector: Inspector) -> None:
    first, second = canary(), clean_anchors()[0]
    verdict = inspector.inspect([second, first])
    alone = [inspector.inspect([view]).scores for view in (first, second)]
    assert verdict.scores == {name: max(each[name] for each in alone) for name in alone[0]}
    assert verdict.scores["sexual"] == max(
        each.sexual(each.scores(shrink(first))) for each in inspector.classifiers
    )
    assert verdict.model == model_hash(DEFAULT_MODELS)


def saved_as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(buffer)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "twice the size": lambda image: image.resize((image.width * 2, image.height * 2)),
    "JPEG": saved_as_jpeg,
    "turned a little": lambda image: image.rotate(3, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128)),
    "mirrored": ImageOps.mirror,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_small_change_of_a_clean_picture_changes_no_decision(inspector: Inspector, change: str) -> None:
    for seed in range(6):
        image = render(sample_face(random.Random(seed)), 128, 128)
        for seen in (image, CHANGES[change](image)):
            assert inspector.inspect([seen]).scores["sexual"] < STRICTEST


@pytest.mark.parametrize("change", CHANGES)
def test_a_small_change_of_the_canary_does_not_free_it(inspector: Inspector, change: str) -> None:
    assert inspector.inspect([CHANGES[change](canary())]).scores["sexual"] > 0.5


def test_pixels_between_those_that_are_kept_count() -> None:
    """A picture that hides another one in every third pixel is seen as the mean of both."""
    pixels = np.full((672, 672, 3), 255, np.uint8)
    pixels[::3, ::3] = 0
    assert shrink(Image.fromarray(pixels)).mean() == pytest.approx(255 * 8 / 9, abs=3)


# --- what stops them ---


def constant(*scores: float) -> bytes:
    """A tiny model that says the same of every picture, whatever it is."""
    answer = numpy_helper.from_array(np.asarray([scores], np.float32), "scores")
    return model([helper.make_node("Constant", [], ["scores"], value=answer)], len(scores))


def nan_for_black() -> bytes:
    """A tiny model that says `neutral`, but divides by the sum of the pixels."""
    neutral = numpy_helper.from_array(np.asarray([[0, 0, 1, 0, 0]], np.float32), "neutral")
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["pixels"], ["sum"], keepdims=0),
        helper.make_node("Div", ["sum", "sum"], ["one"]),
        helper.make_node("Constant", [], ["neutral"], value=neutral),
        helper.make_node("Mul", ["neutral", "one"], ["scores"]),
    ]
    return model(nodes, 5)


def model(nodes: list[onnx.NodeProto], classes: int) -> bytes:
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [224, 224, 3])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, classes])
    graph = helper.make_graph(nodes, "tiny", [image], [scores])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return made.SerializeToString()


def inspector_of(folder: Path, *contents: bytes) -> Inspector:
    """The real check around other models."""
    files: list[ModelFile] = []
    for number, content in enumerate(contents):
        (folder / f"tiny{number}.onnx").write_bytes(content)
        files.append(ModelFile(name=f"tiny{number}", sha256=hashlib.sha256(content).hexdigest()))
    return Inspector(models=files, folder=folder)


BLACK = Image.new("RGB", (64, 64))


def test_scores_that_are_no_numbers_are_no_verdict(tmp_path: Path) -> None:
    broken = inspector_of(tmp_path, nan_for_black())
    assert broken.inspect([Image.new("RGB", (64, 64), "white")]).scores["sexual"] == 0
    with pytest.raises(CheckError, match="no probabilities"):
        broken.inspect([BLACK])


@pytest.mark.parametrize(
    "content",
    [
        constant(0.5, 0.5),
        constant(0.1, 0.2, 0.3, 0.2, 0.1, 0.1),
        constant(2, -1, 0, 0, 0),
        constant(0, 0, 0, 0, 0),
        constant(1, 1, 1, 1, 1),
        constant(float("inf"), 0, 0, 0, 0),
    ],
)
def test_scores_of_another_shape_or_range_are_no_verdict(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CheckError, match="tiny0 answered with"):
        inspector_of(tmp_path, content).inspect([BLACK])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (constant(0, 0, 1, 0, 0), "misses the canary"),
        (constant(0, 1, 0, 0, 0), "is alarmed by a landscape"),
        (constant(0, 0, 0, 1, 0), "is alarmed by a landscape"),
        (constant(0.5, 0.5), "failed its self-test"),
    ],
)
def test_a_check_that_does_not_work_fails_its_self_test(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    with pytest.raises(CheckerError, match=complaint):
        run_self_test(inspector_of(tmp_path, content))


def test_one_blind_classifier_among_two_fails_the_self_test(tmp_path: Path) -> None:
    good = DEFAULT_MODELS[0].read(MODELS_FOLDER)
    with pytest.raises(CheckerError, match="tiny1 misses the canary"):
        run_self_test(inspector_of(tmp_path, good, constant(0, 0, 1, 0, 0)))


def test_a_model_with_another_hash_is_not_loaded(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MODELS_FOLDER, tmp_path / "models"))
    changed = folder / f"{DEFAULT_MODELS[1].name}.onnx"
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    with pytest.raises(
        CheckerError, match=r"mobilenet_v2_mid\.onnx has the sha256 \w{16}…, not 889dd5b402ac54fd…"
    ):
        Inspector(folder=folder)
    changed.unlink()
    with pytest.raises(CheckerError, match=r"mobilenet_v2_mid\.onnx cannot be read: No such file"):
        Inspector(folder=folder)


def test_a_file_that_is_no_model_is_an_error_for_people(tmp_path: Path) -> None:
    with pytest.raises(CheckerError, match="tiny0 cannot be loaded"):
        inspector_of(tmp_path, b"no model")


def test_the_models_and_their_papers_are_in_the_package() -> None:
    assert sum(path.stat().st_size for path in MODELS_FOLDER.glob("*.onnx")) < 8_000_000
    papers = (MODELS_FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(file.sha256 in papers for file in DEFAULT_MODELS)
    assert "Infinite Red" in (MODELS_FOLDER / "LICENSE").read_text(encoding="utf-8")
