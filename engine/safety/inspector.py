"""Looks at one picture: all classifiers, its hashes, the block list. Runs in the checker process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from engine.protocol import Verdict
from engine.safety.block_list import BlockList
from engine.safety.classifiers import (
    DEFAULT_MODELS,
    MODELS_FOLDER,
    Classifier,
    ModelFile,
    model_hash,
    shrink,
)
from engine.safety.loading import Caps, load_untrusted
from engine.safety.pdq import pdq_hashes

WORKER_CAPS = Caps(max_bytes=128 * 1024 * 1024)
"""For pictures of our own workers: PNG compresses noise badly."""


class Inspector:
    """The loaded classifiers and the block list."""

    def __init__(
        self,
        *,
        models: Sequence[ModelFile] = DEFAULT_MODELS,
        folder: Path = MODELS_FOLDER,
        block_list: BlockList | None = None,
        threads: int = 1,
    ) -> None:
        """Load the models.

        Raises:
            CheckerError: one of them is missing, changed, or cannot be loaded.
        """
        self.classifiers = [Classifier(file, file.read(folder), threads=threads) for file in models]
        self.model = model_hash(models)
        self._sides = {classifier.design.side for classifier in self.classifiers}
        self._block_list = block_list or BlockList()

    def inspect_png(self, png: bytes) -> Verdict:
        """What a worker drew.

        Raises:
            CheckError: it could not be checked.
        """
        return self.inspect(load_untrusted(png, formats=["PNG"], caps=WORKER_CAPS))

    def inspect(self, views: Sequence[Image.Image]) -> Verdict:
        """One picture as `load_untrusted` gives it; the highest score of its views counts.

        Raises:
            CheckError: it could not be checked.
        """
        scores: dict[str, float] = {}
        blocked = ""
        for view in views:
            shrunk = {side: shrink(view, side) for side in self._sides}
            for classifier in self.classifiers:
                found = classifier.scores(shrunk[classifier.design.side])
                named = {f"{classifier.name}.{kind}": score for kind, score in found.items()}
                for name, score in {"sexual": classifier.sexual(found), **named}.items():
                    scores[name] = max(score, scores.get(name, 0.0))
        hashes = [pdq_hashes(view) for view in views]
        for view, orientations in zip(views, hashes, strict=True):
            blocked = blocked or self._block_list.find(orientations, view)
        return Verdict(scores=scores, model=self.model, pdq=hashes[0][0], blocked=blocked)
