"""The renderer of the demo model's world draws what a face says."""

from __future__ import annotations

import colorsys
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tools.demo_model import renderer
from tools.demo_model.faces import (
    ACCESSORY,
    CLOTHES,
    CLOTHES_COLOR,
    EXPRESSION,
    EYE_COLOR,
    HAIR_COLOR,
    HAIR_STYLE,
    PLAIN_BACKGROUND,
    SCENE,
    Face,
    sample_face,
)
from tools.demo_model.renderer import SIZES, render
from tools.demo_model.style import BACKGROUND, EYES, HAIR, Color
from tools.demo_model.style import CLOTHES as CLOTH

PLAIN = Face(
    who="1girl",
    hair_color="brown",
    hair_style="short hair",
    eye_color="blue",
    expression="smile",
    accessories=(),
    clothes="shirt",
    clothes_color="red",
    background="green background",
    is_flat=True,
    is_retro=False,
    pose=(0.0,) * 8,
)
STYLES = [(is_flat, is_retro) for is_flat in (True, False) for is_retro in (True, False)]
LEFT_EYE = (34, 50, 58, 78)
RIGHT_EYE = (70, 50, 94, 78)
IRIS = (42, 56, 50, 71)
MOUTH = (54, 78, 74, 94)
BROWS = (34, 38, 94, 56)
CHEST = (30, 118, 50, 128)
SKULL = (50, 16, 78, 30)
NOTHING_WORN = (0, 0, 8, 96)
Box = tuple[int, int, int, int]


def pixels(face: Face, box: Box = (0, 0, 128, 128)) -> NDArray[np.float64]:
    return np.asarray(render(face, 128, 128).crop(box)).astype(float)


def change(one: Face, other: Face, box: Box = (0, 0, 128, 128)) -> float:
    """How different a part of two pictures is, of 255."""
    return float(np.abs(pixels(one, box) - pixels(other, box)).mean())


def nearest(color: NDArray[np.float64], palette: dict[str, Color]) -> str:
    return min(palette, key=lambda name: float(np.abs(color - np.array(palette[name])).sum()))


def hue_of(color: NDArray[np.float64] | Color) -> float:
    red, green, blue = (float(each) / 255 for each in color)
    return colorsys.rgb_to_hsv(red, green, blue)[0]


def apart(one: float, other: float) -> float:
    """Hues lie on a circle."""
    return min(abs(one - other), 1 - abs(one - other))


@pytest.mark.parametrize("size", SIZES)
def test_offered_sizes(size: tuple[int, int]) -> None:
    picture = render(PLAIN, *size)
    assert (picture.size, picture.mode) == (size, "RGB")


def test_the_head_is_as_large_in_every_size() -> None:
    square = render(PLAIN, 128, 128).crop((34, 50, 94, 90))
    wide = render(PLAIN, 160, 128).crop((50, 50, 110, 90))
    tall = np.asarray(render(PLAIN, 128, 160)).astype(float)
    assert wide.tobytes() == square.tobytes()
    # Some pixels lower, by a whole number or not.
    distance = [np.abs(tall[50 + dy : 90 + dy, 34:94] - np.asarray(square)).mean() for dy in range(12)]
    assert min(distance) < 5


@given(st.integers(0, 2**32))
@settings(max_examples=12, deadline=None)
def test_same_face_same_picture(seed: int) -> None:
    face = sample_face(random.Random(seed))
    for width, height in SIZES:
        picture = render(face, width, height)
        assert picture.size == (width, height)
        assert picture.tobytes() == render(replace(face), width, height).tobytes()


@given(st.integers(0, 2**32))
@settings(max_examples=12, deadline=None)
def test_pose_moves_the_head_a_little(seed: int) -> None:
    face = sample_face(random.Random(seed))
    left, right = (replace(face, pose=(sway, *face.pose[1:])) for sway in (-1.0, 1.0))
    assert change(left, right) > 1
    shifted = pixels(right)[:, 8:-3] - pixels(left)[:, 3:-8]
    assert np.abs(shifted).mean() < 45


