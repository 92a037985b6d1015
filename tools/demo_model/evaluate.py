"""How well a model draws what it is asked for: `python -m tools.demo_model.evaluate --work FOLDER`.

The pictures are drawn by the engine's own code, from requests as the bot makes them, and judged by a
classifier that knows the renderer's pictures only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.models import DEMO_FOLDER, find_model
from engine.protocol import GenerationRequest, ModelCard
from engine.worker.loading import ModelOptions, load_model
from engine.worker.model import DiffusionModel
from tools.demo_model.drawing import draw, member_request
from tools.demo_model.evaluation_report import Evaluation, publish, publish_distances
from tools.demo_model.faces import Face, caption, tags_of
from tools.demo_model.judge import Judge
from tools.demo_model.judge_training import FULL, get_judge, held_out_face
from tools.demo_model.progress import Progress
from tools.demo_model.renderer import render
from tools.demo_model.scoring import frechet_distance, score, share_of

SQUARE_SHARE = 0.6
"""Of the prompts that are drawn at the model's first size; the other sizes share the rest."""
PRESETS = ("None", "More Details", "2022 Artstyle", "2022 Artstyle + More Details")
BATCH = 16
"""Pictures that share a call: enough for a CPU's caches and for most GPUs."""

Pictures = list[NDArray[np.uint8]]
Drawer = Callable[[Sequence[GenerationRequest], str], Pictures]
"""Draws requests; the text is shown meanwhile."""


@dataclass(frozen=True)
class HeldOut:
    """A face that the model has never seen, and the size at which it is asked for."""

    face: Face
    size: str
    dimensions: tuple[int, int]
    seed: int


def held_out(purpose: str, card: ModelCard, count: int) -> list[HeldOut]:
    """So many, of all the sizes that a model offers; `purpose` is what they are numbered under."""
    names = list(card.sizes)
    squares = count if len(names) == 1 else round(count * SQUARE_SHARE)
    made: list[HeldOut] = []
    for number in range(count):
        size = names[0] if number < squares else names[1 + number % (len(names) - 1)]
        made.append(HeldOut(held_out_face(purpose, size, number), size, card.sizes[size], number))
    return made


def rendered(cases: Sequence[HeldOut]) -> Pictures:
    """What a perfect model would draw."""
    return [np.asarray(render(case.face, *case.dimensions)) for case in cases]


def requests_for(
    cases: Sequence[HeldOut], card: ModelCard, preset: str, prompt_of: Callable[[Face], str]
) -> list[GenerationRequest]:
    """The same seeds whatever the preset, so that nothing but the preset makes a difference."""
    return [
        member_request(card, prompt_of(case.face), preset=preset, seed=case.seed, size=case.size)
        for case in cases
    ]


def without_style(face: Face) -> str:
    """A prompt that leaves the shading and the era to the model and the preset."""
    return ", ".join(tags_of(face))


def evaluate(card: ModelCard, judge: Judge, drawer: Drawer, count: int) -> Evaluation:
    """Draw and judge everything."""
    cases = held_out("evaluate", card, count)
    faces = [case.face for case in cases]
    reference = judge.look(rendered(held_out("reference", card, count))).features
    perfect = judge.look(rendered(cases))
    generated = judge.look(drawer(requests_for(cases, card, PRESETS[0], caption), "pictures"))
    flat: dict[str, float] = {}
    retro: dict[str, float] = {}
    for preset in PRESETS:
        pictures = drawer(requests_for(cases, card, preset, without_style), f"preset {preset}")
        seen = judge.look(pictures).values
        flat[preset] = share_of(seen, "shading", "flat")
        retro[preset] = share_of(seen, "era", "retro")
    return Evaluation(
        scores=score(faces, generated.values),
        rendered_scores=score(faces, perfect.values),
        judge=judge,
        flat=flat,
        retro=retro,
        distance=frechet_distance(generated.features, reference),
        floor=frechet_distance(perfect.features, reference),
    )


def measure_distance(card: ModelCard, judge: Judge, drawer: Drawer, count: int) -> float:
    """How far a model's pictures are from rendered ones."""
    cases = held_out("evaluate", card, count)
    reference = judge.look(rendered(held_out("reference", card, count))).features
    generated = judge.look(drawer(requests_for(cases, card, PRESETS[0], caption), "pictures"))
    return frechet_distance(generated.features, reference)


def drawer_of(model: DiffusionModel) -> Drawer:
    """Draws with a model, and shows how far it is."""

    def drawer(requests: Sequence[GenerationRequest], title: str) -> Pictures:
        with Progress(title, total=len(requests)) as progress:
            return draw(model, requests, progress.show)

    return drawer


def main() -> None:
    """Evaluate one model, or measure the distance of several."""
    arguments = _parser().parse_args()
    # What is shown on the way is no result: a pipe gets the results alone.
    with redirect_stdout(sys.stderr):
        result = _run(arguments)
    asked: dict[str, Any] = {"prompts": arguments.prompts, "device": arguments.device}
    if isinstance(result, Evaluation):
        asked["model"] = str(arguments.model)
        publish(result, as_json=arguments.json, **asked)
    else:
        publish_distances(result, as_json=arguments.json, **asked)


def _run(arguments: argparse.Namespace) -> Evaluation | dict[str, float]:
    judge = get_judge(arguments.work, FULL, arguments.threads)
    options = ModelOptions(device=arguments.device, threads=arguments.threads, max_batch_size=BATCH)
    if not arguments.snapshots:
        model = load_model(find_model(str(arguments.model), Path()), options)
        return evaluate(model.card, judge, drawer_of(model), arguments.prompts)
    distances: dict[str, float] = {}
    for folder in arguments.snapshots:
        model = load_model(folder, options)
        distances[str(folder)] = measure_distance(model.card, judge, drawer_of(model), arguments.prompts)
    return distances


def _count(text: str) -> int:
    """A covariance needs two pictures."""
    count = int(text)
    if count < 2:
        raise ValueError
    return count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.demo_model.evaluate", description=__doc__)
    parser.add_argument("--model", type=Path, default=DEMO_FOLDER, help="its folder, in diffusers layout")
    parser.add_argument("--work", type=Path, default=Path("data/demo-model"), help="where the judge is kept")
    parser.add_argument("--prompts", type=_count, default=500, help="so many, and as often again per preset")
    parser.add_argument("--snapshots", type=Path, nargs="+", help="measure the distance of these models only")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser


if __name__ == "__main__":
    main()
