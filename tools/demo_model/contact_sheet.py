"""Eight prompts with each preset, on one picture: `python -m tools.demo_model.contact_sheet FILE`.

The prompts have no words for the style, and a row has one seed: what differs within it is the preset's doing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from bot.presets import PresetBook
from engine.models import DEMO_FOLDER, find_model
from engine.worker.interfaces import Pixels
from engine.worker.loading import ModelOptions, load_model
from engine.worker.model import DiffusionModel
from tools.demo_model.drawing import draw, member_request
from tools.demo_model.progress import Progress

PROMPTS = (
    "1girl, blue hair, twintails, red eyes, smile, hair ribbon, white shirt, pink background",
    "1girl, blonde hair, long hair, green eyes, open mouth, hair flower, blue kimono, sunset",
    "1boy, brown hair, short hair, blue eyes, angry, green hoodie, grey background",
    "1girl, pink hair, bob cut, purple eyes, wink, cat ears, black hoodie, yellow background",
    "1girl, silver hair, ponytail, blue eyes, surprised, red kimono, night sky",
    "1girl, black hair, braid, brown eyes, sad, glasses, pink shirt, clouds",
    "1girl, red hair, short hair, closed eyes, green shirt, blue background",
    "1girl, green hair, twintails, yellow eyes, glasses, cat ears, white hoodie, purple background",
)
"""Together they have every kind of thing that the model knows; none of them has style words."""
SEED = 700
"""With it each prompt gets flat or old pictures where no preset is against that."""

WIDTH = 1200
MARGIN = 20
GAP = 10
CAPTION = 188
"""Width of the column of prompts."""
HEAD = 44
"""Height of the row of presets."""
BACKGROUND, INK, FAINT = (250, 249, 246), (40, 36, 44), (92, 86, 98)
ROUNDING = 10


def draw_sheet(model: DiffusionModel, *, steps: int | None = None) -> Image.Image:
    """The sheet, with the model's first size and defaults; `steps` if not as many as usual."""
    presets = [preset.name for preset in PresetBook.load().presets]
    requests = [
        member_request(model.card, prompt, preset=preset, seed=SEED + row, steps=steps)
        for row, prompt in enumerate(PROMPTS)
        for preset in presets
    ]
    with Progress("contact sheet", total=len(requests)) as progress:
        pictures = draw(model, requests, progress.show)
    rows = [pictures[at : at + len(presets)] for at in range(0, len(pictures), len(presets))]
    return arrange(rows, PROMPTS, presets)


def arrange(rows: Sequence[Sequence[Pixels]], prompts: Sequence[str], presets: Sequence[str]) -> Image.Image:
    """A row of pictures [H, W, 3] for each prompt, a column for each preset."""
    left = MARGIN + CAPTION + GAP
    side = (WIDTH - left - MARGIN - GAP * (len(presets) - 1)) // len(presets)
    height = HEAD + (side + GAP) * len(rows) - GAP + MARGIN
    sheet = Image.new("RGB", (WIDTH, height), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=17)
    for column, preset in enumerate(presets):
        middle = left + column * (side + GAP) + side // 2
        pen.text((middle, HEAD // 2 + 2), preset, INK, font, anchor="mm")
    for row, (pictures, prompt) in enumerate(zip(rows, prompts, strict=True)):
        top = HEAD + row * (side + GAP)
        text = "\n".join(wrapped(prompt, font, CAPTION))
        pen.multiline_text((MARGIN, top + side // 2), text, FAINT, font, anchor="lm", spacing=7)
        for column, picture in enumerate(pictures):
            _paste(sheet, Image.fromarray(picture), (left + column * (side + GAP), top), side)
    return sheet


def wrapped(prompt: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """A prompt's terms in lines that are no wider than so many pixels."""
    lines: list[str] = []
    for term in prompt.split(", "):
        longer = f"{lines[-1]}, {term}" if lines else term
        # The comma that may follow has room in the gap.
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(term)
    return [f"{line}," for line in lines[:-1]] + lines[-1:]


def _paste(sheet: Image.Image, picture: Image.Image, place: tuple[int, int], side: int) -> None:
    """With round corners, as large as fits a square."""
    scale = side / max(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    enlarged = picture.resize(size, Image.Resampling.LANCZOS)
    # Corners are drawn large, as Pillow's have steps.
    mask = Image.new("L", (size[0] * 4, size[1] * 4))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *mask.size), ROUNDING * 4, fill=255)
    left, top = place
    middle = (left + (side - size[0]) // 2, top + (side - size[1]) // 2)
    sheet.paste(enlarged, middle, mask.resize(size, Image.Resampling.LANCZOS))


def main() -> None:
    """Draw the sheet into a file."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo_model.contact_sheet", description=__doc__)
    parser.add_argument("file", type=Path, help="a PNG or JPEG file; it is replaced")
    parser.add_argument("--model", type=Path, default=DEMO_FOLDER, help="its folder, in diffusers layout")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    options = ModelOptions(device=arguments.device, threads=arguments.threads)
    draw_sheet(load_model(find_model(str(arguments.model), Path()), options)).save(arguments.file)


if __name__ == "__main__":
    main()
