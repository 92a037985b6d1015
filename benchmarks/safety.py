"""How long the checks take, and how often they are wrong about pictures with nothing in them.

Prompts: the real rules on texts of 2,000 characters of every kind that `benchmarks/safety_prompts.py` has.
The 99th percentile is over all of them, and that of the slowest kind is beside it. Times are the processor's,
so that waiting for it stays out.

Pictures: the demo model's, some of them enlarged too, and those of a folder if one is given. What share of
explicit pictures is found is measured by nobody here: `trinart safety evaluate` does it on your own pictures.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.safety_pictures import demo_pictures, enlarged, folder_pictures, measure_pictures
from benchmarks.safety_prompts import LENGTH, prompts
from bot.presets import PresetBook
from bot.safety.screen import PromptScreen

GOALS = {
    "prompt_p99_ms": report.Goal(2.0, at_most=True),
    "picture_cpu_ms": report.Goal(60.0, at_most=True),
    "picture_1024_cpu_ms": report.Goal(60.0, at_most=True),
}
ENLARGED = 50
"""Of the demo model's pictures, for the time that one of 1024 x 1024 takes."""


def measure_prompts(rounds: int) -> dict[str, Any]:
    """Each kind of prompt, so many times."""
    started = time.process_time()
    screen = PromptScreen.load()
    load = time.process_time() - started
    times = {name: timed(screen, text, rounds) for name, text in prompts().items()}
    short = timed(screen, "1girl, blue hair, smile, cherry blossoms", rounds * 10, PresetBook.load().anatomy)
    every = [each for series in times.values() for each in series]
    worst = max(times, key=lambda name: percentile(times[name], 0.99))
    return {
        "prompt_p99_ms": percentile(every, 0.99),
        "prompts_per_s": 1000 / statistics.mean(every),
        "prompt_p50_ms": statistics.median(every),
        "slowest_kind": worst,
        "slowest_kind_p99_ms": percentile(times[worst], 0.99),
        "short_prompt_p50_ms": statistics.median(short),
        "load_s": load,
        "kinds_p50_ms": {name: statistics.median(series) for name, series in times.items()},
    }


def timed(screen: PromptScreen, text: str, rounds: int, negative: str = "") -> list[float]:
    """The processor's milliseconds of each check of a text."""
    screen.check(text, negative=negative)
    times: list[float] = []
    for _ in range(rounds):
        started = time.process_time()
        screen.check(text, negative=negative)
        times.append((time.process_time() - started) * 1000)
    return times


def percentile(series: list[float], share: float) -> float:
    """The value that this share of a series does not exceed."""
    return sorted(series)[min(int(share * len(series)), len(series) - 1)]


def main() -> None:
    """The command line."""
    parser = report.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="checks of each prompt")
    parser.add_argument("--pictures", type=int, default=500, help="pictures of the demo model")
    parser.add_argument("--folder", type=Path, help="a folder of pictures with nothing to find in them")
    args = parser.parse_args()
    pictures = list(demo_pictures(args.pictures))
    demo, large = measure_pictures(pictures), measure_pictures(enlarged(pictures[:ENLARGED], 1024))
    results = {
        **measure_prompts(args.rounds),
        "picture_cpu_ms": demo["cpu_ms"],
        "picture_1024_cpu_ms": large["cpu_ms"],
        "demo_pictures": demo,
    }
    if args.folder is not None:
        results["folder_pictures"] = measure_pictures(folder_pictures(args.folder))
    report.publish(
        "Safety checks",
        results,
        goals=GOALS,
        conditions=report.conditions(clock="processor", rounds=args.rounds, characters=LENGTH),
        as_json=args.json,
    )


if __name__ == "__main__":
    main()
