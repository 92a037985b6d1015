"""Smooth shapes, and a supersampled canvas to paint them on.

Everything is drawn in units of the head: x = 0 is the middle of the face, y = 0 the top of a square picture,
and 128 units are the side of a square one, whatever the size in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from tools.demo_model.style import Color, Style, darker, lighter

Point = tuple[float, float]
Path = tuple[Point, ...]

STEPS = 8
"""Straight pieces between two points of a curve."""
SHARP_TURN = math.radians(25)
"""From this turn on, a thick line gets a round joint, as it would show a notch otherwise."""
GRADIENT_LIGHT, GRADIENT_DARK = 0.16, 0.2


@lru_cache(maxsize=4096)
def curve(*points: Point) -> Path:
    """A smooth open line through the points (Catmull-Rom)."""
    ends = (points[0], *points, points[-1])
    return (*_segments(ends), points[-1])


@lru_cache(maxsize=4096)
def loop(*points: Point) -> Path:
    """A smooth closed line through the points."""
    return tuple(_segments((points[-1], *points, *points[:2])))


@lru_cache(maxsize=4096)
def ellipse(x: float, y: float, radius_x: float, radius_y: float) -> Path:
    """An ellipse around a point."""
    angles = [2 * math.pi * step / 36 for step in range(36)]
    return tuple((x + radius_x * math.cos(angle), y + radius_y * math.sin(angle)) for angle in angles)


def joined(*lines: Path) -> Path:
    """Lines one after the other, with corners where they meet."""
    return tuple(point for line in lines for point in line)


def mirrored(path: Sequence[Point]) -> Path:
    """The same on the other side of the face."""
    return tuple((-x, y) for x, y in path)


def moved(path: Sequence[Point], dx: float, dy: float, *, flip: float = 1.0) -> Path:
    """The same elsewhere; `flip` = -1 mirrors it first."""
    return tuple((dx + flip * x, dy + y) for x, y in path)


def symmetric(*half: Point) -> Path:
    """A closed smooth line from its right half, given from the top to the bottom."""
    return loop(*half, *reversed(mirrored(half)))


def _segments(points: Sequence[Point]) -> list[Point]:
    """Points on the curve from the second point to the last but one, without the end."""
    found: list[Point] = []
    for before, start, end, after in zip(points, points[1:], points[2:], points[3:], strict=False):
        for step in range(STEPS):
            t = step / STEPS
            found.append(
                (
                    _spline(before[0], start[0], end[0], after[0], t),
                    _spline(before[1], start[1], end[1], after[1], t),
                )
            )
    return found


def _spline(before: float, start: float, end: float, after: float, t: float) -> float:
    bend = 2 * before - 5 * start + 4 * end - after
    twist = 3 * start - before - 3 * end + after
    return 0.5 * (2 * start + (end - before) * t + bend * t * t + twist * t**3)


class Canvas:
    """A picture under work. Colours of shapes are shaded and outlined as the style asks."""

    def __init__(self, image: Image.Image, style: Style, origin: Point, unit: float) -> None:
        """Takes the picture, where x = y = 0 lies in it, and how many pixels one unit has."""
        self.image = image
        self.style = style
        self._origin = origin
        self._unit = unit
        self._draw = ImageDraw.Draw(image)

    def fill(self, path: Path, color: Color) -> None:
        """One colour, no outline."""
        self._draw.polygon(self._pixels(path), fill=color)

    def gradient(self, path: Path, top: Color, bottom: Color) -> None:
        """From the top of the shape to its bottom, whatever the style."""
        box = self._box(path)
        if box is None:
            return
        span = np.linspace(0, 1, box[3] - box[1])[:, None, None]
        ramp = np.array(top) * (1 - span) + np.array(bottom) * span
        column = Image.fromarray(ramp.round().astype(np.uint8))
        size = (box[2] - box[0], box[3] - box[1])
        self.image.paste(column.resize(size, Image.Resampling.NEAREST), box[:2], self._mask(path, box))

    def shape(self, path: Path, color: Color, *, outline: Color | None = None) -> None:
        """A shape as the style has it: plain or shaded, with its outline."""
        if self.style.is_flat:
            self.fill(path, color)
        else:
            self.gradient(path, lighter(color, GRADIENT_LIGHT), darker(color, GRADIENT_DARK))
        self.outline(path, outline or self.style.outline(color))

    def outline(self, path: Path, color: Color) -> None:
        """The outline of a closed shape."""
        self.line((*path, path[0]), color, self.style.line_width)

    def line(self, points: Path, color: Color, width: float) -> None:
        """A line with round ends and joints."""
        pixels = self._pixels(points)
        thick = max(1, round(width * self._unit))
        self._draw.line(pixels, fill=color, width=thick)
        radius = thick / 2
        xs, ys = pixels[::2], pixels[1::2]
        for at in range(len(xs)):
            if at in (0, len(xs) - 1) or _turn(xs, ys, at) > SHARP_TURN:
                x, y = xs[at], ys[at]
                self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)

    @contextmanager
    def inside(self, path: Path) -> Iterator[Canvas]:
        """A canvas that paints only within the shape."""
        box = self._box(path) or (0, 0, 1, 1)
        part = self.image.crop(box)
        origin = (self._origin[0] - box[0], self._origin[1] - box[1])
        yield Canvas(part, self.style, origin, self._unit)
        self.image.paste(part, box[:2], self._mask(path, box))

    def _pixels(self, path: Path) -> list[float]:
        (left, top), unit = self._origin, self._unit
        return [place for x, y in path for place in (left + x * unit, top + y * unit)]

    def _box(self, path: Path) -> tuple[int, int, int, int] | None:
        """The part of the picture that the shape lies in."""
        pixels = self._pixels(path)
        left, top = max(0, math.floor(min(pixels[::2]))), max(0, math.floor(min(pixels[1::2])))
        right = min(self.image.width, math.ceil(max(pixels[::2])) + 1)
        bottom = min(self.image.height, math.ceil(max(pixels[1::2])) + 1)
        return (left, top, right, bottom) if left < right and top < bottom else None

    def _mask(self, path: Path, box: tuple[int, int, int, int]) -> Image.Image:
        mask = Image.new("L", (box[2] - box[0], box[3] - box[1]), 0)
        pixels = self._pixels(path)
        shifted = [place - box[at % 2] for at, place in enumerate(pixels)]
        ImageDraw.Draw(mask).polygon(shifted, fill=255)
        return mask


def _turn(xs: Sequence[float], ys: Sequence[float], at: int) -> float:
    """By how much a line turns at a point."""
    before = math.atan2(ys[at] - ys[at - 1], xs[at] - xs[at - 1])
    after = math.atan2(ys[at + 1] - ys[at], xs[at + 1] - xs[at])
    return abs((after - before + math.pi) % (2 * math.pi) - math.pi)
