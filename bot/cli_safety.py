"""`trinart safety`: what the checks of prompts and pictures say, for hosts who tune them."""

from __future__ import annotations

import typer

from bot.cli_safety_images import add_image_commands

safety = typer.Typer(help="What the checks of prompts and pictures say.", no_args_is_help=True)
add_image_commands(safety)
