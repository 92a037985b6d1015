"""No way out for a picture but the Release: read from the sources, so that a new way fails here first."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("bot/**/*.py"), *ROOT.glob("cogs/**/*.py")])

FILES_MADE = {
    # of released pictures
    ("cogs/render.py", "files"),
    ("cogs/render.py", "preview_files"),
    # of released files: pictures that were hidden after reports, for moderators or shown again
    ("cogs/report.py", "_files"),
    # of other things: the member's own words and data, and admins' tables
    ("cogs/render.py", "refusal"),
    ("cogs/preset_form.py", "file"),
    ("cogs/privacy.py", "export"),
    ("cogs/admin.py", "usage"),
    ("cogs/admin_quota.py", "export"),
    ("cogs/host.py", "servers"),
}
"""Every function that makes a file for Discord."""

PIXELS_READ = {
    "bot/pictures.py",  # files of pictures that wait, and uploads of released ones
    "bot/safety/release.py",
    "bot/safety/delivery.py",  # a preview, to be judged
    "bot/generate.py",  # a released picture, to its file
    "cogs/render.py",  # a released preview
}
"""Where the bytes of a picture are looked at."""

RAW_NAMES = {"Image", "Finished", "Preview"}
"""What comes from the engine and nobody has judged."""

RAW_KNOWN = {
    "bot/generation.py",
    "bot/outcomes.py",
    "bot/pictures.py",
    "bot/safety/delivery.py",
    "bot/safety/release.py",
}


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def calls(file: Path, name: str) -> Iterator[str]:
    """The function in which each call of something of this name stands."""

    def visit(node: ast.AST, function: str) -> Iterator[str]:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = node.name
        if isinstance(node, ast.Call):
            called = node.func
            if name == (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")):
                yield function
        for child in ast.iter_child_nodes(node):
            yield from visit(child, function)

    yield from visit(tree_of(file), "")


def relative(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(
    ("name", "maker"), [("ReleasedImage", "judge_image"), ("ReleasedFile", "judge_file")]
)
def test_one_function_makes_what_is_released(name: str, maker: str) -> None:
    made = [(relative(file), function) for file in SOURCES for function in calls(file, name)]
    assert made == [("bot/safety/release.py", maker)]


def test_the_key_stays_where_it_is() -> None:
    users = [
        relative(file)
        for file in SOURCES
        for node in ast.walk(tree_of(file))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and any(name.name == "_KEY" or name.name == "bot.safety.release" for name in node.names)
    ]
    assert users == []


def test_every_maker_of_files_for_discord_is_known() -> None:
    made = {(relative(file), function) for file in SOURCES for function in calls(file, "File")}
    assert made == FILES_MADE


def test_the_bytes_of_pictures_are_looked_at_in_few_places() -> None:
    readers = {
        relative(file)
        for file in SOURCES
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Attribute) and node.attr == "png"
    }
    assert readers == PIXELS_READ


def test_what_nobody_judged_does_not_come_near_discord() -> None:
    users = {
        relative(file)
        for file in SOURCES
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.ImportFrom)
        and node.module == "engine.protocol"
        and RAW_NAMES & {name.name for name in node.names}
    }
    assert users == RAW_KNOWN


def test_uploads_are_made_of_released_pictures_alone() -> None:
    assert {relative(file) for file in SOURCES for _ in calls(file, "Upload")} == {"bot/pictures.py"}
    [pack] = [
        node
        for node in ast.walk(tree_of(ROOT / "bot/pictures.py"))
        if isinstance(node, ast.FunctionDef) and node.name == "pack_uploads"
    ]
    assert pack.args.args[0].annotation is not None
    assert ast.unparse(pack.args.args[0].annotation) == "Sequence[ReleasedImage]"


def test_reported_pictures_are_sent_as_released_files_alone() -> None:
    [made] = [
        node
        for node in ast.walk(tree_of(ROOT / "cogs/report.py"))
        if isinstance(node, ast.FunctionDef) and node.name == "_files"
    ]
    assert made.args.args[0].annotation is not None
    assert ast.unparse(made.args.args[0].annotation) == "Sequence[ReleasedFile]"
