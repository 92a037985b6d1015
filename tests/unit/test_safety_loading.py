"""Files that are made to harm: none is taken for what it is not, gets past the caps, or crashes anything.

All of them are made here.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from engine.safety.errors import PictureRefused
from engine.safety.loading import SEEN_SIDE, Caps, load_untrusted

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
RED = (200, 30, 30)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def red(mode: str = "RGB", size: tuple[int, int] = (32, 24)) -> Image.Image:
    return Image.new("RGB", size, RED).convert(mode)


def frames() -> list[Image.Image]:
    return [Image.new("RGB", (16, 16), (number, 0, 0)) for number in (0, 100, 200)]


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2, data: bytes | None = None
) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    pixels = zlib.compress(b"\0" * (1 + 3 * width) * height if data is None else data)
    return PNG_SIGNATURE + header + b"".join(chunks) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("payload.html", "<script>")
    return buffer.getvalue()


def jpeg_of_size(width: int, height: int) -> bytes:
    """A JPEG whose header claims another size than its data has."""
    content = encoded(red(), "JPEG")
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


def deep_exif() -> bytes:
    """An EXIF directory that says that it follows itself."""
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + struct.pack("<HHII", 0x8769, 4, 1, 8)
    return b"Exif\0\0" + tiff + struct.pack("<I", 8)


BOMB_TEXT = zlib.compress(b"a" * 80_000_000)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>'

REFUSED: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "one byte": lambda: b"\x89",
    "text": lambda: b"this is no picture",
    "only a PNG signature": lambda: PNG_SIGNATURE,
    "only a JPEG signature": lambda: b"\xff\xd8\xff",
    "only a WebP signature": lambda: b"RIFF\xff\xff\xff\xffWEBPVP8 ",
    "SVG": lambda: SVG,
    "GIF": lambda: encoded(red(), "GIF"),
    "animated GIF": lambda: encoded(frames()[0], "GIF", save_all=True, append_images=frames()),
    "TIFF": lambda: encoded(red(), "TIFF"),
    "BMP": lambda: encoded(red(), "BMP"),
    "ICO": lambda: encoded(red(size=(16, 16)), "ICO"),
    "PPM": lambda: encoded(red(), "PPM"),
    "PDF": lambda: encoded(red(), "PDF"),
    "EPS, which is a program": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
    "ZIP": zipped,
    "HTML before a PNG": lambda: b"<html><script>" + encoded(red()),
    "GIF before a PNG": lambda: b"GIF89a" + encoded(red()),
    "TIFF that begins as a WebP": lambda: b"RIFF" + encoded(red(), "TIFF")[4:],
    "truncated PNG": lambda: encoded(Image.effect_noise((64, 64), 80))[:-300],
    "truncated JPEG": lambda: encoded(Image.effect_noise((64, 64), 80), "JPEG")[:-300],
    "truncated WebP": lambda: encoded(Image.effect_noise((64, 64), 80), "WEBP")[:-300],
    "PNG with too little data": lambda: png(64, 64, data=b"\0" * 100),
    "PNG with a broken checksum": lambda: (
        encoded(red()).replace(b"IHDR", b"IHDR", 1)[:29] + b"\0\0\0\0" + encoded(red())[33:]
    ),
    "animated PNG": lambda: encoded(frames()[0], save_all=True, append_images=frames()[1:]),
    "animated WebP": lambda: encoded(frames()[0], "WEBP", save_all=True, append_images=frames()[1:]),
    "no width": lambda: png(0, 64),
    "no height": lambda: png(64, 0),
    "a size of two thousand million": lambda: png(2**31 - 1, 2**31 - 1, data=b""),
    "a negative size": lambda: png(2**32 - 1, 8, data=b""),
    "PNG bomb": lambda: png(30_000, 30_000, data=b"\0" * 10_000_000),
    "one long line": lambda: png(100_000, 1),
    "one long column": lambda: png(1, 100_000),
    "JPEG bomb": lambda: jpeg_of_size(65_000, 65_000),
    "WebP beyond the caps": lambda: encoded(Image.new("L", (9000, 9)), "WEBP"),
    "text chunk bomb": lambda: png(8, 8, chunk(b"zTXt", b"Comment\0\0" + BOMB_TEXT)),
    "international text chunk bomb": lambda: png(8, 8, chunk(b"iTXt", b"C\0\1\0\0\0" + BOMB_TEXT)),
    "colour profile bomb": lambda: png(8, 8, chunk(b"iCCP", b"p\0\0" + BOMB_TEXT)),
    "a depth that does not exist": lambda: png(8, 8, depth=77),
    "a colour type that does not exist": lambda: png(8, 8, colour=5),
    "too many bytes": lambda: encoded(red()) + b"\0" * (10 * 1024 * 1024),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_file_is_refused_with_a_reason(name: str) -> None:
    with pytest.raises(PictureRefused, match=r"^the (file|picture) \w+"):
        load_untrusted(REFUSED[name]())


def exif_turned() -> bytes:
    picture = red(size=(40, 10))
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010F] = "somebody's camera"
    return encoded(picture, "JPEG", exif=exif, quality=95)


def with_texts() -> bytes:
    info = PngInfo()
    info.add_text("parameters", "secret prompt")
    info.add_itxt("XML:com.adobe.xmp", "<x/>")
    return encoded(red(), pnginfo=info)


def sixteen_bits(value: int) -> bytes:
    return encoded(Image.fromarray(np.full((24, 32), value, np.uint16)))


TAKEN: dict[str, tuple[Callable[[], bytes], tuple[int, int, int]]] = {
    "PNG": (lambda: encoded(red()), RED),
    "JPEG": (lambda: encoded(red(), "JPEG", quality=95), RED),
    "WebP": (lambda: encoded(red(), "WEBP", lossless=True), RED),
    "a ZIP behind a PNG": (lambda: encoded(red()) + zipped(), RED),
    "a script behind a JPEG": (lambda: encoded(red(), "JPEG", quality=95) + b"<script>", RED),
    "greys": (lambda: encoded(Image.new("L", (9, 9), 77)), (77, 77, 77)),
    "16 bits, dark": (lambda: sixteen_bits(0x4D4D), (77, 77, 77)),
    "16 bits, bright": (lambda: sixteen_bits(0xC8C8), (200, 200, 200)),
    "black and white": (lambda: encoded(Image.new("1", (9, 9), 1)), (255, 255, 255)),
    "CMYK": (lambda: encoded(Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "JPEG", quality=95), (254, 0, 0)),
    "palette": (lambda: encoded(red().quantize()), RED),
    "opaque RGBA": (lambda: encoded(red("RGBA")), RED),
    "texts": (with_texts, RED),
    "EXIF that turns it": (exif_turned, RED),
    "EXIF without an end": (lambda: encoded(red(), "JPEG", quality=95, exif=deep_exif()), RED),
    "junk for a colour profile": (lambda: encoded(red(), icc_profile=b"junk" * 999), RED),
    "a colour profile": (
        lambda: encoded(
            red(), icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        ),
        RED,
    ),
    "an unknown chunk": (lambda: png(8, 8, chunk(b"evIl", b"x" * 9999)), (0, 0, 0)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_only_the_pixels_of_a_file_are_taken(name: str) -> None:
    make, colour = TAKEN[name]
    (picture,) = load_untrusted(make())
    assert picture.mode == "RGB"
    assert picture.info == {}
    assert not picture.getexif()
    pixel = picture.getpixel((3, 3))
    assert isinstance(pixel, tuple)
    assert all(abs(one - other) <= 3 for one, other in zip(pixel, colour, strict=True)), pixel


def test_a_picture_is_turned_as_its_exif_says() -> None:
    (picture,) = load_untrusted(exif_turned())
    assert picture.size == (10, 40)


def test_a_large_picture_is_made_smaller() -> None:
    (picture,) = load_untrusted(encoded(red(size=(4096, 3072)), "JPEG"))
    assert picture.size == (SEEN_SIDE, SEEN_SIDE * 3 // 4)


def clear_in_the_palette() -> bytes:
    return encoded(red("P"), transparency=red("P").getpixel((0, 0)))


def clear_rgb() -> bytes:
    return encoded(red(), transparency=RED)


@pytest.mark.parametrize(
    "make",
    [
        lambda: encoded(Image.new("RGBA", (9, 9), (*RED, 0))),
        lambda: encoded(Image.new("RGBA", (9, 9), (*RED, 0)), "WEBP", lossless=True),
        lambda: encoded(Image.new("LA", (9, 9), (50, 0))),
        clear_in_the_palette,
        clear_rgb,
    ],
)
def test_what_can_be_seen_through_is_seen_on_white_and_on_black(make: Callable[[], bytes]) -> None:
    on_white, on_black = load_untrusted(make())
    assert on_white.getpixel((3, 3)) == (255, 255, 255)
    assert on_black.getpixel((3, 3)) == (0, 0, 0)


def test_a_format_that_was_not_asked_for_is_refused() -> None:
    with pytest.raises(PictureRefused, match="not one of PNG"):
        load_untrusted(encoded(red(), "JPEG"), formats=["PNG"])


def test_the_caps_are_exact() -> None:
    content = encoded(red(size=(40, 10)))
    assert load_untrusted(content, caps=Caps(max_bytes=len(content), max_pixels=400, max_side=40))
    for caps in (Caps(max_bytes=len(content) - 1), Caps(max_pixels=399), Caps(max_side=39)):
        with pytest.raises(PictureRefused):
            load_untrusted(content, caps=caps)


WHOLE = [encoded(red(), "PNG"), encoded(red(), "JPEG"), encoded(red("RGBA"), "WEBP", lossless=True)]


@given(
    whole=st.sampled_from(WHOLE),
    damages=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=9)), max_size=8),
    kept=st.integers(0, 10_000),
)
def test_a_damaged_file_is_a_picture_or_is_refused(
    whole: bytes, damages: list[tuple[int, bytes]], kept: int
) -> None:
    content = bytearray(whole[: max(kept % (2 * len(whole)), 12)])
    for at, damage in damages:
        place = at % len(content)
        content[place : place + len(damage)] = damage
    try:
        pictures = load_untrusted(bytes(content))
    except PictureRefused:
        return
    assert 1 <= len(pictures) <= 2
    assert all(picture.mode == "RGB" and max(picture.size) <= SEEN_SIDE for picture in pictures)
