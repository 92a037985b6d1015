"""Folding: one spelling for the many ways in which a word can be written."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.safety.folding import fold, read, skeleton

TEXTS = st.text(max_size=200) | st.text(
    alphabet=st.sampled_from(
        "aAlLiI1!|$@*+&;#38xamp<b/>(): ,.\u200b\u0301\u3099ロリろりーｶﾞ🇦🅰ａа𝓪ﬁ\U000e0061ß"
    ),
    max_size=200,
)


@pytest.mark.parametrize(
    "written",
    [
        "Plonk",
        "ｐｌｏｎｋ",
        "𝓹𝓵𝓸𝓷𝓴",
        "🅿🅻🅾🅽🅺",
        "🇵🇱🇴🇳🇰",
        "Ⓟⓛⓞⓝⓚ",
        "рlоnк",  # Cyrillic er, o and ka
        "ρlοnκ",  # Greek rho, omicron and kappa
        "p\u200bl\u00ado\u2060nk\ufe0f",
        "p\U000e0041lonk",
        "p̷̢l̸ó̀ǹḱ",
        "&#112;lonk",
        "&amp;amp;#x70;lonk",
        "p<b>lo</b>nk",
    ],
)
def test_one_word_in_many_letters(written: str) -> None:
    assert fold(written).replace(" ", "") == "plonk"


@pytest.mark.parametrize(
    ("written", "pieces"),
    [
        ("pl(onk:1.3)", ["pl", "onk"]),
        ("((pl:1.2)(onk:.8))", ["pl", "onk"]),
        ("plonk::1.5", ["plonk"]),
        ("p.l-o_n/k", ["p", "l", "o", "n", "k"]),
        ("1plonk2", ["1", "plonk", "2"]),
        ("Anna's plonk!", ["anna", "plonk"]),
        ("p|onk p!onk $onk", ["p", "|", "onk", "p", "!", "onk", "$", "onk"]),
        ("age:14)", ["age", "14"]),
        ("", []),
        ("?!", []),
    ],
)
def test_pieces(written: str, pieces: list[str]) -> None:
    assert list(read(fold(written)).pieces) == pieces


@pytest.mark.parametrize("written", ["ホゲ", "ほげ", "ﾎｹﾞ", "ホー〜ゲ"])
def test_kana_are_one_script(written: str) -> None:
    assert read(fold(written)).letters == "ほげ"


def test_a_capital_i_can_be_an_l() -> None:
    assert read(fold("pIonk")).letters == read(fold("plonk")).letters
    assert read(fold("fiIm")).letters == read(fold("film")).letters
    assert read(fold("fIiM")).letters == read(fold("fliM")).letters


def test_voiced_kana_stay_voiced() -> None:
    assert fold("ガ") == "ガ"
    assert fold("ﾊﾟ") == "パ"


def test_a_skeleton_knows_no_doubled_letters_and_no_digits() -> None:
    assert skeleton("plloonnkk") == "pionk"
    assert skeleton("p10nk") == skeleton("pl0nk") == skeleton("pi0nk") == "pionk"


@given(TEXTS)
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(TEXTS)
def test_the_places_of_a_reading_fit_its_letters(text: str) -> None:
    reading = read(fold(text))
    assert len(reading.pieces) == len(reading.gaps) == len(reading.starts) - 1 or not reading.pieces
    assert reading.starts[-1] == len(reading.letters)
    assert list(reading.starts) == sorted(set(reading.starts)) or not reading.pieces


@given(st.text(max_size=300))
def test_a_text_grows_by_a_bounded_factor(text: str) -> None:
    # Then the passes, of which there is a fixed number, take time in proportion to the text as well.
    longest = max((len(unicodedata.normalize("NFKD", char).casefold()) for char in text), default=1)
    assert len(fold(text)) <= max(longest, 4) * len(text)
