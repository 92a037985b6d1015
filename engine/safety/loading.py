"""Opens pictures that may be made to harm: of members, and of a worker that is not to be trusted either.

Runs in the checker process. What a file claims is checked before anything is decoded; only pixels come out,
so whatever else is in a file goes nowhere.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageOps

from engine.safety.errors import PictureRefused

SIGNATURES = {
    "PNG": (0, b"\x89PNG\r\n\x1a\n"),
    "JPEG": (0, b"\xff\xd8\xff"),
    "WEBP": (8, b"WEBPVP8"),
}
"""What the files of each format begin with, and where. Names and types that somebody gave are not asked."""

OPAQUE = 255

SEEN_SIDE = 1536
"""Larger pictures are made smaller as soon as they are decoded: nothing needs more, and it saves memory."""


@dataclass(frozen=True, kw_only=True)
class Caps:
    """How large a file may be."""

    max_bytes: int = 10 * 1024 * 1024
    max_pixels: int = 4096 * 3072
    max_side: int = 8192


MEMBER_FORMATS = ("PNG", "JPEG", "WEBP")


def load_untrusted(
    content: bytes, *, formats: Sequence[str] = MEMBER_FORMATS, caps: Caps | None = None
) -> list[Image.Image]:
    """The pixels of a picture as people see them: upright, no side over `SEEN_SIDE`, without metadata.

    A picture that can be seen through is given twice, on white and on black: both have to be checked, for
    it looks as its surroundings want.

    Raises:
        PictureRefused: it is not a whole, single picture of these formats within the caps.
    """
    caps = caps or Caps()
    if len(content) > caps.max_bytes:
        raise PictureRefused(f"the file has {len(content)} bytes, more than {caps.max_bytes}")
    kind = _format_of(content)
    if kind not in formats:
        raise PictureRefused(f"the file is not one of {', '.join(formats)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow warns where it should refuse
            return _load(content, kind, caps)
    except (PictureRefused, MemoryError):
        raise
    # Decoders meet hostile bytes here, and each has exceptions of its own for them.
    except Exception as error:
        raise PictureRefused(f"the file cannot be read: {type(error).__name__}") from error


def _format_of(content: bytes) -> str:
    for kind, (start, signature) in SIGNATURES.items():
        if content[start : start + len(signature)] == signature:
            return kind
    return ""


def _load(content: bytes, kind: str, caps: Caps) -> list[Image.Image]:
    with Image.open(io.BytesIO(content), formats=[kind]) as picture:
        width, height = picture.size
        if width * height > caps.max_pixels or max(width, height) > caps.max_side:
            raise PictureRefused(f"the picture has {width}x{height} pixels, more than is allowed")
        # Photographs of some cameras have further pictures behind the first: of those, only that is read.
        if getattr(picture, "is_animated", False) and picture.format != "MPO":
            raise PictureRefused("the picture is animated")
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
        return _on_white_and_black(_with_eight_bits(picture))


def _with_eight_bits(picture: Image.Image) -> Image.Image:
    """Pillow cuts what is over 255 off, which would turn a 16-bit picture white."""
    if picture.mode.startswith("I"):
        return picture.convert("I").point(lambda value: value / 257).convert("L")
    return picture


def _on_white_and_black(picture: Image.Image) -> list[Image.Image]:
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    if picture.mode != mode:
        picture = picture.convert(mode)
    picture.thumbnail((SEEN_SIDE, SEEN_SIDE))
    if mode == "RGB" or picture.getchannel("A").getextrema()[0] == OPAQUE:
        return [_bare(picture.convert("RGB"))]
    return [_bare(_on(picture, ground)) for ground in ("white", "black")]


def _on(picture: Image.Image, ground: str) -> Image.Image:
    composed = Image.new("RGB", picture.size, ground)
    composed.paste(picture, mask=picture)
    return composed


def _bare(picture: Image.Image) -> Image.Image:
    """Without what the file said besides the pixels."""
    picture.info = {}
    return picture
