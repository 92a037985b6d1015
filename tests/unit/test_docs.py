"""The documentation says what the code does: settings, commands, presets and links."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from annotated_types import Ge, Le
from discord.app_commands import Command, Group
from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from bot.admin_members import MAX_BLOCK_HOURS, MAX_GRANT_DAYS
from bot.admin_reports import MAX_EXPORT_DAYS, MAX_USAGE_DAYS
from bot.admin_rules import MAX_JOBS
from bot.cli import app
from bot.i18n import translator
from bot.presets import MAX_SEED, MAX_TEXT, SAMPLERS, PresetBook
from bot.quotas import MAX_AMOUNT, PICTURE
from bot.settings import Settings
from cogs.admin import USAGE_DAYS, AdminGroup
from cogs.admin_quota import EXPORT_DAYS
from cogs.admin_render import WINDOW_NAMES
from cogs.host import MAX_ANNOUNCEMENT, HostGroup
from cogs.trinart import TrinArt
from engine.models import DEMO_FOLDER, SD1_SIZES, read_model
from engine.protocol import ModelCard

ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "docs/reference/settings.md"
COMMANDS = ROOT / "docs/reference/commands.md"
MEMBERS = ROOT / "docs/how-to/member.md"
MEMBERS_JA = ROOT / "docs/how-to/member.ja.md"
# NOTICE is no Markdown; whatever else is in the checkout is not the project's documentation.
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def without_code_blocks(page: Path) -> str:
    return re.sub(r"^( *)```.*?^\1```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def tables(page: Path) -> list[list[list[str]]]:
    """The cells of each table of a page, without its head."""
    found: list[list[list[str]]] = []
    for block in re.findall(r"(?:^\|.*\|$\n?)+", without_code_blocks(page), flags=re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        assert all(len(row) == len(rows[0]) for row in rows), f"{page.name}: a row has another length"
        found.append(rows[2:])
    return found


def table_with(page: Path, first_cell: str) -> list[list[str]]:
    """The one table with a row that begins with `first_cell`."""
    (table,) = [table for table in tables(page) if first_cell in [row[0] for row in table]]
    return table


# --- settings ---------------------------------------------------------------------------------------


def variable_of(name: str, field: FieldInfo) -> str:
    if isinstance(alias := field.validation_alias, AliasChoices):
        return str(alias.choices[0])
    return f"{Settings.model_config.get('env_prefix')}{name}".upper()


VARIABLES = {variable_of(name, field): (name, field) for name, field in Settings.model_fields.items()}


def as_documented(default: Any) -> str:
    if default is None:
        return "not set"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return "empty" if default == "" else f"`{default}`"


def test_the_settings_page_has_every_variable_once_and_no_other() -> None:
    documented = [row[0] for row in table_with(SETTINGS, "`DISCORD_TOKEN`")]
    assert sorted(documented) == sorted(f"`{variable}`" for variable in VARIABLES)


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_documented_default_is_the_real_one(variable: str) -> None:
    (row,) = [row for row in table_with(SETTINGS, "`DISCORD_TOKEN`") if row[0] == f"`{variable}`"]
    assert row[1] == as_documented(VARIABLES[variable][1].default)


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_documented_meaning_has_the_limits(variable: str) -> None:
    (row,) = [row for row in table_with(SETTINGS, "`DISCORD_TOKEN`") if row[0] == f"`{variable}`"]
    field = VARIABLES[variable][1]
    lows = [limit.ge for limit in field.metadata if isinstance(limit, Ge)]
    highs = [limit.le for limit in field.metadata if isinstance(limit, Le)]
    for low, high in zip(lows, highs, strict=False):
        assert f"{low} to {high}" in row[2]
    for choice in get_args(field.annotation):
        assert not isinstance(choice, str) or f"`{choice}`" in row[2]


def test_a_documented_variable_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    samples = {
        str: "text",
        int: "7",
        bool: "true",
        Path: "folder",
        "log_level": "DEBUG",
        "compile": "off",
        "safety_level": "strict",
        "dtype": "float16",
        "default_quota": "30/day",
        "member_cap": "2.5/24h",
        "server_cap": "unlimited",
        "rate": "3/10s",
        "terms": "off",
        "shards": "0,1/4",
        "safety_models": "safety-anime-rating",
        "c2pa_tsa_url": "http://timestamp.example",
    }
    for variable, (name, field) in VARIABLES.items():
        kinds = (field.annotation, *get_args(field.annotation))
        sample = samples.get(name) or next((samples[kind] for kind in kinds if kind in samples), "text")
        monkeypatch.setenv(variable, sample)
    settings = Settings()  # pyright: ignore[reportCallIssue]
    assert settings.model_fields_set == set(Settings.model_fields)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "NOTICE"], ids=lambda page: page.name)
def test_no_page_names_a_variable_that_does_not_exist(page: Path) -> None:
    named = set(re.findall(r"\b(?:TRINART|DISCORD)_[A-Z_]+\b", page.read_text(encoding="utf-8")))
    assert named <= {*VARIABLES, "TRINART_"}


# --- the slash command ------------------------------------------------------------------------------

OPTIONS = {option.display_name: option for option in TrinArt.trinart.parameters}
MODELS_OWN = {"size", "steps", "cfg", "sampler"}
"""Options whose default is the model's."""


