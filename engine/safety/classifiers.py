"""The classifiers: ONNX files whose hashes are pinned here, on one CPU thread. Runs in the checker process.

Both are MobileNets of nsfwjs; models/README.md says where they come from and how to make them again.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
from PIL import Image

from engine.safety.errors import CheckerError, CheckError

runtime: Any = onnxruntime  # it has no types

MODELS_FOLDER = Path(__file__).parent / "models"

SIDE = 224
"""Pixels on each side of what a classifier sees."""

CLASSES = ("drawing", "hentai", "neutral", "porn", "sexy")
SEXUAL = ("hentai", "porn")


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A classifier's file in the models folder, and the hash it has to have."""

    name: str
    sha256: str

    def read(self, folder: Path) -> bytes:
        """The file's bytes, once they are known to be the right ones.

        Raises:
            CheckerError: it cannot be read, or is another file.
        """
        path = folder / f"{self.name}.onnx"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CheckerError(f"the image check's model {path} cannot be read: {error.strerror}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise CheckerError(
                f"the image check's model {path} has the sha256 {found[:16]}…, not {self.sha256[:16]}…: "
                "install the package again"
            )
        return content


DEFAULT_MODELS = (
    ModelFile(name="mobilenet_v2", sha256="afecbecb68a9c523d1f55b071db60e50ec6163b9f11a81a0bbd40510c3685895"),
    ModelFile(
        name="mobilenet_v2_mid", sha256="889dd5b402ac54fdbcf18042ab13297bbd40c3aac14c7c808e6c71596ee71937"
    ),
)


def model_hash(files: Sequence[ModelFile]) -> str:
    """Names the classifiers, all together, by their weights: 16 hex digits."""
    return hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()[:16]


def shrink(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """What a classifier sees of a picture: every pixel has a share in it.

    nsfwjs picks four pixels for each one that it keeps. Then a picture can be made that looks different to
    the classifier than to people, by care for those that are picked; so they are averaged here.
    """
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


class Classifier:
    """One loaded model."""

    def __init__(self, file: ModelFile, content: bytes, *, threads: int) -> None:
        self.name = file.name
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it would keep more than it saves
        # Kernels are 8-bit numbers in the file only. Left so, they are made floats again for every picture,
        # and the layers are not fused: that takes twice as long, and is further from what nsfwjs scores.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.log_severity_level = 3
        try:
            self._session: Any = runtime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own classes have no common base
            raise CheckerError(f"the image check's model {file.name} cannot be loaded: {error}") from error

    def scores(self, pixels: npt.NDArray[np.uint8]) -> dict[str, float]:
        """The probability of each class.

        Raises:
            CheckError: the model's answer is no probabilities.
        """
        try:
            (answer,) = self._session.run(None, {"image": pixels})
        except Exception as error:  # as above
            raise CheckError(f"{self.name} failed: {error}") from error
        if answer.shape != (1, len(CLASSES)):
            raise CheckError(f"{self.name} answered with the shape {answer.shape}")
        scores = [float(score) for score in answer[0]]
        if not all(0 <= score <= 1 for score in scores) or not math.isclose(sum(scores), 1, abs_tol=1e-3):
            raise CheckError(f"{self.name} answered with {scores}, which are no probabilities")
        return dict(zip(CLASSES, scores, strict=True))


def sexual(scores: dict[str, float]) -> float:
    """How sure one classifier is that a picture is explicit, drawn or photographed."""
    return min(1.0, sum(scores[name] for name in SEXUAL))
