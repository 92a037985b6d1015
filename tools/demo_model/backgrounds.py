"""What is behind the head: plain colours and scenes, for every size of picture."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product

from tools.demo_model.canvas import Canvas, Path, ellipse
from tools.demo_model.faces import Face
from tools.demo_model.style import BACKGROUND, WHITE, Color, darker, lighter, mix

Box = tuple[float, float, float, float]
"""Left, top, right, bottom of the picture, in units."""

MOON: Color = (255, 244, 176)
CLOUD_SHADE: Color = (206, 226, 248)


def paint_background(canvas: Canvas, face: Face, box: Box) -> None:
    """Fills the picture."""
    scene = _SCENES.get(face.background)
    if scene is not None:
        scene(canvas, face, box)
        return
    color = BACKGROUND[face.background.removesuffix(" background")]
    if face.is_flat:
        canvas.fill(_rectangle(box), color)
    else:
        # White stays white, as grey is another background.
        depth = 0.1 if min(color) > 240 else 0.3
        canvas.gradient(_rectangle(box), lighter(color, 0.34), darker(color, depth))


def _sunset(canvas: Canvas, face: Face, box: Box) -> None:
    """Purple to yellow, the sun to the right of the head."""
    left, top, right, bottom = box
    bands: tuple[Color, ...] = ((112, 62, 148), (226, 88, 108), (255, 150, 72), (255, 204, 98))
    height = (bottom - top) / len(bands) if face.is_flat else (bottom - top) / (len(bands) - 1)
    steps = len(bands) if face.is_flat else len(bands) - 1
    for step in range(steps):
        band = _rectangle((left, top + step * height, right, top + (step + 1) * height + 1))
        if face.is_flat:
            canvas.fill(band, bands[step])
        else:
            canvas.gradient(band, bands[step], bands[step + 1])
    x, y = right - 14, top + (bottom - top) * 0.5 + 3 * face.pose[3]
    if not face.is_flat:
        canvas.fill(ellipse(x, y, 17, 17), (255, 190, 104))
    canvas.fill(ellipse(x, y, 13, 13), (255, 246, 190))


def _night(canvas: Canvas, face: Face, box: Box) -> None:
    """Deep blue with a moon and stars."""
    left, top, right, _ = box
    if face.is_flat:
        canvas.fill(_rectangle(box), (26, 32, 86))
    else:
        canvas.gradient(_rectangle(box), (12, 16, 58), (70, 72, 156))
    dice = random.Random(face.pose[4])
    for column, row in product((-70, -54, 54, 70), range(5)):
        x = column + dice.uniform(-5, 5)
        y = top + row * 25 + 8 + dice.uniform(-7, 7)
        is_at_moon = x < left + 28 and y < top + 32
        if left < x < right and not is_at_moon:
            _star(canvas, x, y, dice.uniform(3.0, 4.6))
    x, y = left + 14, top + 18
    if not face.is_flat:
        canvas.fill(ellipse(x, y, 15, 15), (66, 68, 128))
    canvas.fill(ellipse(x, y, 11, 11), MOON)


def _star(canvas: Canvas, x: float, y: float, size: float) -> None:
    waist = size * 0.36
    canvas.fill(
        (
            (x, y - size),
            (x + waist, y - waist),
            (x + size, y),
            (x + waist, y + waist),
            (x, y + size),
            (x - waist, y + waist),
            (x - size, y),
            (x - waist, y - waist),
        ),
        (255, 250, 214),
    )


def _clouds(canvas: Canvas, face: Face, box: Box) -> None:
    """A blue sky with big white clouds at both sides."""
    left, top, right, _ = box
    if face.is_flat:
        canvas.fill(_rectangle(box), (96, 176, 246))
    else:
        canvas.gradient(_rectangle(box), (48, 136, 236), (176, 222, 255))
    shift = 3 * face.pose[4]
    for x, y, size in (
        (left + 14, top + 24 + shift, 1.0),
        (right - 12, top + 42 - shift, 1.15),
        (left + 10, top + 82 - shift, 1.1),
        (right - 14, top + 100 + shift, 0.9),
    ):
        _cloud(canvas, x, y, size)


def _cloud(canvas: Canvas, x: float, y: float, size: float) -> None:
    puffs = ((-11, 2, 8), (0, -4, 11), (11, 1, 9), (0, 4, 9))
    if not canvas.style.is_flat:
        for dx, dy, radius in puffs:
            canvas.fill(ellipse(x + dx * size, y + dy * size + 3, radius * size, radius * size), CLOUD_SHADE)
    for dx, dy, radius in puffs:
        canvas.fill(
            ellipse(x + dx * size, y + dy * size, radius * size, radius * size), mix(WHITE, MOON, 0.05)
        )


def _rectangle(box: Box) -> Path:
    left, top, right, bottom = box
    return ((left, top), (right, top), (right, bottom), (left, bottom))


_SCENES: dict[str, Callable[[Canvas, Face, Box], None]] = {
    "sunset": _sunset,
    "night sky": _night,
    "clouds": _clouds,
}
