"""`trinart demo`: two members ask for pictures; the terminal shows the channel as they see it."""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text
from simcord.results import InteractionResult, ResponseMessage

from bot.errors import OperatorError
from bot.offline.browser import BrowserError, find_chromium, screenshot
from bot.offline.progress import job_bars
from bot.offline.world import World, open_world

PROMPT = "1girl, blue hair, smile"
COMMANDS: tuple[dict[str, Any], ...] = (
    {"prompt": PROMPT, "preset": "2022 Artstyle", "seed": "7"},
    {"prompt": "1girl, pink hair, twintails, sunset", "preset": "More Details", "images": 4, "seed": "2022"},
)
MEMBERS = ("Mika", "Ren")
TILE, CAPTION = 256, 24
PICTURES, SHEET, SCREENSHOT = "trinart-*.png", "contact-sheet.png", "channel.png"


async def run_demo(output_dir: Path) -> None:
    """Run the bot offline, show what happens, and save it under `output_dir`.

    Raises:
        OperatorError: nothing can be saved there.
    """
    console = Console(highlight=False)
    started = time.monotonic()
    prepare(output_dir)
    async with open_world(console, *MEMBERS) as world:
        console.print(f"The engine is ready after {time.monotonic() - started:.1f} s.")
        asked = time.monotonic()
        results = await _ask(world, console)
        console.print(f"Answered {time.monotonic() - asked:.1f} s after the commands.\n")
        files: list[Path] = []
        for member, options, result in zip(MEMBERS, COMMANDS, results, strict=True):
            assert result.response is not None
            console.print(_as_seen(member, options, result.response))
            files += await _save_pictures(result.response, output_dir)
        sheet = output_dir / SHEET
        await asyncio.to_thread(make_contact_sheet, files, sheet)
        shot = await _take_screenshot(world, output_dir / SCREENSHOT, console)
    for path in [*files, sheet, *shot]:
        console.print(f"saved {path}", markup=False)
    console.print(f"Done in {time.monotonic() - started:.1f} s. Try `make playground` next.")


def prepare(output_dir: Path) -> None:
    """Make the folder, and remove what an earlier demo left there: one that has its contact sheet."""
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        if (output_dir / SHEET).exists():  # or else the pictures may be those of `trinart generate`
            for pattern in (PICTURES, SCREENSHOT, SHEET):
                for file in output_dir.glob(pattern):
                    file.unlink()
    except OSError as error:
        raise OperatorError(
            f"The pictures cannot be saved in {output_dir}: {error.strerror}. "
            "Name another folder with --output."
        ) from error


async def _ask(world: World, console: Console) -> list[InteractionResult]:
    """Let the members use the command, and show how far their jobs are until all are answered."""
    names = dict(zip((member.id for member in world.members), MEMBERS, strict=True))
    with job_bars(console, world.service, names):
        results = [
            await member.slash(world.channel, "trinart", **options)
            for member, options in zip(world.members, COMMANDS, strict=True)
        ]
        await world.service.runs.idle()
        await world.env.settle()
    return results


def _as_seen(member: str, options: dict[str, Any], message: ResponseMessage) -> Panel:
    """A message of the channel in the terminal."""
    typed = " ".join(f"{name}:{value}" for name, value in options.items())
    lines: list[Text] = [Text(f"{member} used /trinart {typed}", style="dim")]
    if message.content:
        lines.append(Text(message.content))
    for attachment in message.attachments:
        lines.append(Text(f"🖼  {attachment.filename} ({attachment.size:,} bytes)", style="bold"))
        lines.append(Text(f"   {attachment.description}", style="italic"))
    for embed in message.embeds:
        lines.append(Text(embed.description or ""))
        lines += [Text.assemble((f"{field.name}: ", "cyan"), field.value or "") for field in embed.fields]
    return Panel(Group(*lines), title="TrinArt bot", title_align="left", expand=False)


async def _save_pictures(message: ResponseMessage, folder: Path) -> list[Path]:
    paths: list[Path] = []
    for attachment in message.attachments:
        path = folder / attachment.filename
        path.write_bytes(await attachment.read())
        paths.append(path)
    return paths


def make_contact_sheet(files: list[Path], target: Path) -> None:
    """All pictures in rows of up to five, each with its file name."""
    columns = min(5, len(files))
    rows = -(-len(files) // columns)
    sheet = Image.new("RGB", (columns * TILE, rows * (TILE + CAPTION)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for index, file in enumerate(files):
        left, top = index % columns * TILE, index // columns * (TILE + CAPTION)
        with Image.open(io.BytesIO(file.read_bytes())) as picture:
            tile = picture.convert("RGB")
        tile.thumbnail((TILE, TILE))
        sheet.paste(tile, (left + (TILE - tile.width) // 2, top))
        draw.text((left + 6, top + TILE + 4), file.name, fill="black", font=font)
    sheet.save(target)


async def _take_screenshot(world: World, target: Path, console: Console) -> list[Path]:
    """The channel in a Chromium, where there is one."""
    chromium = find_chromium()
    if chromium is None:
        console.print("No Chromium found, so there is no screenshot of the channel.")
        return []
    with console.status("Taking a screenshot of the channel …"):
        try:
            async with world.env.preview(
                world.channel, viewers=[world.members[0]], layout="channel"
            ) as preview:
                return [await screenshot(preview.url, target, chromium=chromium)]
        except (BrowserError, TimeoutError, OSError) as error:
            console.print(f"The screenshot failed: {error}", markup=False)
            return []