def option_row(name: str) -> list[str]:
    (row,) = [row for row in table_with(COMMANDS, "`prompt`") if row[0] == f"`{name}`"]
    return row


def test_the_commands_page_has_every_option_in_its_order() -> None:
    assert [row[0] for row in table_with(COMMANDS, "`prompt`")] == [f"`{name}`" for name in OPTIONS]


@pytest.mark.parametrize("name", OPTIONS)
def test_a_documented_option_is_as_required_as_the_real_one(name: str) -> None:
    assert option_row(name)[1] == ("yes" if OPTIONS[name].required else "no")


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - MODELS_OWN - {"prompt", "preset", "negative", "seed"}))
def test_a_documented_default_of_an_option_is_the_real_one(name: str) -> None:
    assert option_row(name)[3] == str(OPTIONS[name].default).lower()


def test_the_documented_defaults_of_the_model_are_the_real_ones() -> None:
    usual, demo = ModelCard(name="any", sizes=SD1_SIZES), read_model(DEMO_FOLDER)
    assert option_row("preset")[3] == f"the server's, else `{PresetBook.load().default}`"
    assert option_row("size")[3] == f"the model's first: `{next(iter(usual.sizes))}`"
    assert next(iter(demo.sizes)) == next(iter(usual.sizes))
    assert option_row("steps")[3] == f"the model's: {usual.default_steps}, demo model {demo.default_steps}"
    assert option_row("cfg")[3] == f"the model's: {usual.default_cfg:g}, demo model {demo.default_cfg:g}"
    assert option_row("sampler")[3] == f"the model's: `{usual.default_sampler}`"
    assert demo.default_sampler == usual.default_sampler


def test_the_documented_values_of_an_option_are_the_real_ones() -> None:
    assert option_row("sampler")[2] == ", ".join(f"`{sampler}`" for sampler in SAMPLERS)
    assert [choice.value for choice in OPTIONS["sampler"].choices] == list(SAMPLERS)
    assert f"0 to {MAX_SEED}" in option_row("seed")[2]
    for text in ("prompt", "negative"):
        assert f"at most {MAX_TEXT} characters" in option_row(text)[2]
    limits = re.findall(
        r'_check_range\("(\w+)", [\w.]+, (\d+), (\d+),', inspect.getsource(PresetBook.resolve)
    )
    assert {name for name, _, _ in limits} == {"steps", "cfg", "images"}
    for name, low, high in limits:
        assert f"from {low} to {high}" in option_row(name)[2]


# --- the commands for admins and the host -------------------------------------------------------------

GROUPS = (AdminGroup(), HostGroup())
SUBCOMMANDS = {
    f"/{command.qualified_name}": command
    for group in GROUPS
    for command in group.walk_commands()
    if isinstance(command, Command)
}


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_the_commands_page_has_every_subcommand_with_its_options(group: Group) -> None:
    own = {name: command for name, command in SUBCOMMANDS.items() if name.startswith(f"/{group.name} ")}
    rows = table_with(COMMANDS, f"`{next(iter(sorted(own)))}`")
    assert sorted(row[0] for row in rows) == sorted(f"`{name}`" for name in own)
    for row in rows:
        options = [parameter.display_name for parameter in own[row[0].strip("`")].parameters]
        assert row[1].split() == [f"`{option}`" for option in options]


