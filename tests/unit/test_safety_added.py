"""Classifiers that the host added to the image check: they can only make it stricter, and fail closed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from PIL import Image

from bot.safety.policy import Policy
from engine.installed import RECORD_NAME
from engine.safety.classifiers import (
    DEFAULT_MODELS,
    Classifier,
    ModelFile,
    added_models,
    model_hash,
    shrink,
)
from engine.safety.errors import CheckerError, CheckError
from engine.safety.inspector import Inspector
from engine.safety.self_test import canary, clean_anchors, run_self_test
from engine.safety_models import SafetyModel, published, read_installed
from tests.fixtures.added_classifier import (
    GREEN,
    NAME,
    green_is_explicit,
    install,
    onnx_of,
    the_same_of_all,
)

POLICY = Policy.load()


def inspector_with(folder: Path) -> Inspector:
    """The check as a host has it who added the classifier in this folder."""
    return Inspector(models=[*DEFAULT_MODELS, *added_models([folder])])


def added_alone(folder: Path) -> Inspector:
    """Without the default ones, for what does not need them."""
    return Inspector(models=added_models([folder]))


def test_what_the_added_one_alone_finds_is_withheld(tmp_path: Path) -> None:
    both = inspector_with(install(tmp_path, green_is_explicit()))
    run_self_test(both)
    alone = Inspector().inspect([GREEN])
    found = both.inspect([GREEN])
    assert POLICY.decide(alone, "default") == "show"
    assert POLICY.decide(found, "default") == "withhold"
    assert found.scores[f"{NAME}.r18"] == pytest.approx(1, abs=1e-4)
    assert found.scores["sexual"] == pytest.approx(1, abs=1e-4)
    assert alone.scores.items() <= (found.scores | {"sexual": alone.scores["sexual"]}).items()


def test_what_the_default_ones_find_stays_found(tmp_path: Path) -> None:
    both = inspector_with(install(tmp_path, green_is_explicit()))
    alone = Inspector()
    for picture in (canary(), *clean_anchors()):
        assert both.inspect([picture]).scores["sexual"] >= alone.inspect([picture]).scores["sexual"]


def test_decisions_say_which_classifiers_they_are_of(tmp_path: Path) -> None:
    first = added_models([install(tmp_path / "a", green_is_explicit())])
    second = added_models([install(tmp_path / "b", green_is_explicit(offset=-11))])
    hashes = [model_hash([*DEFAULT_MODELS, *added]) for added in ([], first, second)]
    assert len(set(hashes)) == 3


def test_it_sees_what_deepghs_shows_it(tmp_path: Path) -> None:
    """As imgutils/generic/classify.py of dghs-imgutils encodes a picture: (x - .5) / .5, channels first."""
    (file,) = added_models([install(tmp_path, green_is_explicit())])
    pixels = shrink(canary(), file.design.side)
    expected = (pixels.transpose(2, 0, 1) / 255 - 0.5) / 0.5
    encoded = file.design.encode(pixels)
    assert encoded.shape == (1, 3, 384, 384)
    assert encoded.dtype == np.float32
    assert np.abs(encoded[0] - expected).max() < 1e-6


def test_the_order_of_the_classes_is_the_files_own(tmp_path: Path) -> None:
    labels = ("r18", "safe", "r15")
    ordered = added_alone(install(tmp_path / "a", green_is_explicit()))
    other = added_alone(install(tmp_path / "b", green_is_explicit(labels), labels))
    assert other.inspect([GREEN]).scores == pytest.approx(ordered.inspect([GREEN]).scores)


# --- its scale ---


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """One that was added."""
    (loaded,) = added_alone(install(tmp_path_factory.mktemp("m"), green_is_explicit())).classifiers
    return loaded


@pytest.mark.parametrize("name", published())
def test_marks_are_where_the_policy_decides(name: str) -> None:
    """A mark that is none of the policy's would decide nothing."""
    thresholds = {
        value
        for level in POLICY.levels.values()
        for value in (level.spoiler, level.withhold)
        if value is not None
    }
    assert {counts_as for _, counts_as in published()[name].marks} == {0, *thresholds, 1}


def test_the_score_follows_the_marks(classifier: Classifier) -> None:
    for found, counts_as in published()[NAME].marks:
        scores = {"safe": 1 - found, "r15": 0.0, "r18": found}
        assert classifier.sexual(scores) == pytest.approx(counts_as)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_higher_score_never_counts_less(classifier: Classifier, one: float, other: float) -> None:
    low, high = sorted((one, other))
    counted = [classifier.sexual({"safe": 1 - each, "r15": 0, "r18": each}) for each in (low, high)]
    assert 0 <= counted[0] <= counted[1] <= 1


