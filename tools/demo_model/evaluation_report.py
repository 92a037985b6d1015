"""What an evaluation found, as tables that can be pasted into docs/demo-model.md, or as one JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.report import Goal, conditions
from tools.demo_model.judge import Judge
from tools.demo_model.scoring import COUNTED, Score, mean_share

MEAN = "mean of all attributes"
GOALS = {"hair colour": Goal(0.9), "background": Goal(0.9), MEAN: Goal(0.8)}
BASE, HIDDEN = Goal(0.35), Goal(0.15, at_most=True)
"""Of pictures whose prompts have no style words: those in a style at first, and with a preset against it."""
AGAINST_FLAT = ("More Details", "2022 Artstyle + More Details")
AGAINST_RETRO = ("2022 Artstyle", "2022 Artstyle + More Details")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All that was measured of one model."""

    scores: Mapping[str, Score]
    """Of generated pictures."""
    rendered_scores: Mapping[str, Score]
    """Of the renderer's pictures of the same faces: what the judge would say of a perfect model."""
    judge: Judge
    flat: Mapping[str, float]
    """Share of pictures judged flat, by preset; prompts without style words."""
    retro: Mapping[str, float]
    distance: float
    """Fréchet distance between the judge's features of generated and of rendered pictures."""
    floor: float
    """The same between two sets of rendered pictures, as many."""

    def shares(self) -> dict[str, float | None]:
        """The accuracies of generated pictures, and their mean."""
        shares = {name: self.scores[name].share for name in COUNTED}
        return {**shares, MEAN: mean_share(self.scores)}

    def goals(self) -> Iterator[tuple[str, Goal, float | None]]:
        """What each goal is about, the goal, and what was measured."""
        shares = self.shares()
        for name, goal in GOALS.items():
            yield name, goal, shares[name]
        for style, by_preset, against in (
            ("flat", self.flat, AGAINST_FLAT),
            ("retro", self.retro, AGAINST_RETRO),
        ):
            yield f"judged {style}, None", BASE, by_preset["None"]
            for preset in against:
                yield f"judged {style}, {preset}", HIDDEN, by_preset[preset]

    def as_json(self) -> dict[str, Any]:
        """Everything, with names as in the tables."""
        return {
            "accuracy": self.shares(),
            "asked": {name: self.scores[name].asked for name in COUNTED},
            "accuracy_of_rendered": {name: self.rendered_scores[name].share for name in COUNTED},
            "judge": {"clean": dict(self.judge.accuracy), "softest": dict(self.judge.soft_accuracy)},
            "judged_flat": dict(self.flat),
            "judged_retro": dict(self.retro),
            "distance": self.distance,
            "distance_of_rendered": self.floor,
            "goals": {
                name: {"must": str(goal), "measured": value, "reached": goal.is_reached(value)}
                for name, goal, value in self.goals()
            },
        }


def publish(found: Evaluation, *, as_json: bool, **asked: Any) -> None:
    """Print an evaluation; `asked` is what was asked of it."""
    _publish(found.as_json(), _tables(found), as_json, asked)


def publish_distances(distances: Mapping[str, float], *, as_json: bool, **asked: Any) -> None:
    """Print how far several models are from the renderer."""
    rows = [[folder, f"{distance:.2f}"] for folder, distance in distances.items()]
    table = _markdown(["Model", "Distance to rendered pictures"], rows)
    _publish({"distances": dict(distances)}, table, as_json, asked)


def _publish(
    results: Mapping[str, Any], tables: Iterable[str], as_json: bool, asked: Mapping[str, Any]
) -> None:
    ran = conditions(**asked)
    if as_json:
        text = json.dumps({**results, "conditions": ran})
    else:
        text = "\n".join([*tables, "", *(f"{name}: {value}" for name, value in ran.items())])
    sys.stdout.write(f"{text}\n")


def _tables(found: Evaluation) -> Iterator[str]:
    """All tables as lines of Markdown, as in docs/demo-model.md."""
    shares, judge = found.shares(), found.judge
    rows: list[list[str]] = []
    for name in COUNTED:
        cells = [_percent(shares[name]), str(found.scores[name].asked)]
        cells += [_percent(found.rendered_scores[name].share)]
        rows.append(
            [name, *cells, _percent(judge.accuracy.get(name)), _percent(judge.soft_accuracy.get(name))]
        )
    means = [_percent(shares[MEAN]), "", _percent(mean_share(found.rendered_scores))]
    rows.append([MEAN, *means, _mean(judge.accuracy), _mean(judge.soft_accuracy)])
    head = ["Attribute", "Drawn as asked", "Asked", "Rendered instead", "Judge, clean", "Judge, softest"]
    yield from _markdown(head, rows)
    yield ""
    styles = [[preset, _percent(found.flat[preset]), _percent(found.retro[preset])] for preset in found.flat]
    yield from _markdown(["Preset", "Judged flat", "Judged retro"], styles)
    yield ""
    distances = [["generated", f"{found.distance:.2f}"], ["rendered", f"{found.floor:.2f}"]]
    yield from _markdown(["Pictures", "Distance to rendered pictures"], distances)
    yield ""
    verdicts = {True: "yes", False: "**no**", None: "not measured"}
    goals = [
        [name, _percent(value), str(goal), verdicts[goal.is_reached(value)]]
        for name, goal, value in found.goals()
    ]
    yield from _markdown(["Goal", "Measured", "Must be", "Reached"], goals)


def _markdown(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    """A table whose columns are also straight on a terminal."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        yield f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _mean(shares: Mapping[str, float]) -> str:
    return _percent(sum(shares.values()) / len(shares))
