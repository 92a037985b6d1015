"""Hair: what falls behind the head, the fringe and locks before it, and the braid."""

from __future__ import annotations

from tools.demo_model.canvas import Canvas, Path, Point, curve, ellipse, joined, loop, mirrored, symmetric
from tools.demo_model.faces import Face
from tools.demo_model.style import HAIR, Color, darker, glossy

BAND: Color = (255, 206, 70)
"""Of what holds twintails, ponytails and braids; no hair or ribbon has it."""

_CAP = symmetric((0, 9), (20, 12), (37, 26), (42, 46), (40, 66), (26, 74), (0, 76))
_SHORT_CAP = symmetric((0, 9), (20, 12), (36, 25), (40, 44), (37, 62), (30, 74), (16, 70), (0, 70))
_BOB = symmetric((0, 9), (22, 12), (39, 27), (46, 52), (48, 76), (44, 92), (28, 96), (0, 94))
_LONG = joined(
    curve((0, 9), (22, 12), (39, 27), (46, 54), (49, 90), (55, 124), (57, 142)),
    curve((57, 142), (48, 148), (38, 144), (30, 152), (0, 150)),
    curve((0, 150), (-30, 152), (-38, 144), (-48, 148), (-57, 142)),
    curve((-57, 142), (-55, 124), (-49, 90), (-46, 54), (-39, 27), (-22, 12), (0, 9)),
)
_TAIL = joined(
    curve((38, 27), (51, 28), (60, 46), (61, 76), (57, 100), (50, 118)),
    curve((50, 118), (45, 104), (45, 84), (43, 62), (37, 38)),
)
_TAIL_STRAND = curve((43, 33), (52, 48), (53, 76), (51, 100))
_PONYTAIL = joined(
    curve((24, 16), (38, 4), (54, 12), (61, 36), (60, 66), (56, 88), (45, 108)),
    curve((45, 108), (46, 88), (45, 66), (42, 44), (28, 26)),
)
_PONYTAIL_STRAND = curve((34, 16), (48, 22), (53, 46), (52, 72), (50, 90))
_BRAID_CORE = curve((34, 74), (38, 92), (35, 108), (29, 122))

_OUTER = curve((41, 58), (42.5, 42), (36, 23), (20, 11), (0, 8), (-20, 11), (-36, 23), (-42.5, 42), (-41, 58))

_FRINGES: dict[str, tuple[Point, ...]] = {
    # Tips and the notches between them, from left to right.
    "long hair": ((-34, 42), (-22, 31), (-15, 40), (-7, 30), (0, 41), (7, 30), (15, 40), (22, 31), (34, 42)),
    "short hair": (
        (-35, 44),
        (-27, 35),
        (-20, 41),
        (-12, 33),
        (-5, 41),
        (6, 28),
        (19, 38),
        (25, 28),
        (35, 42),
    ),
    "bob cut": ((-34, 43), (0, 40), (34, 43)),
    "twintails": ((-33, 44), (-24, 34), (-13, 39), (-4, 28), (0, 25), (4, 28), (13, 39), (24, 34), (33, 44)),
    "ponytail": ((-34, 44), (-21, 27), (-17, 25), (-8, 34), (3, 40), (9, 34), (19, 41), (25, 34), (35, 45)),
    "braid": ((-35, 46), (-26, 34), (-14, 29), (-5, 25), (0, 23), (5, 25), (14, 29), (26, 34), (35, 46)),
}
_BOY_FRINGE = ((-35, 42), (-28, 31), (-21, 41), (-13, 29), (-5, 41), (2, 29), (12, 42), (19, 30), (35, 42))

_LOCKS: dict[str, Path] = {
    "long hair": joined(
        curve((41, 36), (44, 60), (44, 88), (42, 106), (36, 124)),
        curve((36, 124), (31, 108), (34, 88), (31, 66), (32, 40)),
    ),
    "short hair": joined(curve((40, 38), (41, 52), (38, 64), (33, 70)), curve((33, 70), (33, 56), (31, 40))),
    "bob cut": joined(
        curve((41, 36), (46, 60), (47, 78), (42, 90), (29, 92)),
        curve((29, 92), (33, 84), (32, 66), (31, 40)),
    ),
    "twintails": joined(curve((40, 38), (40, 58), (37, 72), (31, 80)), curve((31, 80), (33, 62), (31, 40))),
    "ponytail": joined(curve((40, 38), (41, 58), (38, 72), (32, 78)), curve((32, 78), (33, 60), (31, 40))),
    "braid": joined(curve((40, 38), (41, 58), (38, 70), (32, 74)), curve((32, 74), (33, 58), (31, 40))),
}
_SPIKES: Path = (
    *(
        (41, 58),
        (47, 50),
        (40, 45),
        (49, 32),
        (40, 29),
        (43, 13),
        (30, 15),
        (27, 3),
        (14, 10),
        (5, 1),
        (-5, 9),
    ),
    *(
        (-18, 2),
        (-22, 11),
        (-38, 7),
        (-36, 21),
        (-47, 22),
        (-40, 35),
        (-49, 43),
        (-40, 48),
        (-46, 56),
        (-41, 58),
    ),
)
_AHOGE = joined(curve((-4, 11), (-4, 4), (5, 0), (15, 5)), curve((15, 5), (6, 5), (4, 11)))


