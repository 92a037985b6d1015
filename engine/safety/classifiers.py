"""The classifiers: ONNX files with known hashes, on one CPU thread. Runs in the checker process.

Two always score: MobileNets of nsfwjs, whose hashes are pinned here; models/README.md says where they come
from and how to make them again. A host can add others, with the hashes that they had when they were fetched
(`engine.safety_models`). They can only raise the score that counts.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
from PIL import Image

from engine.models import ModelError
from engine.safety.errors import CheckerError, CheckError
from engine.safety_models import InstalledSafetyModel, read_installed

runtime: Any = onnxruntime  # it has no types

MODELS_FOLDER = Path(__file__).parent / "models"

SIDE = 224
"""Pixels on each side of what the default classifiers see."""

CLASSES = ("drawing", "hentai", "neutral", "porn", "sexy")
SEXUAL = ("hentai", "porn")

Pixels = npt.NDArray[np.uint8]


def _as_they_are(pixels: Pixels) -> Pixels:
    return pixels


def _from_minus_one_to_one(pixels: Pixels) -> npt.NDArray[np.float32]:
    """As timm's models want it: channels first, in a batch of one."""
    scaled = np.asarray(pixels, np.float32) / 127.5 - 1
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a classifier wants to see, and what its answers mean.

    `marks` put the sum of its `sexual` classes on the scale that policies are about.
    """

    side: int
    input: str
    encode: Callable[[Pixels], npt.NDArray[Any]]
    classes: tuple[str, ...]
    sexual: tuple[str, ...]
    marks: tuple[tuple[float, float], ...] = ((0.0, 0.0), (1.0, 1.0))
    knows_canary: bool
    """Whether the self-test's canary was made for it."""


NSFWJS = Design(
    side=SIDE, input="image", encode=_as_they_are, classes=CLASSES, sexual=SEXUAL, knows_canary=True
)


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A classifier's file and the hash it has to have. Without a `path` it is in the models folder."""

    name: str
    sha256: str
    design: Design = NSFWJS
    path: Path | None = None

    @classmethod
    def added(cls, installed: InstalledSafetyModel) -> ModelFile:
        """That of a classifier which the host added."""
        design = Design(
            side=installed.model.side,
            input="input",
            encode=_from_minus_one_to_one,
            classes=installed.labels,
            sexual=tuple(installed.model.sexual),
            marks=tuple(installed.model.marks),
            knows_canary=False,
        )
        return cls(name=installed.name, sha256=installed.sha256, design=design, path=installed.path)

    def read(self, folder: Path) -> bytes:
        """The file's bytes, once they are known to be the right ones.

        Raises:
            CheckerError: it cannot be read, or is another file.
        """
        path = self.path or folder / f"{self.name}.onnx"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CheckerError(f"the image check's model {path} cannot be read: {error.strerror}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            advice = f"pull {self.name} again" if self.path else "install the package again"
            difference = f"has the sha256 {found[:16]}…, not {self.sha256[:16]}…"
            raise CheckerError(f"the image check's model {path} {difference}: {advice}")
        return content


DEFAULT_MODELS = (
    ModelFile(name="mobilenet_v2", sha256="afecbecb68a9c523d1f55b071db60e50ec6163b9f11a81a0bbd40510c3685895"),
    ModelFile(
        name="mobilenet_v2_mid", sha256="889dd5b402ac54fdbcf18042ab13297bbd40c3aac14c7c808e6c71596ee71937"
    ),
)


def added_models(folders: Sequence[Path]) -> list[ModelFile]:
    """The classifiers that the host added.

    Raises:
        CheckerError: one is not installed, or its record cannot be read.
    """
    try:
        return [ModelFile.added(read_installed(folder)) for folder in folders]
    except ModelError as error:
        raise CheckerError(str(error).removesuffix(".")) from error


def model_hash(files: Sequence[ModelFile]) -> str:
    """Names the classifiers, all together, by their weights and marks: 16 hex digits."""
    parts = (file.sha256 + ("" if file.design is NSFWJS else repr(file.design.marks)) for file in files)
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def shrink(picture: Image.Image, side: int = SIDE) -> Pixels:
    """What a classifier sees of a picture: every pixel has a share in it.

    nsfwjs picks four pixels for each one that it keeps. Then a picture can be made that looks different to
    the classifier than to people, by care for those that are picked; so they are averaged here.
    """
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR))


class Classifier:
    """One loaded model."""

    def __init__(self, file: ModelFile, content: bytes, *, threads: int) -> None:
        self.name = file.name
        self.design = file.design
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

    def scores(self, pixels: Pixels) -> dict[str, float]:
        """The probability of each class.

        Raises:
            CheckError: the model's answer is no probabilities.
        """
        classes = self.design.classes
        try:
            (answer,) = self._session.run(None, {self.design.input: self.design.encode(pixels)})
        except Exception as error:  # as above
            raise CheckError(f"{self.name} failed: {error}") from error
        if answer.shape != (1, len(classes)):
            raise CheckError(f"{self.name} answered with the shape {answer.shape}")
        scores = [float(score) for score in answer[0]]
        if not all(0 <= score <= 1 for score in scores) or not math.isclose(sum(scores), 1, abs_tol=1e-3):
            raise CheckError(f"{self.name} answered with {scores}, which are no probabilities")
        return dict(zip(classes, scores, strict=True))

    def sexual(self, scores: Mapping[str, float]) -> float:
        """How sure it is that a picture is explicit, drawn or photographed, on the scale of the policies."""
        total = min(1.0, sum(scores[name] for name in self.design.sexual))
        found, counts_as = zip(*self.design.marks, strict=True)
        return float(np.interp(total, found, counts_as))
