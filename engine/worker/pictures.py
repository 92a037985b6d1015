"""From pixels to PNG files that say how they were made, and that a machine did.

Runs on the worker's encoder threads.
"""

from __future__ import annotations

import io
import json

from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from engine.protocol import GenerationRequest, Image, ModelCard
from engine.provenance import XMP_KEYWORD, png_texts, xmp_packet
from engine.worker.interfaces import Pixels

PREVIEW_SCALE = 8


def encode_picture(pixels: Pixels, request: GenerationRequest, index: int, card: ModelCard) -> Image:
    """Encode picture `index` of a job, enlarged by the model's `view_scale`.

    Args:
        pixels: uint8, shape (height, width, 3).
    """
    image = PillowImage.fromarray(pixels)
    if card.view_scale > 1:
        size = (image.width * card.view_scale, image.height * card.view_scale)
        image = image.resize(size, PillowImage.Resampling.BICUBIC)
    info = _machine_made()
    info.add_text("parameters", parameters_text(request, index, card))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info, compress_level=6)
    return Image(png=buffer.getvalue(), seed=request.seed_of(index), width=image.width, height=image.height)


def encode_preview(pixels: Pixels) -> bytes:
    """A PNG of a preview of a latent's size, enlarged to the size of what it will be."""
    image = PillowImage.fromarray(pixels)
    size = (image.width * PREVIEW_SCALE, image.height * PREVIEW_SCALE)
    buffer = io.BytesIO()
    image.resize(size, PillowImage.Resampling.BICUBIC).save(buffer, "PNG", pnginfo=_machine_made())
    return buffer.getvalue()


def _machine_made() -> PngInfo:
    info = PngInfo()
    info.add_itxt(XMP_KEYWORD, xmp_packet())
    for keyword, text in png_texts().items():
        info.add_text(keyword, text)
    return info


def parameters_text(request: GenerationRequest, index: int, card: ModelCard) -> str:
    """The settings of image `index` in the form that AUTOMATIC1111's web UI writes and other tools read."""
    settings = {
        "Steps": request.num_inference_steps,
        "Sampler": request.sampler,
        "CFG scale": f"{request.guidance_scale:g}",
        "Seed": request.seed_of(index),
        "Size": f"{request.width}x{request.height}",
        "Model hash": card.hash,
        "Model": card.name,
        **request.labels,
    }
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    lines.append(", ".join(f"{name}: {_quote(str(value))}" for name, value in settings.items()))
    return "\n".join(lines)


def _quote(value: str) -> str:
    """Values with separators in them are JSON strings, as that web UI reads them."""
    if any(separator in value for separator in ",:\n"):
        return json.dumps(value, ensure_ascii=False)
    return value
