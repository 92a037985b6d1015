"""What every picture says of itself: that a machine made it, in words that other programs know.

The worker writes it into the file; the bot says the same again where it signs pictures. No torch in here.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from xml.etree import ElementTree

SOFTWARE = "TrinArt bot"
MACHINE_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's word for what a trained model made."""
COMMENT = "AI-generated: this picture was made by a machine."

XMP_KEYWORD = "XML:com.adobe.xmp"
"""Where a PNG keeps its XMP, in an iTXt chunk."""

_X = "adobe:ns:meta/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMP = "http://ns.adobe.com/xap/1.0/"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
# The prefixes that everybody uses, by which programs find them that read no XML.
for _prefix, _namespace in {"x": _X, "rdf": _RDF, "xmp": _XMP, "Iptc4xmpExt": _IPTC}.items():
    ElementTree.register_namespace(_prefix, _namespace)


@cache
def software_version() -> str:
    """The version of the installed bot."""
    return version("trinart-bot")


def png_texts() -> dict[str, str]:
    """Texts under the keywords of the PNG specification."""
    return {"Software": f"{SOFTWARE} {software_version()}", "Comment": COMMENT}


@cache
def xmp_packet() -> str:
    """XMP that names the source and the software. Nothing that a member typed is in it."""
    meta = ElementTree.Element(f"{{{_X}}}xmpmeta")
    description = ElementTree.SubElement(
        ElementTree.SubElement(meta, f"{{{_RDF}}}RDF"), f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""}
    )
    ElementTree.SubElement(description, f"{{{_XMP}}}CreatorTool").text = f"{SOFTWARE} {software_version()}"
    ElementTree.SubElement(description, f"{{{_IPTC}}}DigitalSourceType").text = MACHINE_MADE
    body = ElementTree.tostring(meta, encoding="unicode")
    # The frame is XMP's own; its id is the same in every file there is.
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{body}<?xpacket end="r"?>'
