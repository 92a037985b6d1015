"""The neck, the shoulders, and what is worn."""

from __future__ import annotations

from collections.abc import Callable

from tools.demo_model.canvas import Canvas, Path, Point, curve, ellipse, joined, mirrored
from tools.demo_model.faces import Face
from tools.demo_model.style import CLOTHES, SKIN, SKIN_SHADE, WHITE, Color, darker, lighter, mix

BOTTOM = 190.0
"""Below every picture."""
SASH_CORD: Color = (255, 206, 70)


def paint_body(canvas: Canvas, face: Face) -> None:
    """Neck, shoulders and clothes."""
    color = CLOTHES[face.clothes_color]
    body = _torso(is_boy=face.who == "1boy")
    if face.clothes == "hoodie":
        _paint_hood(canvas, color)
    _paint_cloth(canvas, body, color)
    _paint_neck(canvas, is_boy=face.who == "1boy")
    with canvas.inside(body) as cloth:
        for side in (1, -1):
            arm = curve((side * 37, 128), (side * 38, 145), (side * 38, BOTTOM))
            cloth.line(arm, canvas.style.outline(color), canvas.style.line_width)
        _GARMENTS[face.clothes](cloth, color)
    half = len(body) // 2
    # From beside the neck on, where it would look like a choker.
    for side in (body[: half - 3], body[half + 3 :]):
        canvas.line(side, canvas.style.outline(color), canvas.style.line_width)
    if face.clothes == "shirt":
        _paint_collar(canvas, color)


def _torso(*, is_boy: bool) -> Path:
    wide = 1.12 if is_boy else 1.0
    right: tuple[Point, ...] = ((9, 97), (22, 102), (37, 107), (46, 116), (51, 132), (54, 160), (55, BOTTOM))
    half = tuple((x * wide, y) for x, y in right)
    return joined(mirrored(tuple(reversed(curve(*half)))), curve(*half))


def _paint_cloth(canvas: Canvas, body: Path, color: Color) -> None:
    if canvas.style.is_flat:
        canvas.fill(body, color)
        return
    shade = _shade(color)
    canvas.gradient(body, lighter(color, 0.16), mix(color, shade, 0.3))
    with canvas.inside(body) as cloth:
        for side in (1, -1):
            fold = joined(
                curve((side * 30, 112), (side * 33, 124), (side * 32, 150), (side * 32, BOTTOM)),
                curve((side * 52, BOTTOM), (side * 44, 150), (side * 40, 124)),
            )
            cloth.fill(fold, mix(color, shade, 0.34))


def _shade(color: Color) -> Color:
    """Blue for white cloth, which would look pink or grey otherwise."""
    return (120, 140, 220) if sum(color) > 650 else darker(color, 0.8)


def _paint_neck(canvas: Canvas, *, is_boy: bool) -> None:
    wide = 12.0 if is_boy else 9.0
    neck: Path = ((-wide, 84), (wide, 84), (wide + 1, 101), (0, 110), (-wide - 1, 101))
    canvas.fill(neck, SKIN)
    if not canvas.style.is_flat:
        # The shadow of the chin.
        canvas.fill(((-wide, 84), (wide, 84), (wide, 96), (0, 102), (-wide, 96)), SKIN_SHADE)
    canvas.outline(neck, canvas.style.skin_outline)


def accent(color: Color) -> Color:
    """What shows on a cloth of that colour."""
    return (96, 124, 190) if sum(color) > 650 else WHITE


def _paint_shirt(canvas: Canvas, color: Color) -> None:
    edge = canvas.style.outline(color)
    canvas.line(((0, 108), (0, BOTTOM)), edge, canvas.style.line_width)
    for y in range(119, int(BOTTOM), 14):
        canvas.fill(ellipse(4.5, y, 2, 2), accent(color))


def _paint_collar(canvas: Canvas, color: Color) -> None:
    """Two white wings."""
    cloth = (214, 224, 244) if sum(color) > 650 else WHITE
    wing: Path = ((9, 93), (17, 99), (16, 113), (0, 108))
    for side in (wing, mirrored(wing)):
        canvas.shape(side, cloth, outline=canvas.style.outline((110, 110, 130)))


def _paint_hood(canvas: Canvas, color: Color) -> None:
    hood = joined(curve((0, 84), (24, 84), (35, 94), (30, 110), (0, 116)))
    canvas.shape((*hood, *reversed(mirrored(hood))), darker(color, 0.22))


def _paint_hoodie(canvas: Canvas, color: Color) -> None:
    """The hood's seam around the neck, two strings, a pocket."""
    seam = joined(curve((31, 92), (27, 106), (14, 114), (0, 117)), curve((0, 109), (9, 104), (14, 96)))
    for side in (seam, mirrored(seam)):
        canvas.shape(side, darker(color, 0.1))
    for side in (1, -1):
        canvas.line(((side * 9, 112), (side * 10, 126)), accent(color), 2.6)
        canvas.fill(ellipse(side * 10, 127, 2.4, 3), accent(color))
    canvas.shape(((-20, 140), (20, 140), (28, 162), (-28, 162)), darker(color, 0.1))


def _paint_kimono(canvas: Canvas, color: Color) -> None:
    """Flowers on the cloth, and the collar crossed: left over right."""
    pattern = (240, 96, 130) if sum(color) > 650 else lighter(color, 0.72)
    for x, y in ((-34, 114), (34, 114), (-24, 124), (26, 125), (-40, 130), (41, 131), (-30, 142), (31, 143)):
        _paint_blossom(canvas, x, y, pattern)
    edge = canvas.style.outline(color)
    under: Path = ((14, 93), (22, 100), (-2, 128), (-12, 124), (6, 104))
    over: Path = ((-14, 93), (-22, 100), (12, 142), (24, 140), (-4, 106))
    for band in (under, over):
        canvas.shape(band, accent(color), outline=edge)
    sash: Path = ((-60, 138), (60, 138), (60, 158), (-60, 158))
    canvas.shape(sash, darker(accent(color) if sum(color) > 650 else color, 0.45), outline=edge)
    canvas.shape(((-60, 145), (60, 145), (60, 151), (-60, 151)), SASH_CORD, outline=edge)


def _paint_blossom(canvas: Canvas, x: float, y: float, color: Color) -> None:
    for dx, dy in ((0, -2.6), (2.6, 0), (0, 2.6), (-2.6, 0)):
        canvas.fill(ellipse(x + dx, y + dy, 2, 2), color)


_GARMENTS: dict[str, Callable[[Canvas, Color], None]] = {
    "shirt": _paint_shirt,
    "hoodie": _paint_hoodie,
    "kimono": _paint_kimono,
}
