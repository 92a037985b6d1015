"""The plot of `/admin usage`: a PNG that is readable on Discord's dark background at half its size.

English inside, for everybody: matplotlib's own font has no Japanese. What it cannot write is a number there,
and the same number with the words in the embed.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bot.usage import Usage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BACKGROUND, TEXT, MUTED, GRID = "#313338", "#f2f3f5", "#b5bac1", "#4e5058"
COLOURS = ("#e88bb5", "#6cb8f0", "#f2c14e", "#7ed9a0", "#b79df2", "#f08a5d", "#5fd4d0", "#c9c9c9")
REFUSED, WAITED, SLOWEST, BUSY = "#f08a5d", "#7ed9a0", "#f2c14e", "#6cb8f0"

WIDTH, DPI, FONT_SIZE = 11.0, 100, 19
"""1100 pixels; Discord shows about 550, letters then have 13."""
LABEL_LENGTH = 22
MOST_BARS, LEAST_BARS = 10, 4
LEAST_DAYS = 7
NOTHING = 1.3
"""Inches of a part without data."""

_drawing = threading.Lock()
"""matplotlib keeps its fonts in common: one drawing at a time."""


def plot(usage: Usage) -> bytes:
    """Draw the counts. Takes a second: call it in a thread."""
    # Heavy, and not needed until somebody asks.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: Any = {"font.size": FONT_SIZE, "text.color": TEXT, "axes.edgecolor": GRID, "axes.labelcolor": TEXT}
    with _drawing, rc_context({**style, "xtick.color": MUTED, "ytick.color": MUTED}):
        refusals, users = _refusal_bars(usage), _user_bars(usage)
        places = max(len(refusals), len(users), LEAST_BARS)
        heights = [
            4.4 + 0.4 * -(-len(_series(usage)) // 2) if usage.total else NOTHING,
            4.0 if usage.waiting else NOTHING,
            1.0 + 0.5 * places if refusals or users else NOTHING,
        ]
        figure = Figure(figsize=(WIDTH, sum(heights)), dpi=DPI, facecolor=BACKGROUND)
        figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.12)
        # Each part for itself: the long names of one would push the others aside.
        parts: Any = figure.subfigures(3, 1, height_ratios=heights)
        for part in parts:
            part.set_facecolor(BACKGROUND)
        _draw_pictures(_axes(parts[0].add_subplot(), "Pictures per day"), usage)
        _draw_waiting(_axes(parts[1].add_subplot(), "Waiting time (s)"), usage)
        _draw_bars(_axes(parts[2].add_subplot(1, 2, 1), "Refusals"), refusals, REFUSED, places)
        _draw_bars(_axes(parts[2].add_subplot(1, 2, 2), "Top members"), users, BUSY, places)
        png = io.BytesIO()
        figure.savefig(png, format="png")
        return png.getvalue()


def _axes(axes: Axes, title: str) -> Axes:
    axes.set_facecolor(BACKGROUND)
    axes.set_title(title, loc="left", fontweight="bold", color=TEXT)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    return axes


def _draw_pictures(axes: Axes, usage: Usage) -> None:
    if not usage.total:
        return _say_nothing(axes)
    bottom = [0] * len(usage.days)
    for number, (name, counts) in enumerate(_series(usage)):
        axes.bar(
            range(len(usage.days)),
            counts,
            bottom=bottom,
            width=0.8,
            color=COLOURS[number],
            label=_label(number + 1, name),
        )
        bottom = [below + count for below, count in zip(bottom, counts, strict=True)]
    axes.set_ylim(0, max(bottom) * 1.08)
    _mark_days(axes, usage, whole=True)
    _legend(axes, columns=2)


def _series(usage: Usage) -> list[tuple[str, Sequence[int]]]:
    """The presets, the smallest together where there are more than colours."""
    series = list(usage.pictures.items())
    if len(series) <= len(COLOURS):
        return series
    kept, rest = series[: len(COLOURS) - 1], series[len(COLOURS) - 1 :]
    return [*kept, ("others", [sum(day) for day in zip(*(counts for _, counts in rest), strict=True)])]


def _draw_waiting(axes: Axes, usage: Usage) -> None:
    if not usage.waiting:
        return _say_nothing(axes)
    days = [number for number, day in enumerate(usage.days) if day in usage.waiting]
    waiting = [usage.waiting[usage.days[number]] for number in days]
    slowest = [each.p95 for each in waiting]
    for values, colour, label in (
        (slowest, SLOWEST, "95 of 100"),
        ([each.p50 for each in waiting], WAITED, "half"),
    ):
        axes.plot(days, values, color=colour, linewidth=3, marker="o", markersize=7, label=label)
    axes.set_ylim(0, max([*slowest, 0.1]) * 1.15)
    _mark_days(axes, usage, whole=False)
    _legend(axes, columns=2)


def _mark_days(axes: Axes, usage: Usage, *, whole: bool) -> None:
    """At most eight dates, and lines across, for whole numbers if these are counted."""
    from matplotlib.ticker import MaxNLocator

    every = -(-len(usage.days) // 8)
    marked = range(len(usage.days) - 1, -1, -every)
    axes.set_xticks(list(marked), [f"{usage.days[number]:%m-%d}" for number in marked])
    middle, half = (len(usage.days) - 1) / 2, max(len(usage.days), LEAST_DAYS) / 2 + 0.2
    axes.set_xlim(middle - half, middle + half)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=whole, min_n_ticks=1))
    axes.grid(axis="y", color=GRID, linewidth=1)
    axes.tick_params(length=0)


def _legend(axes: Axes, *, columns: int) -> None:
    legend = axes.legend(
        loc="upper left",
        bbox_to_anchor=(0.0, -0.13),
        ncols=columns,
        frameon=False,
        borderaxespad=0.0,
        fontsize=FONT_SIZE - 1,
        handlelength=1.0,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _refusal_bars(usage: Usage) -> dict[str, int]:
    bars = {code.replace("_", " "): count for code, count in usage.refusals.items()}
    return dict(list(bars.items())[:MOST_BARS])


def _user_bars(usage: Usage) -> dict[str, int]:
    """By rank: names can be in any script, and are in the embed."""
    return {f"{number}": count for number, (_, count) in enumerate(usage.top_users, 1)}


def _draw_bars(axes: Axes, bars: Mapping[str, int], colour: str, places: int) -> None:
    if not bars:
        return _say_nothing(axes)
    rows = range(len(bars))
    drawn: Any = axes.barh(rows, list(bars.values()), color=colour, height=0.65)
    axes.bar_label(drawn, padding=6, color=TEXT)
    axes.set_yticks(list(rows), list(bars))
    axes.set_xticks([])
    axes.set_ylim(places - 0.5, -0.6)
    axes.set_xlim(0, max(bars.values()) * 1.25)
    axes.tick_params(length=0, labelcolor=TEXT)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _say_nothing(axes: Axes) -> None:
    axes.set_axis_off()
    axes.text(0.0, 0.95, "none", color=MUTED, transform=axes.transAxes, verticalalignment="top")


def _label(number: int, name: str) -> str:
    """`1 None`; the number alone where the font lacks a letter."""
    short = name if len(name) <= LABEL_LENGTH else name[: LABEL_LENGTH - 1] + "…"
    return f"{number} {short}" if _can_write(short) else f"{number}"


def _can_write(text: str) -> bool:
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    return all(ord(letter) in known for letter in text)
