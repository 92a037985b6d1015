"""The face: its shape, eyes, brows, nose, mouth."""

from __future__ import annotations

from dataclasses import dataclass

from tools.demo_model.canvas import Canvas, Path, Point, curve, ellipse, joined, moved, symmetric
from tools.demo_model.faces import Face
from tools.demo_model.hair import fringe_shadow
from tools.demo_model.style import (
    EYES,
    HAIR,
    INK,
    SKIN,
    SKIN_SHADE,
    WHITE,
    Color,
    darker,
    glossy,
    lighter,
    mix,
)

EYE_X, EYE_Y = 18.0, 60.0
IRIS_RADIUS = 7.6
BLUSH: Color = (255, 138, 138)
MOUTH: Color = (150, 44, 56)
TONGUE: Color = (244, 120, 122)
TEAR: Color = (96, 184, 255)

_GIRL = symmetric((0, 22), (20, 25), (33, 40), (34.5, 58), (30, 74), (17, 86), (5, 91.5))
_BOY = symmetric((0, 22), (20, 25), (33, 40), (35, 60), (32, 76), (20, 89), (7, 94.5))


@dataclass(frozen=True)
class Lids:
    """The opening of an eye: lines from the inner corner to the outer one, y = 0 at the middle of the eye."""

    upper: tuple[Point, ...]
    lower: tuple[Point, ...]


_MODERN = Lids(
    upper=((-10, 1), (-7.5, -8), (0, -11.5), (8, -9), (11, -1)),
    lower=((11, -1), (8.5, 8), (0, 10.5), (-7, 8), (-10, 1)),
)
_RETRO = Lids(
    upper=((-10.5, 1), (-7, -6), (0, -8.5), (8, -7), (12, -2)),
    lower=((12, -2), (8, 6.5), (0, 8.5), (-7, 6.5), (-10.5, 1)),
)


def paint_head(canvas: Canvas, face: Face) -> None:
    """Skin with its shadows, and the ears of boys."""
    is_boy = face.who == "1boy"
    if is_boy:
        for side in (1, -1):
            canvas.shape(ellipse(side * 36, 62, 5, 7.5), SKIN, outline=canvas.style.skin_outline)
    head = _BOY if is_boy else _GIRL
    if face.is_flat:
        canvas.fill(head, SKIN)
    else:
        canvas.gradient(head, lighter(SKIN, 0.2), mix(SKIN, SKIN_SHADE, 0.55))
        with canvas.inside(head) as skin:
            side = joined(curve((36, 46), (28, 66), (19, 80), (-2, 97)), curve((-2, 97), (28, 94), (42, 60)))
            skin.fill(side, mix(SKIN, SKIN_SHADE, 0.85))
            skin.fill(fringe_shadow(face), mix(SKIN, SKIN_SHADE, 0.9))
    canvas.outline(head, canvas.style.skin_outline)


def paint_features(canvas: Canvas, face: Face) -> None:
    """Everything in the face."""
    _paint_cheeks(canvas, face)
    for side in (-1, 1):
        is_shut = face.expression == "closed eyes" or (face.expression == "wink" and side == 1)
        if is_shut:
            _paint_shut_eye(canvas, face, side)
        else:
            _paint_eye(canvas, face, side)
        _paint_brow(canvas, face, side)
    nose = curve((0.6, 70), (-0.8, 72.6), (0.8, 73))
    canvas.line(nose, INK if face.is_retro else SKIN_SHADE, 1.5 if face.is_retro else 1.6)
    _paint_mouth(canvas, face)
    if face.expression == "sad":
        _paint_tears(canvas)


def _paint_cheeks(canvas: Canvas, face: Face) -> None:
    if face.expression in ("sad", "angry", "surprised") or face.who == "1boy":
        return
    for side in (-1, 1):
        if not face.is_flat:
            canvas.fill(ellipse(side * 24, 76, 7.5, 4.4), mix(SKIN, BLUSH, 0.3))
        canvas.fill(ellipse(side * 24, 76, 5, 2.6), mix(SKIN, BLUSH, 0.55))


