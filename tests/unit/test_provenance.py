"""Every picture says that a machine made it, whatever was typed, in words that other programs read."""

from __future__ import annotations

import io
from importlib.metadata import version
from xml.etree import ElementTree

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from bot.pictures import pack_uploads, read_parameters
from engine.protocol import GenerationRequest, Image, ModelCard
from engine.worker.pictures import encode_picture, encode_preview, parameters_text
from tests.fixtures.safety import released

CARD = ModelCard(name="studio", sizes={"square": (64, 64)}, view_scale=1)
PIXELS = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)


def request(prompt: str = "1girl", negative: str = "") -> GenerationRequest:
    return GenerationRequest(
        prompt=prompt,
        negative_prompt=negative,
        height=64,
        width=64,
        num_inference_steps=4,
        guidance_scale=4.0,
        sampler="DDIM",
        seed=7,
    )


def picture(prompt: str = "1girl", negative: str = "") -> Image:
    return encode_picture(PIXELS, request(prompt, negative), 0, CARD)


def opened(data: bytes) -> PillowImage.Image:
    image = PillowImage.open(io.BytesIO(data))
    image.load()
    return image


def xmp_of(data: bytes) -> dict[str, str]:
    """The properties in the XMP of a PNG or WebP, under their full names."""
    packet = opened(data).info["xmp"]
    meta = ElementTree.fromstring(packet)
    assert meta.tag == "{adobe:ns:meta/}xmpmeta"
    rdf = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
    (description,) = meta.findall(f"{rdf}RDF/{rdf}Description")
    assert description.attrib == {f"{rdf}about": ""}
    return {each.tag: each.text or "" for each in description}


MACHINE_MADE = {
    "{http://ns.adobe.com/xap/1.0/}CreatorTool": f"TrinArt bot {version('trinart-bot')}",
    "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType": (
        "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    ),
}


def test_a_picture_says_it_in_png_texts_and_in_xmp() -> None:
    info = opened(picture().png).info
    assert info["Software"] == f"TrinArt bot {version('trinart-bot')}"
    assert info["Comment"] == "AI-generated: this picture was made by a machine."
    assert xmp_of(picture().png) == MACHINE_MADE


def test_the_prefixes_are_those_that_readers_look_for() -> None:
    packet = opened(picture().png).info["xmp"].decode()
    assert packet.startswith('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta ')
    assert "<Iptc4xmpExt:DigitalSourceType>" in packet
    assert "<xmp:CreatorTool>" in packet


def test_a_preview_says_it_too() -> None:
    preview = encode_preview(PIXELS[:8, :8])
    assert opened(preview).size == (64, 64)
    assert xmp_of(preview) == MACHINE_MADE


def test_a_webp_keeps_it_with_the_settings() -> None:
    image = picture("青い髪")
    (upload,) = pack_uploads([released(image)], len(image.png) - 1)
    assert upload.media_type == "image/webp"
    assert opened(upload.data).format == "WEBP"
    assert xmp_of(upload.data) == MACHINE_MADE
    assert read_parameters(upload.data) == read_parameters(image.png)


@given(prompt=st.text(max_size=300), negative=st.text(max_size=100))
@settings(max_examples=100, deadline=None)
def test_whatever_was_typed_the_picture_can_be_read_and_says_it(prompt: str, negative: str) -> None:
    image = picture(prompt, negative)
    assert read_parameters(image.png) == parameters_text(request(prompt, negative), 0, CARD)
    assert xmp_of(image.png) == MACHINE_MADE
    assert np.array_equal(np.asarray(opened(image.png)), PIXELS)


@given(prompt=st.sampled_from(["</rdf:RDF>", "]]>", '<?xpacket end="w"?>', "\ufeff&lt;", "\0IEND"]))
def test_nothing_that_was_typed_gets_into_the_xmp(prompt: str) -> None:
    assert opened(picture(prompt).png).info["xmp"] == opened(picture().png).info["xmp"]
