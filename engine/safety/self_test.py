"""Shows at each start that the check catches something, and lets something pass. Runs in the checker process.

The canary is to this check what EICAR is to virus scanners: an abstract picture, blurred ellipses in skin
tones, that the classifiers happen to take for explicit. It was found by trying seeds. It shows that pixels go
in and high scores come out; it does not show how much of what is explicit is found. Classifiers that the host
added need not know it: they have to tell pictures apart, and to let the landscapes pass.
"""

from __future__ import annotations

import io
import random
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFilter

from engine.protocol import Verdict
from engine.safety.classifiers import Classifier
from engine.safety.errors import CheckerError, CheckError
from engine.safety.inspector import Inspector

CANARY_SEED = 1707
CANARY_AT_LEAST = 0.8
CLEAN_AT_MOST = 0.2
ADDED_CLEAN_AT_MOST = 0.5
"""Of classifiers that the host added it is known neither what they say of the canary nor of the anchors."""
SAME_WITHIN = 1e-4

SIDE = 512
SKIN_TONES = (
    (255, 224, 196),
    (241, 194, 160),
    (224, 172, 132),
    (198, 134, 94),
    (141, 85, 54),
    (90, 56, 37),
    (255, 214, 190),
)


def canary() -> Image.Image:
    """The abstract picture that scores high."""
    dice = random.Random(CANARY_SEED)  # noqa: S311 - a drawing, no secret
    picture = Image.new("RGB", (SIDE, SIDE), tuple(dice.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(dice.randint(3, 12)):
        x, y = dice.randint(-50, SIDE), dice.randint(-50, SIDE)
        width, height = dice.randint(60, 380), dice.randint(60, 380)
        draw.ellipse([x, y, x + width, y + height], fill=dice.choice(SKIN_TONES))
    return picture.filter(ImageFilter.GaussianBlur(dice.uniform(0, 14)))


def clean_anchors() -> list[Image.Image]:
    """Pictures with nothing in them: a sky that gets darker, and a landscape of three colours."""
    sky = Image.linear_gradient("L").resize((SIDE, SIDE))
    landscape = Image.new("RGB", (SIDE, SIDE), (120, 180, 240))
    draw = ImageDraw.Draw(landscape)
    draw.polygon([(0, 330), (150, 130), (300, 330)], fill=(110, 110, 120))
    draw.rectangle([0, 330, SIDE, SIDE], fill=(60, 140, 60))
    return [Image.merge("RGB", [sky, sky, Image.new("L", sky.size, 200)]), landscape]


def run_self_test(inspector: Inspector) -> None:
    """Hold every classifier to the canary, as a file, and to the anchors.

    Raises:
        CheckerError: something does not score as it must.
    """
    try:
        caught = inspector.inspect_png(_png(canary()))
        passed = [inspector.inspect([anchor]) for anchor in clean_anchors()]
    except CheckError as error:
        raise CheckerError(f"the image check failed its self-test: {error}") from error
    for classifier in inspector.classifiers:
        if classifier.design.knows_canary:
            if (score := _sexual_by(classifier, caught)) < CANARY_AT_LEAST:
                raise CheckerError(f"the image check's {classifier.name} misses the canary: {score:.2f}")
        elif not _tells_apart(classifier, [caught, *passed]):
            raise CheckerError(f"the image check's {classifier.name} says the same of every picture")
        limit = CLEAN_AT_MOST if classifier.design.knows_canary else ADDED_CLEAN_AT_MOST
        if (score := max(_sexual_by(classifier, verdict) for verdict in passed)) > limit:
            raise CheckerError(f"the image check's {classifier.name} is alarmed by a landscape: {score:.2f}")
    if caught.scores["sexual"] < CANARY_AT_LEAST:
        raise CheckerError("the image check misses the canary, though its classifiers do not")


def _sexual_by(classifier: Classifier, verdict: Verdict) -> float:
    return classifier.sexual(_scores_by(classifier, verdict))


def _scores_by(classifier: Classifier, verdict: Verdict) -> dict[str, float]:
    return {kind: verdict.scores[f"{classifier.name}.{kind}"] for kind in classifier.design.classes}


def _tells_apart(classifier: Classifier, verdicts: Sequence[Verdict]) -> bool:
    """Whether its answers depend on the picture."""
    by_kind = zip(*(_scores_by(classifier, verdict).values() for verdict in verdicts), strict=True)
    return any(max(scores) - min(scores) > SAME_WITHIN for scores in by_kind)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