def paint_back_hair(canvas: Canvas, face: Face) -> None:
    """All that is behind the neck and the clothes."""
    color = HAIR[face.hair_color]
    style = face.hair_style
    tails: dict[str, tuple[Path, ...]] = {
        "twintails": (_TAIL, mirrored(_TAIL)),
        "ponytail": (_PONYTAIL,),
    }
    for tail in tails.get(style, ()):
        canvas.shape(tail, color)
    strand = {"twintails": _TAIL_STRAND, "ponytail": _PONYTAIL_STRAND}.get(style)
    if strand is not None and not canvas.style.is_flat:
        for side in (strand, mirrored(strand))[: len(tails[style])]:
            canvas.line(side, darker(color, 0.25), 1.8)
            canvas.line(tuple((x * 0.93, y - 1) for x, y in side), glossy(color, 0.6), 2.4)
    backs = {"long hair": _LONG, "bob cut": _BOB, "short hair": _SHORT_CAP}
    # Darker than the fringe, in flat pictures too: or face and hair would hang in one blot.
    canvas.shape(backs.get(style, _CAP), darker(color, 0.22))


def paint_front_hair(canvas: Canvas, face: Face) -> None:
    """Locks at both sides, the fringe, and its shine."""
    color = HAIR[face.hair_color]
    lock = _LOCKS[face.hair_style]
    for side in (lock, mirrored(lock)):
        canvas.shape(side, color)
    if face.hair_style == "short hair" and face.who == "1girl":
        canvas.shape(_AHOGE, color)
    fringe = _fringe(face)
    if canvas.style.is_flat:
        canvas.fill(fringe, color)
    else:
        canvas.gradient(fringe, glossy(color, 0.15), darker(color, 0.14))
        with canvas.inside(fringe) as hair:
            _paint_strands(hair, color)
            _paint_shine(hair, color)
    canvas.outline(fringe, canvas.style.outline(color))
    if face.hair_style == "twintails":
        for side in (1, -1):
            canvas.shape(ellipse(side * 40, 31, 5, 6.5), BAND)
    elif face.hair_style == "ponytail":
        canvas.shape(ellipse(29, 17, 6, 6), BAND)


def paint_braid(canvas: Canvas, face: Face) -> None:
    """A thick braid over one shoulder, before the clothes."""
    if face.hair_style != "braid":
        return
    color = HAIR[face.hair_color]
    knots = ((37, 76, 8.5), (40, 87, 9), (40, 98, 9), (37, 109, 8.5))
    for x, y, radius in knots:
        left = loop((x - radius, y - 5), (x, y - 4), (x + 2, y + 7), (x - radius * 0.6, y + 4))
        right = loop((x + radius, y - 5), (x + 1, y - 5), (x - 2, y + 7), (x + radius * 0.6, y + 4))
        canvas.shape(left, darker(color, 0.18))
        canvas.shape(right, color)
    canvas.shape(
        joined(curve((31, 117), (26, 126), (29, 134)), curve((29, 134), (38, 128), (38, 118))), color
    )
    canvas.shape(ellipse(35, 116.5, 6, 3.8), BAND)


def fringe_shadow(face: Face) -> Path:
    """Where the fringe shades the forehead."""
    fringe = _fringe(face)
    return tuple((x, y + 4.5) for x, y in fringe)


def _fringe(face: Face) -> Path:
    """The hair over the forehead: locks that end in tips, and what shows above it."""
    is_boy = face.who == "1boy"
    lines: list[Path] = [_SPIKES if is_boy else _OUTER]
    start: Point = (-41, 58)
    for at, end in enumerate((*(_BOY_FRINGE if is_boy else _FRINGES[face.hair_style]), (41.0, 58.0))):
        # Bulging a little, as locks do; the way down more than the way up.
        bulge = 2.0 if at % 2 else -1.5
        middle = ((start[0] + end[0]) / 2 + bulge, (start[1] + end[1]) / 2)
        lines.append(curve(start, middle, end))
        start = end
    return joined(*lines)


def _paint_strands(canvas: Canvas, color: Color) -> None:
    for x, end in ((-33, 40), (-20, 34), (-8, 31), (8, 31), (20, 34), (33, 40)):
        canvas.line(curve((x * 0.3, 12), (x * 0.8, 21), (x, end)), darker(color, 0.24), 1.5)


def _paint_shine(canvas: Canvas, color: Color) -> None:
    """A glossy ring with frayed ends today; of old, splinters."""
    # Less on dark hair, where a bright band would pass for something worn.
    light = glossy(color, 0.3 + 0.5 * max(color) / 255)
    if canvas.style.is_retro:
        top = ((-31, 26), (-22, 18), (-10, 14.5), (3, 14), (14, 16))
        bottom = ((12, 21), (6, 17.5), (1, 22), (-4, 18), (-10, 24), (-14, 19), (-20, 27), (-23, 22))
        canvas.fill((*top, *bottom), light)
        canvas.fill(((21, 18), (30, 25), (27, 29), (25, 24), (22, 26)), light)
        return
    upper = curve((-34, 30), (-20, 19.5), (0, 15.5), (20, 19.5), (34, 30))
    frays = ((27, 26.5), (24, 30), (18, 23), (13, 25.5), (7, 20), (0, 23), (-7, 20), (-13, 25.5), (-18, 23))
    canvas.fill((*upper, *frays, (-24, 30), (-27, 26.5)), light)
