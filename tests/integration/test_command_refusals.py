"""Bad input: one private answer that says what to change and gives the prompt back, and no job.

Every story is told in English and in Japanese.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.simcord_world import World, is_japanese, open_world, refusal

PROMPT = "1girl, *blue* hair"
SHOWN_PROMPT = r"1girl, \*blue\* hair"
GREATEST_SEED = str(2**63 - 1)
PRESETS = ("None", "2022 Artstyle", "More Details", "2022 Artstyle + More Details")
SIZES = ("square", "64x64", "portrait", "64x96", "landscape", "96x64")


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """Something that a member may type, and what the answer has to tell."""

    options: dict[str, Any]
    says: str
    """Part of the English answer."""
    facts: tuple[str, ...] = ()
    """What the answer names in every language."""
    prompt: str = PROMPT
    shown_prompt: str = SHOWN_PROMPT


MISTAKES = {
    "empty prompt": Mistake(options={}, prompt="", shown_prompt="", says="The prompt is empty"),
    "blank prompt": Mistake(options={}, prompt=" \n\t　", shown_prompt="", says="The prompt is empty"),
    "zero-width prompt": Mistake(
        options={}, prompt="\u200b\u200d\ufeff", shown_prompt="", says="The prompt is empty"
    ),
    "prompt too long": Mistake(
        options={}, prompt="x" * 2001, shown_prompt="", says="`prompt`", facts=("2001", "2000")
    ),
    "control characters": Mistake(
        options={}, prompt="1girl\x07", shown_prompt="1girl", says="`prompt` contains invisible control"
    ),
    "negative too long": Mistake(options={"negative": "x" * 2001}, says="`negative`", facts=("2001", "2000")),
    "control characters in negative": Mistake(
        options={"negative": "\x1b[31mred"}, says="`negative` contains invisible control"
    ),
    "unknown preset": Mistake(
        options={"preset": "Watercolour"}, says="no preset “watercolour”", facts=PRESETS
    ),
    "size not offered": Mistake(
        options={"size": "4096x4096"}, says="not offered", facts=("4096x4096", *SIZES)
    ),
    "no steps": Mistake(options={"steps": 0}, says="`steps` must be between 1 and 60; you gave 0"),
    "too many steps": Mistake(options={"steps": 61}, says="`steps` must be", facts=("1", "60", "61")),
    "cfg too small": Mistake(options={"cfg": 0.5}, says="`cfg` must be between", facts=("1", "20", "0.5")),
    "cfg too large": Mistake(options={"cfg": 21.0}, says="`cfg` must be between 1 and 20", facts=("21",)),
    "cfg far too large": Mistake(options={"cfg": 1e15}, says="`cfg` must be between 1 and 20"),
    "no images": Mistake(options={"images": 0}, says="`images` must be between 1 and 4; you gave 0"),
    "too many images": Mistake(options={"images": 5}, says="`images` must be", facts=("1", "4", "5")),
    "negative seed": Mistake(options={"seed": "-1"}, says="whole number", facts=("0", GREATEST_SEED, "-1")),
    "seed too large": Mistake(
        options={"seed": str(2**63)}, says="whole number", facts=(GREATEST_SEED, str(2**63))
    ),
    "seed in words": Mistake(options={"seed": "abc"}, says="whole number", facts=("abc", GREATEST_SEED)),
    "seed with a point": Mistake(options={"seed": "1.5"}, says="whole number", facts=("1.5",)),
    "seed in other digits": Mistake(options={"seed": "１２"}, says="whole number", facts=("１２",)),
    "mention as a preset": Mistake(options={"preset": "@everyone"}, says="no preset", facts=PRESETS),
}


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A bot that can draw, and has no reason to."""
    async with open_world(tmp_path_factory.mktemp("refusals")) as world:
        yield world


@pytest.fixture(params=["en-US", "ja"])
def locale(request: pytest.FixtureRequest) -> str:
    """The language of the member's client."""
    return request.param


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
async def test_a_mistake_is_answered_with_what_to_change(world: World, mistake: Mistake, locale: str) -> None:
    text = await refusal(world, mistake.prompt, locale, **mistake.options)
    assert is_japanese(text) == (locale == "ja")
    for fact in mistake.facts:
        assert fact in text
    if locale == "en-US":
        assert mistake.says in text
    assert len(text) <= 2000
    assert mistake.shown_prompt in text, "given back, so that nobody has to type it again"


async def test_the_prompt_is_given_back_under_the_answer(world: World) -> None:
    """As a quotation, so that it can be copied; without Markdown or mentions taking effect."""
    text = await refusal(world, "@everyone *1girl*,\n  smile", "en-US", steps=0)
    assert text == (
        "`steps` must be between 1 and 60; you gave 0.\n\n"
        "Your prompt was:\n"
        ">>> @\u200beveryone \\*1girl\\*, smile"
    )


async def test_what_was_typed_is_not_shown_back_at_any_length(world: World) -> None:
    text = await refusal(world, PROMPT, "en-US", preset="x" * 6000)
    assert "x" * 60 + "…" in text
    assert "x" * 61 not in text


async def test_a_good_command_after_a_bad_one_is_drawn(world: World) -> None:
    await refusal(world, PROMPT, "en-US", steps=0)
    message = await world.draw(prompt=PROMPT, steps=1)
    assert message.attachments