def _lids(face: Face) -> Lids:
    lids = _RETRO if face.is_retro else _MODERN
    tall = {"surprised": 1.14, "angry": 0.94, "sad": 0.94}.get(face.expression, 1.0)
    if face.who == "1boy":
        tall *= 0.86
    # The outer ends droop with sadness, the inner ones with anger.
    tilt = {"sad": 0.2, "angry": -0.32}.get(face.expression, 0.0)
    upper = tuple(
        (x, y * tall + (x * tilt if at not in (0, 4) else 0)) for at, (x, y) in enumerate(lids.upper)
    )
    return Lids(upper, tuple((x, y * tall) for x, y in lids.lower))


def _paint_eye(canvas: Canvas, face: Face, side: int) -> None:
    lids = _lids(face)
    x, y = side * EYE_X, EYE_Y
    upper, lower = curve(*lids.upper), curve(*lids.lower)
    opening = moved(joined(upper, lower), x, y, flip=side)
    canvas.fill(opening, WHITE)
    with canvas.inside(opening) as eye:
        _paint_iris(eye, face, x, y)
    _paint_lashes(canvas, face, lids, side)


def _paint_iris(canvas: Canvas, face: Face, x: float, y: float) -> None:
    color = EYES[face.eye_color]
    tall = 8.8 if face.is_retro else 10.2
    if face.who == "1boy":
        tall *= 0.88
    canvas.fill(ellipse(x, y, IRIS_RADIUS, tall), darker(color, 0.5))
    inner = ellipse(x, y, IRIS_RADIUS - 1.1, tall - 1.1)
    if face.is_flat:
        canvas.fill(inner, color)
    else:
        canvas.gradient(inner, darker(color, 0.3), lighter(color, 0.04))
        canvas.fill(ellipse(x, y + tall * 0.56, 4.0, tall * 0.24), glossy(color, 0.5))
    canvas.fill(ellipse(x, y + 0.4, 2.4, tall * 0.36), darker(color, 0.78))
    _paint_glint(canvas, face, x - 3, y - tall * 0.42)


def _paint_glint(canvas: Canvas, face: Face, x: float, y: float) -> None:
    """At the same place in both eyes, as there is one light."""
    if face.is_retro:
        canvas.fill(((x - 2.8, y - 1.2), (x + 2.2, y - 2.6), (x + 1.7, y + 1.8), (x - 2.2, y + 2.6)), WHITE)
    else:
        canvas.fill(ellipse(x, y, 2.8, 3.1), WHITE)
    if not face.is_flat:
        canvas.fill(ellipse(x + 6.3, y + 8, 1.5, 1.7), WHITE)


def _paint_lashes(canvas: Canvas, face: Face, lids: Lids, side: int) -> None:
    """A crescent over the eye; of old, also a heavy line below it."""
    thick = (3.4 if face.is_retro else 2.9) * (0.75 if face.who == "1boy" else 1)
    ink = INK if face.is_retro else mix(INK, HAIR[face.hair_color], 0.15)
    x, y = side * EYE_X, EYE_Y
    (x0, y0), *middle, (x1, y1) = lids.upper
    flick = 3.0 if face.who == "1girl" else 1.0
    outer = curve((x0 - 0.8, y0 + 0.4), *((a, b - thick) for a, b in middle), (x1 + flick, y1 - thick * 0.9))
    inner = curve((x1 + 0.4, y1 + 1.6), *reversed(middle), (x0 - 0.8, y0 + 0.4))
    canvas.fill(moved(joined(outer, inner), x, y, flip=side), ink)
    if face.is_retro:
        low = curve(*((a, b + 0.4) for a, b in lids.lower[:4]))
        canvas.line(moved(low, x, y, flip=side), ink, 2.0)
    else:
        low = curve(*((a, b + 0.3) for a, b in lids.lower[1:4]))
        canvas.line(moved(low, x, y, flip=side), mix(ink, SKIN_SHADE, 0.45), 1.2)


