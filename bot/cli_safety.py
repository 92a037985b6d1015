"""`trinart safety`: what the prompt check says, for hosts who tune it and for others who judge it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer

from bot.cli_safety_images import add_image_commands
from bot.safety.levels import Level
from bot.safety.screen import PromptScreen

safety = typer.Typer(help="The checks of prompts and pictures.", no_args_is_help=True)
add_image_commands(safety)

MAX_LINE = 64 * 1024
"""Bytes of a line that are kept: far beyond any prompt that is not too long."""


class LevelName(StrEnum):
    """The levels, as the command line knows them."""

    STRICT = "strict"
    DEFAULT = "default"
    AGE_RESTRICTED = "age-restricted"


@safety.command("check")
def check(
    level: Annotated[
        LevelName, typer.Option(help="How much may be shown where the prompts come from.")
    ] = LevelName.DEFAULT,
    negative: Annotated[str, typer.Option(help="A negative prompt to read beside each prompt.")] = "",
    rules: Annotated[
        Path | None,
        typer.Option(help="A host's own lists, instead of those that TRINART_SAFETY_RULES names."),
    ] = None,
) -> None:
    """Read prompts from standard input, one a line, and print one JSON object a line."""
    screen = PromptScreen.load(rules or _host_rules())
    chosen: Level = level.value
    try:
        for line in prompts(sys.stdin.buffer):
            verdict = screen.check(line, negative=negative, level=chosen)
            sys.stdout.buffer.write(msgspec.json.encode(verdict) + b"\n")
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader has seen enough. What Python still wants to flush at its end must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def prompts(stream: BinaryIO) -> Iterator[str]:
    """Each line as text, whatever its bytes are; of a line without end no more than its beginning."""
    while line := stream.readline(MAX_LINE):
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(MAX_LINE)):
            continue
        yield line.decode("utf-8", errors="replace").rstrip("\r\n")


def _host_rules() -> Path | None:
    from bot.settings import load_settings

    return load_settings().safety_rules
