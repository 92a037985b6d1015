"""`trinart`: the host's command line. Errors are one sentence on stderr and an exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bot.cli_models import models
from bot.cli_safety import safety
from bot.errors import MemberError, OperatorError
from bot.presets import GenerationOptions
from bot.settings import Settings, load_settings
from engine.logs import configure_logging

app = typer.Typer(
    help="TrinArt bot: anime pictures in Discord.", no_args_is_help=True, pretty_exceptions_enable=False
)
db = typer.Typer(help="The bot's database.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(models, name="models")
app.add_typer(safety, name="safety")

errors = Console(stderr=True, soft_wrap=True, highlight=False)
output = Console(highlight=False)

NO_CREDENTIAL = (
    "DISCORD_TOKEN is not set: create an application at https://discord.com/developers/applications, "
    "copy the token from its Bot page, and put DISCORD_TOKEN=… into the environment or a .env file."
)


def main() -> None:
    """The console script: turn the errors meant for people into a sentence and an exit code."""
    try:
        app()
    except OperatorError as error:
        errors.print(str(error), markup=False)
        sys.exit(error.exit_code)
    except MemberError as error:
        errors.print(error.text("en-US"), markup=False)
        sys.exit(2)
    except Exception as error:
        logging.getLogger(__name__).exception("trinart failed")
        errors.print(f"This should not have happened: {error}. The log has the details.", markup=False)
        sys.exit(1)


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(_until_terminated(coroutine))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


async def _until_terminated(coroutine: Coroutine[Any, Any, None]) -> None:
    """Let SIGTERM cancel the command as Ctrl-C does, so that its processes and temporary folders go with it.

    `trinart run` and `trinart playground` put their own handler in place of this one.
    """
    task = asyncio.current_task()
    assert task is not None
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        if not terminated:  # a second one must not break into the cleaning up
            terminated = True
            task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    try:
        await coroutine
    except asyncio.CancelledError:
        if terminated:
            raise typer.Exit(128 + signal.SIGTERM) from None
        raise


def _settings(log_level: str | None = None) -> Settings:
    settings = load_settings()
    configure_logging(log_level or settings.log_level)
    return settings


@app.command()
def run() -> None:
    """Run the bot. Needs DISCORD_TOKEN."""
    settings = _settings()
    token = settings.discord_token.get_secret_value().strip() if settings.discord_token else ""
    if not token:
        raise OperatorError(NO_CREDENTIAL)
    from bot.serve import serve

    _run(serve(settings, token))


@app.command()
def demo(
    output_dir: Annotated[Path, typer.Option("--output", help="Where the pictures go.")] = Path(
        "demo-output"
    ),
) -> None:
    """Draw a picture in an offline Discord: no token, no GPU, no download."""
    _quiet()
    from bot.offline.demo import run_demo

    _run(run_demo(output_dir))


@app.command()
def playground(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the page on 127.0.0.1; 0 takes a free one.")
    ] = 0,
) -> None:
    """The bot in an offline Discord in your browser, until Ctrl-C."""
    _quiet()
    from bot.offline.playground import run_playground

    _run(run_playground(port))


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw.")],
    preset: Annotated[str | None, typer.Option(help="Name of a preset.")] = None,
    negative: Annotated[str | None, typer.Option(help="What should not be in the picture.")] = None,
    size: Annotated[str | None, typer.Option(help="Name of a size, or WIDTHxHEIGHT.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps, 1 to 60.")] = None,
    cfg: Annotated[float | None, typer.Option(help="How closely to follow the prompt, 1 to 20.")] = None,
    seed: Annotated[str | None, typer.Option(help="A whole number, or random.")] = None,
    sampler: Annotated[str | None, typer.Option(help="The method of denoising.")] = None,
    images: Annotated[int, typer.Option(help="How many pictures, 1 to 4.")] = 1,
    anatomy: Annotated[bool, typer.Option(help="Keep away from bad hands and the like.")] = True,
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG file; numbered if there are several.")] = Path(
        "trinart.png"
    ),
) -> None:
    """Draw without Discord, through the same service."""
    settings = _settings("WARNING")
    from bot.generate import generate_to_file

    options = GenerationOptions(
        prompt=prompt,
        preset=preset,
        negative=negative,
        size=size,
        steps=steps,
        cfg=cfg,
        seed=seed,
        sampler=sampler,
        images=images,
        anatomy=anatomy,
    )
    _run(generate_to_file(settings, options, out, errors))


@app.command()
def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what jobs, ledger and files disagree about.")
    ] = False,
) -> None:
    """Check everything the bot needs; exit code 1 if something is off."""
    settings = _settings("ERROR")
    from bot.doctor import examine

    async def examine_and_print() -> None:
        findings = await examine(settings, fix=fix)
        table = Table("", "Check", "Finding", box=None)
        for finding in findings:
            table.add_row("[green]✓" if finding.ok else "[red]✗", finding.check, finding.text)
        output.print(table)
        if not all(finding.ok for finding in findings):
            raise typer.Exit(1)

    _run(examine_and_print())


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the database to the newest revision, as `trinart run` does at its start."""
    settings = _settings("ERROR")
    from bot.database.session import Database

    async def upgrade() -> None:
        async with Database.connect(settings.resolved_database_url) as database:
            output.print(f"The database is at revision {await database.revision()}.")

    _run(upgrade())


@db.command("downgrade")
def db_downgrade(
    revision: Annotated[
        str, typer.Argument(help="The revision to go back to, or base. Deletes newer tables.")
    ],
) -> None:
    """Take the database back to an older revision."""
    settings = _settings("ERROR")
    from bot.database.session import Database

    async def downgrade() -> None:
        async with Database.connect(settings.resolved_database_url, upgrade=False) as database:
            await database.downgrade(revision)
            output.print(f"The database is at revision {await database.revision() or 'base'}.")

    _run(downgrade())


@db.command("current")
def db_current() -> None:
    """The revision of the database and the newest one."""
    settings = _settings("ERROR")
    from bot.database.session import Database, NoDatabase, head_revision

    async def current() -> None:
        try:
            async with Database.connect(settings.resolved_database_url, upgrade=False) as database:
                output.print(f"database: {await database.revision() or 'base'}, newest: {head_revision()}")
        except NoDatabase as error:  # an answer to the question, and no failure
            output.print(str(error), markup=False, soft_wrap=True)

    _run(current())


@db.command("copy")
def db_copy(
    source: Annotated[str, typer.Argument(help="Its URL, or the file of an SQLite database.")],
) -> None:
    """Copy another database into that of the settings, which has to be empty. All of it or nothing."""
    settings = _settings("ERROR")
    from bot.cli_database import copy_and_show

    _run(copy_and_show(source, settings.resolved_database_url, output, errors))


def _quiet() -> None:
    """Demo and playground talk to a newcomer: only warnings reach the terminal, from all processes."""
    os.environ["TRINART_LOG_LEVEL"] = "ERROR"
    configure_logging("ERROR")
