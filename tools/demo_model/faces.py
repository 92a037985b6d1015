"""What a picture of the demo model's world shows, and how a caption tells it.

A face is a handful of attributes with few values each, so that a small model can learn all of them and a
classifier can tell whether it did.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

WHO = ("1girl", "1boy")
HAIR_COLOR = ("black", "brown", "blonde", "red", "pink", "blue", "green", "purple", "silver", "orange")
HAIR_STYLE = ("long hair", "short hair", "bob cut", "twintails", "ponytail", "braid")
EYE_COLOR = ("blue", "green", "red", "brown", "purple", "yellow", "pink")
EXPRESSION = ("smile", "open mouth", "sad", "angry", "surprised", "closed eyes", "wink")
ACCESSORY = ("glasses", "cat ears", "hair ribbon", "hair flower")
CLOTHES = ("shirt", "hoodie", "kimono")
CLOTHES_COLOR = ("red", "blue", "white", "black", "green", "pink")
PLAIN_BACKGROUND = ("white", "pink", "blue", "green", "yellow", "purple", "grey", "red", "orange")
SCENE = ("sunset", "night sky", "clouds")
BACKGROUND = tuple(f"{color} background" for color in PLAIN_BACKGROUND) + SCENE

FLAT = ("flat color", "flat shading")
"""The words of the preset More Details, which it keeps out."""
DETAILED = ("detailed shading", "detailed")
RETRO_YEARS = tuple(str(year) for year in range(2005, 2020))
RETRO = ("retro style", "1980s", "1990s", "2000s", *RETRO_YEARS)
"""The words of the preset 2022 Artstyle, which it keeps out."""
MODERN = ("modern style", "2022")

SCENE_SHARE = 0.3
BOY_SHARE = 0.15
ACCESSORY_SHARE = 0.22
MAX_ACCESSORIES = 2
FLAT_SHARE = 0.42
"""Less than half: guidance prefers flat pictures, and draws them more often than they are in the world."""
RETRO_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Face:
    """One picture's content. `pose` is where the head is and how much everything varies, in [-1, 1]."""

    who: str
    hair_color: str
    hair_style: str
    eye_color: str
    expression: str
    accessories: tuple[str, ...]
    clothes: str
    clothes_color: str
    background: str
    is_flat: bool
    is_retro: bool
    pose: tuple[float, ...]

    @property
    def has_visible_eyes(self) -> bool:
        """Whether the colour of the eyes can be seen."""
        return self.expression != "closed eyes"


def sample_face(dice: random.Random) -> Face:
    """A random face, of the world that the model is trained on."""
    is_boy = dice.random() < BOY_SHARE
    offered = [each for each in ACCESSORY if not is_boy or each in ("glasses", "cat ears")]
    worn = [each for each in offered if dice.random() < ACCESSORY_SHARE]
    if dice.random() < SCENE_SHARE:
        background = dice.choice(SCENE)
    else:
        background = f"{dice.choice(PLAIN_BACKGROUND)} background"
    return Face(
        who=WHO[is_boy],
        hair_color=dice.choice(HAIR_COLOR),
        hair_style="short hair" if is_boy else dice.choice(HAIR_STYLE),
        eye_color=dice.choice(EYE_COLOR),
        expression=dice.choice(EXPRESSION),
        accessories=tuple(worn[:MAX_ACCESSORIES]),
        clothes=dice.choice(CLOTHES),
        clothes_color=dice.choice(CLOTHES_COLOR),
        background=background,
        is_flat=dice.random() < FLAT_SHARE,
        is_retro=dice.random() < RETRO_SHARE,
        pose=tuple(dice.uniform(-1, 1) for _ in range(8)),
    )


def tags_of(face: Face) -> list[str]:
    """What the picture shows, without its style, in the usual order."""
    return [
        face.who,
        f"{face.hair_color} hair",
        face.hair_style,
        f"{face.eye_color} eyes",
        face.expression,
        *face.accessories,
        f"{face.clothes_color} {face.clothes}",
        face.background,
    ]


def caption(face: Face) -> str:
    """All that the picture shows and its style, as somebody would ask for it."""
    shading = FLAT[0] if face.is_flat else DETAILED[0]
    era = RETRO[0] if face.is_retro else MODERN[0]
    return ", ".join([*tags_of(face), shading, era])