@pytest.mark.parametrize("is_retro", [False, True])
@pytest.mark.parametrize("is_flat", [False, True])
@pytest.mark.parametrize("name", EYE_COLOR)
def test_eye_color(name: str, is_flat: bool, is_retro: bool) -> None:
    """Warm light of old shifts all hues alike; shading only their brightness."""
    face = replace(PLAIN, eye_color=name, is_flat=is_flat, is_retro=is_retro)
    iris = pixels(face, IRIS).mean(axis=(0, 1))
    rivals = {
        other: pixels(replace(face, eye_color=other, is_flat=True), IRIS).mean(axis=(0, 1))
        for other in EYE_COLOR
    }
    assert min(rivals, key=lambda other: float(np.abs(rivals[other] - iris).sum())) == name
    if not is_retro:
        assert apart(hue_of(iris), hue_of(EYES[name])) < 0.08


@pytest.mark.parametrize("name", HAIR_COLOR)
def test_hair_color(name: str) -> None:
    face = replace(PLAIN, hair_color=name)
    assert nearest(np.median(pixels(face, SKULL).reshape(-1, 3), axis=0), HAIR) == name


@pytest.mark.parametrize("clothes", CLOTHES)
@pytest.mark.parametrize("name", CLOTHES_COLOR)
def test_clothes_color(name: str, clothes: str) -> None:
    face = replace(PLAIN, clothes=clothes, clothes_color=name)
    assert nearest(np.median(pixels(face, CHEST).reshape(-1, 3), axis=0), CLOTH) == name