@pytest.mark.parametrize(
    "change",
    [
        {"marks": [(0, 0), (0.5, 0.7), (0.6, 0.3), (1, 1)]},
        {"marks": [(0, 0), (0.5, 0.3), (0.5, 0.4), (1, 1)]},
        {"marks": [(0, 0.1), (1, 1)]},
        {"marks": [(0, 0), (1, 0.9)]},
        {"sexual": ["r21"]},
        {"sexual": []},
    ],
)
def test_a_description_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    fields = {name: getattr(published()[NAME], name) for name in SafetyModel.__struct_fields__}
    with pytest.raises(ValueError, match="must"):
        SafetyModel(**fields | change)


# --- what stops it ---


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (the_same_of_all(0.9, 0.05, 0.05), f"{NAME} says the same of every picture"),
        (green_is_explicit(offset=-4), f"{NAME} is alarmed by a landscape"),
        (the_same_of_all(0.5, 0.5), f"failed its self-test: {NAME} answered with the shape"),
        (the_same_of_all(float("nan"), 0, 0), f"failed its self-test: {NAME} answered with"),
        (the_same_of_all(0.9, 0.9, 0.9), f"failed its self-test: {NAME} answered with"),
        (b"no model", f"{NAME} cannot be loaded"),
    ],
)
def test_one_that_does_not_work_lets_nothing_start(tmp_path: Path, content: bytes, complaint: str) -> None:
    folder = install(tmp_path, content)
    with pytest.raises(CheckerError, match=complaint):
        run_self_test(inspector_with(folder))


def test_a_model_with_other_inputs_lets_nothing_start(tmp_path: Path) -> None:
    default = Path(__file__).parents[2] / "engine/safety/models/mobilenet_v2.onnx"
    folder = install(tmp_path, default.read_bytes())
    with pytest.raises(CheckerError, match=f"failed its self-test: {NAME} failed"):
        run_self_test(inspector_with(folder))


def test_scores_that_are_no_numbers_are_no_verdict(tmp_path: Path) -> None:
    """Zero divided by zero, for a grey picture alone."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["means"]),
        helper.make_node("Flatten", ["means"], ["colours"]),
        helper.make_node("Div", ["colours", "colours"], ["ones"]),
        helper.make_node("Mul", ["ones", "thirds"], ["output"]),
    ]
    broken = added_alone(
        install(tmp_path, onnx_of(nodes, 3, thirds=np.asarray([0.5, 0.25, 0.25], np.float32)))
    )
    assert broken.inspect([Image.new("RGB", (8, 8), "white")]).scores[f"{NAME}.r18"] == 0.25
    halves = np.zeros((8, 8, 3), np.uint8)
    halves[:4] = 255
    with pytest.raises(CheckError, match="no probabilities"):
        broken.inspect([Image.fromarray(halves)])


def test_another_file_than_the_one_that_was_pulled_is_not_loaded(tmp_path: Path) -> None:
    folder = install(tmp_path, green_is_explicit())
    assert read_installed(folder).is_unchanged()
    (folder / "model.onnx").write_bytes(green_is_explicit(offset=-1000))
    assert not read_installed(folder).is_unchanged()
    with pytest.raises(CheckerError, match=rf"model\.onnx has the sha256 .*: pull {NAME} again"):
        inspector_with(folder)
    (folder / "model.onnx").unlink()
    with pytest.raises(CheckerError, match=r"model\.onnx cannot be read: No such file"):
        inspector_with(folder)


def test_one_that_is_not_installed_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        CheckerError, match=f"not installed at .*: run trinart models pull {NAME}, or take it"
    ):
        added_models([tmp_path / NAME])


@pytest.mark.parametrize(
    "change", [{"labels": []}, {"labels": ["safe", "r18", "r21"]}, {"files": {}}, {"labels": ["safe"] * 3}]
)
def test_a_record_of_something_else_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    record = install(tmp_path, green_is_explicit()) / RECORD_NAME
    record.write_text(json.dumps(json.loads(record.read_bytes()) | change))
    with pytest.raises(
        CheckerError, match=f"is no classifier that was pulled: run trinart models pull {NAME}"
    ):
        added_models([record.parent])
    record.unlink()
    with pytest.raises(CheckerError, match="is no classifier that was pulled"):
        added_models([record.parent])


def test_a_folder_of_another_name_is_no_known_classifier(tmp_path: Path) -> None:
    folder = install(tmp_path, green_is_explicit()).rename(tmp_path / "safety-unknown")
    with pytest.raises(CheckerError, match="is no classifier that was pulled"):
        added_models([folder])


def test_default_models_are_in_the_models_folder() -> None:
    assert all(file == ModelFile(name=file.name, sha256=file.sha256) for file in DEFAULT_MODELS)