def test_the_commands_page_has_every_window_and_the_limits() -> None:
    text = " ".join(COMMANDS.read_text(encoding="utf-8").split())
    assert all(f"`{name}`" in text for name in WINDOW_NAMES.values())
    for limit in (
        f"1 to {MAX_GRANT_DAYS} days",
        f"last 1 to {MAX_EXPORT_DAYS} days, {EXPORT_DAYS} if left out",
        f"last 1 to {MAX_USAGE_DAYS} days, {USAGE_DAYS} if left out",
        f"for 1 to {MAX_BLOCK_HOURS} hours",
        f"0 to {MAX_JOBS}; 0 leaves it to the host",
        f"from 0 to {MAX_AMOUNT // PICTURE} pictures",
        f"up to {MAX_ANNOUNCEMENT} characters",
    ):
        assert limit in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_subcommand_or_option_that_does_not_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {*SUBCOMMANDS, "/admin", "/host", "/admin quota"}
    for name in re.findall(r"(?:`|^)(/(?:admin|host)(?: [a-z]+(?![a-z_:]))*)", text, re.MULTILINE):
        assert name in known, name
    for line in re.findall(r"(?:`|^)(/(?:admin|host) [^`\n]*)", text, re.MULTILINE):
        command = max((name for name in SUBCOMMANDS if line.startswith(name)), key=len, default="")
        options = [parameter.display_name for parameter in SUBCOMMANDS[command].parameters] if command else []
        assert set(re.findall(r"\b([a-z_]+):\S", line)) <= set(options), line


# --- what members read ------------------------------------------------------------------------------


def test_the_members_guide_has_every_option() -> None:
    assert [row[0] for row in table_with(MEMBERS, "`prompt`")] == [f"`{name}`" for name in OPTIONS]


def test_the_japanese_guide_has_every_option_under_its_japanese_name() -> None:
    t = translator("ja")
    documented = [row[0] for row in table_with(MEMBERS_JA, f"`{t('prompt')}`")]
    assert documented == [f"`{t(name)}`" for name in OPTIONS]


@pytest.mark.parametrize("page", [MEMBERS, MEMBERS_JA], ids=lambda page: page.name)
def test_the_guides_have_every_preset(page: Path) -> None:
    names = [f"`{preset.name}`" for preset in PresetBook.load().presets]
    assert [row[0] for row in table_with(page, names[0])] == names


def test_the_members_guide_has_the_usual_sizes() -> None:
    rows = table_with(MEMBERS, "`square`")
    assert rows == [[f"`{name}`", f"{width}×{height}"] for name, (width, height) in SD1_SIZES.items()]


def test_the_members_guide_has_the_words_of_anatomy() -> None:
    (row,) = [row for row in table_with(MEMBERS, "`prompt`") if row[0] == "`anatomy`"]
    assert PresetBook.load().anatomy in row[1]


# --- the command line -------------------------------------------------------------------------------


def commands(command: Any, *words: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with the words that call it."""
    if not hasattr(command, "commands"):
        yield " ".join(words), command
        return
    for name, child in command.commands.items():
        yield from commands(child, *words, name)


COMMAND_LINE = dict(commands(typer.main.get_command(app), "trinart"))


def test_the_commands_page_has_every_command_once_and_no_other() -> None:
    documented = [row[0] for row in table_with(COMMANDS, "`trinart run`")]
    assert sorted(documented) == sorted(f"`{words}`" for words in COMMAND_LINE)


@pytest.mark.parametrize("words", COMMAND_LINE)
def test_a_documented_command_has_its_arguments_and_options(words: str) -> None:
    (row,) = [row for row in table_with(COMMANDS, "`trinart run`") if row[0] == f"`{words}`"]
    real: list[str] = []
    for parameter in COMMAND_LINE[words].params:
        is_argument = parameter.param_type_name == "argument"
        names = [parameter.name.upper()] if is_argument else [*parameter.opts, *parameter.secondary_opts]
        real += [f"`{name}`" for name in names]
    assert sorted(row[1].split()) == sorted(real)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_command_that_does_not_exist(page: Path) -> None:
    known = {*COMMAND_LINE, "trinart models", "trinart db"}
    text = page.read_text(encoding="utf-8")
    for first, second in re.findall(r"(?:`|^\.venv/bin/)trinart ([a-z]+)(?: ([a-z]+))?", text, re.MULTILINE):
        assert f"trinart {first} {second}" in known or f"trinart {first}" in known


def test_every_make_target_in_the_docs_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:`|^\s*)make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
        assert named <= targets, page.name
    documented = {
        row[0].strip("`").removeprefix("make ") for row in table_with(ROOT / "CONTRIBUTING.md", "`make test`")
    }
    assert documented == targets


# --- links ------------------------------------------------------------------------------------------


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^()\s]+)\)", without_code_blocks(page))


def anchors(page: Path) -> set[str]:
    """The fragments that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ +(.+)$", without_code_blocks(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), f"{page.name}: {link} leads out of the project"
        assert target.exists(), f"{page.name}: there is no {link}"
        if fragment:
            assert fragment in anchors(target), f"{page.name}: there is no heading {link}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        waiting += [
            (page.parent / link.partition("#")[0]).resolve()
            for link in links(page)
            if not link.startswith("#")
        ]
    assert set(PAGES) <= reached