def _paint_shut_eye(canvas: Canvas, face: Face, side: int) -> None:
    """Lowered lids; a winking one is pressed up."""
    ink = INK if face.is_retro else mix(INK, HAIR[face.hair_color], 0.15)
    if face.expression == "wink":
        lid = curve((-11, 5), (-6, -2), (0, -4), (6, -2), (11.5, 5))
    else:
        lid = curve((-11, -1), (-6, 5), (0, 7), (6, 5), (11.5, -1))
    canvas.line(moved(lid, side * EYE_X, EYE_Y + 1, flip=side), ink, 3.2)
    if face.who == "1girl":
        lash: Path = ((11.5, 5), (14, 2)) if face.expression == "wink" else ((8.5, 4.6), (12.5, 6.5))
        canvas.line(moved(lash, side * EYE_X, EYE_Y + 1, flip=side), ink, 2.4)


def _paint_brow(canvas: Canvas, face: Face, side: int) -> None:
    color = mix(darker(HAIR[face.hair_color], 0.45), INK, 0.6 if face.is_retro else 0.35)
    inner, middle, outer, lift = {
        "sad": (-4.0, -1.0, 3.5, 0.5),
        "angry": (5.5, 0.0, -4.0, 1.0),
        "surprised": (1.0, -2.0, 0.5, -3.0),
        "open mouth": (1.0, -1.5, 1.0, -1.0),
    }.get(face.expression, (0.6, -1.6, 1.4, 0.3))
    brow = curve((-7.5, inner), (0, middle), (8, outer))
    thick = (3.0 if face.is_retro else 2.3) * (1.35 if face.who == "1boy" else 1)
    canvas.line(moved(brow, side * EYE_X, 43.8 + lift, flip=side), color, thick)


def _paint_mouth(canvas: Canvas, face: Face) -> None:
    ink = INK if face.is_retro else MOUTH
    match face.expression:
        case "open mouth":
            _paint_open_mouth(canvas, ink)
        case "surprised":
            hole = ellipse(0, 82, 4.4, 5.6)
            canvas.fill(hole, MOUTH)
            canvas.line((*hole, hole[0]), ink, 1.4)
        case "sad":
            canvas.line(curve((-7, 84.5), (-3.5, 80.8), (0, 79.8), (3.5, 80.8), (7, 84.5)), ink, 2.2)
        case "angry":
            teeth: Path = ((-7.5, 84.5), (-5.5, 78.5), (5.5, 78.5), (7.5, 84.5))
            canvas.fill(teeth, WHITE)
            canvas.line(((-6.5, 81.5), (6.5, 81.5)), mix(ink, WHITE, 0.3), 1.1)
            canvas.line((*teeth, teeth[0]), ink, 1.7)
        case _:
            wide = {"wink": 8.5, "closed eyes": 5.5}.get(face.expression, 8.5)
            canvas.line(
                curve((-wide, 78.5), (-wide / 2, 82), (0, 83.2), (wide / 2, 82), (wide, 78.5)), ink, 2.2
            )


def _paint_open_mouth(canvas: Canvas, ink: Color) -> None:
    mouth = joined(
        curve((-9, 77.5), (0, 78.6), (9, 77.5)), curve((9, 77.5), (6, 85), (0, 88), (-6, 85), (-9, 77.5))
    )
    canvas.fill(mouth, MOUTH)
    with canvas.inside(mouth) as inner:
        inner.fill(ellipse(0, 88, 6, 4), TONGUE)
    canvas.line((*mouth, mouth[0]), ink, 1.6)


def _paint_tears(canvas: Canvas) -> None:
    for side in (-1, 1):
        drop = joined(curve((0, 0), (3.4, 6), (0, 9.4), (-3.4, 6), (0, 0)))
        tear = moved(drop, side * 25, 70)
        canvas.fill(tear, TEAR)
        canvas.fill(ellipse(side * 25 - 0.9, 76, 1.1, 1.5), WHITE)
        canvas.line((*tear, tear[0]), darker(TEAR, 0.4), 1.0)
