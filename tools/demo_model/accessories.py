"""What is worn on the head."""

from __future__ import annotations

import math

from tools.demo_model.canvas import Canvas, Path, curve, ellipse, joined, mirrored
from tools.demo_model.faces import Face
from tools.demo_model.features import EYE_X, EYE_Y
from tools.demo_model.style import HAIR, Color, darker, lighter

RIBBON: Color = (228, 36, 66)
COOL_RIBBON: Color = (40, 96, 226)
"""For hair that a red ribbon would be lost in."""
INNER_EAR: Color = (255, 172, 190)
PETAL: Color = (255, 252, 252)
POLLEN: Color = (255, 198, 40)
FRAME: Color = (52, 40, 66)

_EAR = joined(curve((43, 36), (44, 16), (39, 0)), curve((39, 0), (24, 4), (9, 15)))
_INNER_EAR = joined(curve((37, 27), (39, 16), (36, 7)), curve((36, 7), (28, 10), (19, 16)))


def paint_ears(canvas: Canvas, face: Face) -> None:
    """Cat ears, which grow from behind the fringe."""
    if "cat ears" not in face.accessories:
        return
    color = HAIR[face.hair_color]
    for ear, inner in ((_EAR, _INNER_EAR), (mirrored(_EAR), mirrored(_INNER_EAR))):
        canvas.shape(ear, color)
        if face.is_flat:
            canvas.fill(inner, INNER_EAR)
        else:
            canvas.gradient(inner, lighter(INNER_EAR, 0.3), darker(INNER_EAR, 0.2))


def paint_accessories(canvas: Canvas, face: Face) -> None:
    """All that lies on hair and face."""
    if "glasses" in face.accessories:
        _paint_glasses(canvas, face)
    if "hair ribbon" in face.accessories:
        _paint_ribbon(canvas, COOL_RIBBON if face.hair_color in ("red", "orange", "pink") else RIBBON)
    if "hair flower" in face.accessories:
        _paint_flower(canvas)


def _paint_glasses(canvas: Canvas, face: Face) -> None:
    """Round frames, larger than the eyes."""
    width = 3.0 if face.is_retro else 2.6
    for side in (-1, 1):
        rim = ellipse(side * EYE_X, EYE_Y + 1, 15, 14.5)
        canvas.line((*rim, rim[0]), FRAME, width)
        canvas.line(((side * 33, EYE_Y - 1), (side * 38, EYE_Y - 3)), FRAME, width)
    canvas.line(curve((-3.4, EYE_Y), (0, EYE_Y - 1.5), (3.4, EYE_Y)), FRAME, width)


def _paint_ribbon(canvas: Canvas, color: Color) -> None:
    """A bow on one side of the head."""
    x, y = 27.0, 18.0
    loops: tuple[Path, ...] = (
        joined(
            curve((x, y), (x - 8, y - 12), (x - 18, y - 12)), curve((x - 18, y - 12), (x - 17, y + 4), (x, y))
        ),
        joined(
            curve((x, y), (x + 8, y - 4), (x + 19, y - 1)), curve((x + 19, y - 1), (x + 14, y + 15), (x, y))
        ),
    )
    for each in loops:
        canvas.shape(each, color)
    canvas.shape(ellipse(x, y, 4.4, 4.6), darker(color, 0.2))


def _paint_flower(canvas: Canvas) -> None:
    x, y = -30.0, 25.0
    for petal in range(5):
        angle = math.tau * (petal / 5 - 0.25)
        place = (x + 7.2 * math.cos(angle), y + 7.2 * math.sin(angle))
        canvas.shape(ellipse(*place, 5.6, 5.6), PETAL, outline=canvas.style.outline((226, 120, 160)))
    canvas.shape(ellipse(x, y, 4.4, 4.4), POLLEN)
