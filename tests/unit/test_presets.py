"""Options become requests, or errors that say what to change."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import (
    BlankPrompt,
    ControlCharacters,
    InvalidSeed,
    MemberError,
    OutOfRange,
    SizeNotOffered,
    TextTooLong,
    UnknownPreset,
    UnknownSampler,
)
from bot.presets import MAX_SEED, SAMPLERS, GenerationOptions, Preset, PresetBook, find_sizes
from engine.models import SD1_SIZES
from engine.protocol import GenerationRequest, ModelCard

ARTSTYLE = (
    "retro style, 1980s, 1990s, 2000s, "
    "2005 2006 2007 2008 2009 2010 2011 2012 2013 2014 2015 2016 2017 2018 2019"
)
DETAILS = "flat color, flat shading"
BOOK = PresetBook.load()
CARD = ModelCard(name="derrida", sizes=SD1_SIZES)
OPTIONS = GenerationOptions(prompt="1girl, smile")


def resolve(**changes: Any) -> GenerationRequest:
    return BOOK.resolve(replace(OPTIONS, **changes), CARD, random.Random(1))


@pytest.mark.parametrize(
    ("preset", "negative"),
    [
        ("None", ""),
        ("2022 Artstyle", ARTSTYLE),
        ("More Details", DETAILS),
        ("2022 Artstyle + More Details", f"{ARTSTYLE}, {DETAILS}"),
    ],
)
def test_negative_prompts_are_those_of_the_card_to_the_letter(preset: str, negative: str) -> None:
    assert resolve(preset=preset, anatomy=False).negative_prompt == negative
    with_baseline = [part for part in (negative, BOOK.anatomy) if part]
    assert resolve(preset=preset).negative_prompt == ", ".join(with_baseline)


def test_final_negative_prompt_is_preset_then_anatomy_then_own_without_repeats() -> None:
    request = resolve(preset="more details", negative="blurry, Bad  Hands, FLAT COLOR, (hat, glove:1.2)")
    assert request.negative_prompt == f"{DETAILS}, {BOOK.anatomy}, blurry, (hat, glove:1.2)"


def test_defaults_come_from_the_model() -> None:
    request = resolve()
    assert (request.width, request.height) == (512, 512)
    assert request.num_inference_steps == CARD.default_steps
    assert request.guidance_scale == CARD.default_cfg
    assert request.sampler == CARD.default_sampler
    assert request.labels == {"Preset": "None"}


@pytest.mark.parametrize("option", ["preset", "negative", "size", "seed", "sampler"])
def test_blank_is_as_good_as_left_out(option: str) -> None:
    assert resolve(**{option: " \t"}) == resolve()


def test_repeats_in_a_negative_prompt_of_its_own_are_left_out() -> None:
    request = resolve(anatomy=False, negative="blurry, hat, Blurry, hat")
    assert request.negative_prompt == "blurry, hat"


@pytest.mark.parametrize("size", ["portrait", "512x768", "512×768", " 512 * 768 ", "Portrait"])
def test_a_size_can_be_named_or_written(size: str) -> None:
    request = resolve(size=size)
    assert (request.width, request.height) == (512, 768)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_is_known(sampler: str) -> None:
    assert resolve(sampler=sampler.upper()).sampler == sampler


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"prompt": ""}, BlankPrompt),
        ({"prompt": " \n\t "}, BlankPrompt),
        ({"prompt": "\u200b\u2060"}, BlankPrompt),
        ({"prompt": "x" * 2001}, TextTooLong),
        ({"negative": "x" * 2001}, TextTooLong),
        ({"prompt": "a\x00b"}, ControlCharacters),
        ({"prompt": "a\x1b[31m"}, ControlCharacters),
        ({"prompt": "\ud800"}, ControlCharacters),
        ({"negative": "a\x07"}, ControlCharacters),
        ({"prompt": "cat \u202etac"}, ControlCharacters),
        ({"negative": "cat \u2067tac\u2069"}, ControlCharacters),
        ({"preset": "Van Gogh"}, UnknownPreset),
        ({"size": "1x1"}, SizeNotOffered),
        ({"size": "huge"}, SizeNotOffered),
        ({"sampler": "Magic"}, UnknownSampler),
        ({"steps": 0}, OutOfRange),
        ({"steps": 61}, OutOfRange),
        ({"cfg": 0.99}, OutOfRange),
        ({"cfg": 20.5}, OutOfRange),
        ({"cfg": float("nan")}, OutOfRange),
        ({"images": 0}, OutOfRange),
        ({"images": 5}, OutOfRange),
        ({"seed": "-1"}, InvalidSeed),
        ({"seed": str(2**63)}, InvalidSeed),
        ({"seed": "1.5"}, InvalidSeed),
        ({"seed": "²"}, InvalidSeed),
        ({"seed": "9" * 500}, InvalidSeed),
    ],
)
def test_bad_input_is_an_error_in_both_languages(changes: dict[str, Any], error: type[MemberError]) -> None:
    with pytest.raises(error) as caught:
        resolve(**changes)
    english, japanese = caught.value.text("en-US"), caught.value.text("ja")
    assert english != japanese
    assert "{" not in english + japanese
    assert len(english) < 600


@pytest.mark.parametrize("changes", [{"steps": 1}, {"steps": 60}, {"cfg": 1}, {"cfg": 20}, {"images": 4}])
def test_the_ends_of_the_ranges_are_allowed(changes: dict[str, Any]) -> None:
    resolve(**changes)


@given(st.integers(0, MAX_SEED))
def test_every_seed_is_taken_as_it_is(seed: int) -> None:
    request = resolve(seed=str(seed))
    assert request.seed == seed
    assert 0 <= request.seed_of(3) <= MAX_SEED


@given(st.randoms(use_true_random=False))
def test_a_random_seed_is_a_seed(rng: random.Random) -> None:
    assert 0 <= BOOK.resolve(OPTIONS, CARD, rng).seed <= MAX_SEED


@given(st.text())
def test_any_prompt_is_taken_or_refused_and_never_raises_anything_else(prompt: str) -> None:
    try:
        request = resolve(prompt=prompt)
    except MemberError:
        return
    assert request.prompt.split() == prompt.split()


WEIGHED = [
    "(bad hands:1.5)",
    "( Bad Hands : .5 )",
    "(bad hands：1.5)",
    "( Bad Hands ： １．５ )",
    "(bad hands)",
    "{{bad hands}}",
    "[bad hands]",
    "bad hands::1.5",
    "hat, bad hands::0 glove",
    "(hat, bad hands:1.2), glove",
    "(hat, [bad hands]:1.2)",
    "(bad hands, hat)::1.2",
    "bad hands {hat}::1.5",
    "文字、(bad hands:1.5)、hat",
    ":( (bad hands:1.5) [x)",
]


@pytest.mark.parametrize("negative", WEIGHED)
def test_a_term_that_the_member_weighs_is_not_added_once_more(negative: str) -> None:
    rest = BOOK.anatomy.replace("bad hands, ", "")
    assert resolve(negative=negative).negative_prompt == f"{rest}, {negative}"


@pytest.mark.parametrize(
    "negative",
    [
        r"\(bad hands\)",
        r"bad hands\::1.5",
        r"(bad hands\：1.5)",
        "（bad hands：1.5）",
        "(very bad hands:1.5)",
        "bad (hands:1.5)",
        "(bad hands",
        "bad hands) hat",
        "bad hands, hat::1.5",
        "x bad hands::1.5",
    ],
)
def test_other_words_and_words_without_a_weight_leave_the_baseline_whole(negative: str) -> None:
    added = negative.removeprefix("bad hands, ")
    assert resolve(negative=negative).negative_prompt == f"{BOOK.anatomy}, {added}"


def test_a_term_of_the_prompt_that_the_member_weighs_is_not_added_once_more() -> None:
    book = PresetBook(
        default="Film",
        anatomy="",
        presets=[Preset(name="Film", description={}, prompt="film grain, (red sky, dusk:1.2), (moon)")],
    )
    options = replace(OPTIONS, prompt="1girl, (film grain:0.5), {moon}, (dusk:2)")
    request = book.resolve(options, CARD, random.Random(1))
    # A group goes when all of it is weighed by the member.
    assert request.prompt == "1girl, (film grain:0.5), {moon}, (dusk:2), (red sky, dusk:1.2)"


@given(st.text() | st.text(alphabet="()[]{}\\:, .15ab"))
def test_any_negative_prompt_leaves_no_term_of_the_baseline_out_unless_it_has_it(negative: str) -> None:
    try:
        request = resolve(negative=negative)
    except MemberError:
        return
    for term in BOOK.anatomy.split(", "):
        assert term in request.negative_prompt.casefold()


def test_autocomplete_finds_by_part_of_a_name() -> None:
    assert [preset.name for preset in BOOK.search("detail")] == [
        "More Details",
        "2022 Artstyle + More Details",
    ]
    assert list(find_sizes("768", CARD)) == ["portrait", "landscape"]


def test_every_shipped_preset_has_a_description_in_both_languages() -> None:
    for preset in BOOK.presets:
        assert set(preset.description) == {"en", "ja"}
        assert all(preset.description.values())
    assert BOOK.get(None).name == "None"