@pytest.fixture
def no_light(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn, before the light of the window falls on it."""
    monkeypatch.setattr(renderer, "_lit", lambda image: image)


@pytest.mark.parametrize("is_retro", [False, True])
def test_detailed_pictures_are_lit_from_the_top_left(is_retro: bool) -> None:
    for width, height in SIZES:
        face = replace(PLAIN, background="grey background", is_retro=is_retro, is_flat=False)
        picture = np.asarray(render(face, width, height)).astype(float)
        flat = np.asarray(render(replace(face, is_flat=True), width, height)).astype(float)
        assert picture[:8, :8].mean() > flat[:8, :8].mean() + 30
        assert picture[-8:, -8:].mean() < flat[-8:, -8:].mean() - 20


@pytest.mark.parametrize("is_flat", [False, True])
@pytest.mark.parametrize("name", PLAIN_BACKGROUND)
@pytest.mark.usefixtures("no_light")
def test_plain_background(name: str, is_flat: bool) -> None:
    face = replace(PLAIN, background=f"{name} background", is_flat=is_flat)
    for width, height in SIZES:
        picture = np.asarray(render(face, width, height)).astype(float)
        side = np.concatenate([picture[: height // 2, :6], picture[: height // 2, -6:]]).reshape(-1, 3)
        assert nearest(side.mean(axis=0), BACKGROUND) == name
        if is_flat:
            assert np.ptp(side, axis=0).max() <= 1


@pytest.mark.parametrize("scene", SCENE)
def test_scenes_fill_the_corners(scene: str) -> None:
    for width, height in SIZES:
        picture = render(replace(PLAIN, background=scene), width, height)
        plain = render(PLAIN, width, height)
        for corner in ((0, 0), (width - 1, 0)):
            # An unpainted canvas would be black.
            assert picture.getpixel(corner) not in ((0, 0, 0), plain.getpixel(corner))


def test_every_value_looks_different() -> None:
    """Each change is seen where it belongs, and other places stay."""
    for box, faces in (
        ((0, 0, 128, 128), [replace(PLAIN, hair_style=each) for each in HAIR_STYLE]),
        ((34, 38, 94, 94), [replace(PLAIN, expression=each) for each in EXPRESSION]),
        ((0, 0, 128, 128), [replace(PLAIN, accessories=(each,)) for each in ACCESSORY]),
        ((20, 96, 108, 128), [replace(PLAIN, clothes=each) for each in CLOTHES]),
        ((0, 0, 128, 128), [replace(PLAIN, who=each) for each in ("1girl", "1boy")]),
    ):
        for at, one in enumerate(faces):
            for other in faces[at + 1 :]:
                assert change(one, other, box) > 2, (one, other)
                if one.hair_style == other.hair_style:
                    assert change(one, other, NOTHING_WORN) == 0


def test_expressions_show_in_mouth_brows_and_eyes() -> None:
    smile = PLAIN
    for expression, box in (
        ("open mouth", MOUTH),
        ("sad", MOUTH),
        ("angry", BROWS),
        ("surprised", MOUTH),
        ("closed eyes", LEFT_EYE),
        ("wink", RIGHT_EYE),
    ):
        assert change(smile, replace(PLAIN, expression=expression), box) > 10, expression
    assert change(smile, replace(PLAIN, expression="wink"), LEFT_EYE) == 0


@pytest.mark.parametrize(("is_flat", "is_retro"), STYLES)
@pytest.mark.usefixtures("no_light")
def test_eyes_are_symmetrical(is_flat: bool, is_retro: bool) -> None:
    for expression in EXPRESSION:
        face = replace(PLAIN, expression=expression, is_flat=is_flat, is_retro=is_retro)
        difference = np.abs(pixels(face, LEFT_EYE) - pixels(face, RIGHT_EYE)[:, ::-1])
        # Between the highlights, which are at the same side of both eyes, as the light is.
        differs = float(np.delete(difference, [*range(5, 12), *range(14, 19)], axis=0).mean())
        assert differs < 8 if expression != "wink" else differs > 20


@pytest.mark.parametrize(("is_flat", "is_retro"), STYLES)
def test_iris_is_wide_and_has_a_highlight(is_flat: bool, is_retro: bool) -> None:
    face = replace(PLAIN, is_flat=is_flat, is_retro=is_retro)
    row = pixels(face, (34, 64, 58, 65))[0]
    blue = row[:, 2] - row[:, 0] > 25
    wide = np.flatnonzero(blue)
    assert wide[-1] - wide[0] + 1 >= 14
    for box in (LEFT_EYE, RIGHT_EYE):
        eye = pixels(face, box)
        x = (46 if box == LEFT_EYE else 82) - box[0]
        highlight = eye[56 - 50 : 62 - 50, x - 6 : x]
        assert highlight.min(axis=2).max() > 180


@given(st.integers(0, 2**32))
@settings(max_examples=12, deadline=None)
def test_shading_and_era_show_everywhere(seed: int) -> None:
    face = sample_face(random.Random(seed))
    for kind in ("is_flat", "is_retro"):
        one, other = (replace(face, **{kind: value}) for value in (True, False))
        for box in ((0, 0, 16, 64), (40, 16, 88, 40), (40, 50, 88, 94), (30, 110, 98, 128)):
            assert change(one, other, box) > 1, (kind, box)


def test_flat_has_fewer_colors() -> None:
    for is_retro in (False, True):
        flat, shaded = (
            render(replace(PLAIN, is_flat=is_flat, is_retro=is_retro), 128, 128)
            .convert("P", palette=Image.Palette.WEB, dither=Image.Dither.NONE)
            .getcolors(256)
            for is_flat in (True, False)
        )
        assert max(count for count, _ in flat or []) > 1.5 * max(count for count, _ in shaded or [])


def test_shapes_are_shaded_in_detailed_pictures_only() -> None:
    """At the end of a tail, where neither strands nor shine reach."""
    flat = replace(PLAIN, hair_style="twintails")
    assert change(flat, replace(flat, is_flat=False), (112, 106, 119, 114)) > 4
