"""The colours of the demo model's world, and the two eras of drawing."""

from __future__ import annotations

from dataclasses import dataclass

Color = tuple[int, int, int]

HAIR: dict[str, Color] = {
    "black": (46, 43, 56),
    "brown": (120, 72, 42),
    "blonde": (248, 216, 112),
    "red": (196, 32, 46),
    "pink": (252, 152, 200),
    "blue": (58, 112, 224),
    "green": (66, 166, 92),
    "purple": (138, 76, 190),
    "silver": (206, 213, 226),
    "orange": (246, 134, 40),
}
EYES: dict[str, Color] = {
    "blue": (36, 112, 240),
    "green": (36, 172, 78),
    "red": (222, 34, 44),
    "brown": (128, 74, 36),
    "purple": (152, 58, 216),
    "yellow": (246, 202, 36),
    "pink": (252, 108, 178),
}
CLOTHES: dict[str, Color] = {
    "red": (204, 48, 58),
    "blue": (54, 92, 196),
    "white": (246, 246, 250),
    "black": (54, 51, 64),
    "green": (62, 152, 90),
    "pink": (246, 152, 188),
}
BACKGROUND: dict[str, Color] = {
    "white": (250, 250, 252),
    "pink": (255, 176, 208),
    "blue": (116, 180, 254),
    "green": (158, 222, 150),
    "yellow": (255, 236, 118),
    "purple": (184, 146, 246),
    "grey": (144, 148, 158),
    "red": (226, 70, 70),
    "orange": (255, 166, 78),
}
SKIN: Color = (255, 225, 205)
SKIN_SHADE: Color = (240, 184, 162)
INK: Color = (44, 28, 36)
WHITE: Color = (255, 255, 255)
_SHADE: Color = (58, 18, 66)
"""What shadows tend to: purple, as black makes colours dirty."""


def mix(one: Color, other: Color, share: float) -> Color:
    """A colour between two; `share` is that of the other."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def lighter(color: Color, share: float) -> Color:
    """Towards white."""
    return mix(color, WHITE, share)


def glossy(color: Color, share: float) -> Color:
    """Towards a light tone of the same hue, as white makes a dark colour grey."""
    strong = max(color) or 1
    tone: Color = (color[0] * 255 // strong, color[1] * 255 // strong, color[2] * 255 // strong)
    return mix(color, lighter(tone, 0.45), share)


def darker(color: Color, share: float) -> Color:
    """Towards a deep purple."""
    return mix(color, _SHADE, share)


@dataclass(frozen=True)
class Style:
    """How things are drawn: with or without shading, in the old or the new way."""

    is_flat: bool
    is_retro: bool

    @property
    def line_width(self) -> float:
        """Of outlines."""
        return 2.2 if self.is_retro else 1.1

    def outline(self, color: Color) -> Color:
        """Of a shape in that colour: ink of old, coloured today."""
        return INK if self.is_retro else darker(color, 0.5)

    @property
    def skin_outline(self) -> Color:
        """A soft brown today."""
        return INK if self.is_retro else (168, 96, 84)
