"""Draws the faces of the demo model's world."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools.demo_model.accessories import paint_accessories, paint_ears
from tools.demo_model.backgrounds import paint_background
from tools.demo_model.canvas import Canvas
from tools.demo_model.clothes import paint_body
from tools.demo_model.faces import Face
from tools.demo_model.features import paint_features, paint_head
from tools.demo_model.hair import paint_back_hair, paint_braid, paint_front_hair
from tools.demo_model.style import Style

SIZES = ((128, 128), (128, 160), (160, 128))
"""Square, portrait, landscape."""
UNITS = 128
"""The shorter side of a picture, whatever its pixels."""
SUPERSAMPLING = 4

_SWAY, _NOD, _ZOOM = 2.6, 2.0, 0.025
_SUN = np.array((255, 250, 236), dtype=np.float32)
_SHADE = np.array((58, 18, 66), dtype=np.float32)
_GLOW, _SHADOW = 0.4, 0.4
_FADE = 0.15
_TINT = (1.0, 0.935, 0.83)
_LIFT, _SPAN = 20.0, 0.9
_SCAN_PERIOD, _SCAN_DEPTH = 4, 0.05


def render(face: Face, width: int, height: int) -> Image.Image:
    """The picture of a face, the same for the same face."""
    image = Image.new("RGB", (width * SUPERSAMPLING, height * SUPERSAMPLING))
    style = Style(face.is_flat, face.is_retro)
    unit = SUPERSAMPLING * min(width, height) / UNITS
    middle = width * SUPERSAMPLING / 2
    wide, tall = width * SUPERSAMPLING / unit, height * SUPERSAMPLING / unit
    backdrop = Canvas(image, style, (middle, 0), unit)
    paint_background(backdrop, face, (-wide / 2, 0, wide / 2, tall))

    # A tall picture has a little more above the head, and much more below it.
    spare = (tall - UNITS) * 0.15
    zoom = 1 + _ZOOM * face.pose[2]
    left = middle + _SWAY * face.pose[0] * unit
    top = (spare + 3 + _NOD * face.pose[1] + UNITS / 2 * (1 - zoom)) * unit
    _paint_person(Canvas(image, style, (left, top), unit * zoom), face)

    small = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    aged = _aged(small) if face.is_retro else small
    return aged if face.is_flat else _lit(aged)


def _paint_person(canvas: Canvas, face: Face) -> None:
    """From the back to the front."""
    paint_back_hair(canvas, face)
    is_boy = face.who == "1boy"
    if not is_boy:
        paint_ears(canvas, face)
    paint_body(canvas, face)
    paint_head(canvas, face)
    paint_features(canvas, face)
    paint_braid(canvas, face)
    paint_front_hair(canvas, face)
    if is_boy:
        # His hair stands up, and would hide them.
        paint_ears(canvas, face)
    paint_accessories(canvas, face)


def _lit(image: Image.Image) -> Image.Image:
    """In the light of a window at the top left; what is far from it lies in a purple shadow.

    A shading that showed in fine detail only would be decided in the last steps, where guidance can do
    little: a negative prompt would hardly change it. For the same reason no fade of an old broadcast lies
    over it.
    """
    pixels = np.asarray(image, dtype=np.float32)
    light = _light(image.width, image.height)[..., None]
    glow, shadow = light.clip(min=0), (-light).clip(min=0)
    pixels = pixels + (_SUN - pixels) * _GLOW * glow + (_SHADE - pixels) * _SHADOW * shadow
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))


@lru_cache(maxsize=8)
def _light(width: int, height: int) -> NDArray[np.float32]:
    """From 1 in the top left corner to -1 in the bottom right one [height, width]."""
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    return (-(rows + columns) / 2).astype(np.float32)


def _aged(image: Image.Image) -> Image.Image:
    """As an old broadcast: faded, warm, with scan lines."""
    pixels = np.asarray(image, dtype=np.float32)
    grey = pixels @ np.array((0.3, 0.59, 0.11), dtype=np.float32)
    pixels = pixels + (grey[..., None] - pixels) * np.float32(_FADE)
    pixels = pixels * _filter(image.height) + np.float32(_LIFT)
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))


@lru_cache(maxsize=8)
def _filter(height: int) -> NDArray[np.float32]:
    """What every line is multiplied by: the warm tint, and darker lines between."""
    rows = np.arange(height) % _SCAN_PERIOD < _SCAN_PERIOD // 2
    lines = 1 + np.where(rows, _SCAN_DEPTH, -_SCAN_DEPTH)
    return (lines[:, None, None] * np.array(_TINT) * _SPAN).astype(np.float32)
