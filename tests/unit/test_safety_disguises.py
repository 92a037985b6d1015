"""Disguises that cannot be folded away: the text is read once more without them, and never instead."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.safety.disguises import repaired, undisguised
from bot.safety.folding import fold, read
from bot.safety.rules import RuleFile, Rules
from bot.safety.screen import PromptScreen
from engine.worker.prompt_weights import clean

RULES = msgspec.toml.decode(
    """
    [[group]]
    category = "sexual"
    plural = true
    terms = ["plonk", "big frobnitz", "casto"]

    [[group]]
    category = "minor"
    terms = ["wibble"]

    [[pattern]]
    category = "minor"
    regex = 'zo[\\W_]{0,2}1[0-7](?![0-9])'
    """,
    type=RuleFile,
)
SCREEN = PromptScreen(Rules.of([RULES]))


@pytest.mark.parametrize(
    "written",
    [
        r"\u0070\u006c\u006f\u006e\u006b",
        r"pl\u{6f}nk",
        r"\x70lonk",
        r"\U00000070lonk",
        "U+0070lonk",
        r"\ud83c\udd7flonk",  # the halves of a squared P
        "%70%6C%6f%6E%6B",
        "pl<!-- -->onk",
        "pl<!-- a word -->onk",
        'pl<i class="x">onk</i>',
        "pl<lora:x:1>onk",
        "pl<lora:a_b-c:0.8><:sign:123>onk",
        "||pl||onk",
        "p|l|o|n|k",
        "p*l*o*n*k",
        "p+l+o+n+k",
        "p'l'o'n'k",
        "p}{l}{o}{n}{k",
        "p🌸l🌸o🌸n🌸k",
        "pl**onk**",
        '"pl"+"onk"',
        "#PlonkArt",
        "PlonkArt",
        "xxplonkxx",
        "xxxplonkxxx",
        "pl\nonk",
        "pl-\nonk",
        "p\nl\no\nn\nk",
        "big\nfrobnitz",
        "(@sto",
        "big fr0bni+z",
        "\u202eknolp\u202c",
    ],
)
def test_a_word_is_found_in_its_disguise(written: str) -> None:
    assert SCREEN.check(written).reasons == ("sexual",)
    assert SCREEN.check(f"a tree, {written}, a house").reasons == ("sexual",)


@pytest.mark.parametrize("written", ["zo 14", "z-o  1-4", "z.o.1.4", "xxzo14xx", "zooo 14", "(z:1.1)(o 14)"])
def test_patterns_read_past_marks_within_words(written: str) -> None:
    assert SCREEN.check(written).reasons == ("minor",)


@pytest.mark.parametrize(
    "written", ["zo 1.25 k", "zo 2, 14", "pl onto k", "(cat:1.2) (dog", "50%", r"C:\user", "a+ b"]
)
def test_ordinary_signs_hide_nothing(written: str) -> None:
    assert SCREEN.check(written).reasons == ()


@pytest.mark.parametrize(
    "written",
    [
        "plonk\\u0061",
        "plonk%61",
        "<!-- plonk -->",
        "pLonK",
        "xxplonkxx",
        "plonk||a",
        "<lora:plonk:1>",
        "plonk*a*b*c",
    ],
)
def test_a_disguise_hides_no_word_that_is_there_without_it(written: str) -> None:
    assert SCREEN.check(written).reasons == ("sexual",)


def test_only_what_was_disguised_is_read_again() -> None:
    text = "a tree, " * 50 + "#PlonkArt, " + "a house, " * 50
    again = undisguised(text, fold(text))
    assert "plonk art" in again
    assert len(again) < 100
    assert undisguised("1girl, tree", "1girl, tree") == ""


MOJIBAKE = st.text(max_size=20).map(
    lambda text: text.encode(errors="ignore").decode("sloppy-windows-1252", errors="ignore")
)
TEXTS = st.text(max_size=60) | st.lists(MOJIBAKE | st.text(max_size=5), max_size=4).map("".join)
WORD = st.sampled_from(["plonk", "ｐｌｏｎｋ", "Plönk"])


@given(TEXTS, TEXTS, WORD)
@example("\x8e", "Ā", "ｐｌｏｎｋ")
def test_what_the_model_is_given_is_read(before: str, after: str, word: str) -> None:
    text = f"{before} {word.encode().decode('sloppy-windows-1252')} {after}"
    if "plonk" in fold(clean(text)).split():
        assert "pionk" in read(fold(repaired(text))).letters


@given(TEXTS)
def test_any_text_can_be_undisguised(text: str) -> None:
    folded = fold(text)
    assert len(undisguised(text, folded)) <= 4 * len(text) + len(folded)
