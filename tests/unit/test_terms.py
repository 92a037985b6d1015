"""Terms are joined without repeats, and nothing of them is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.terms import join_terms


@given(st.lists(st.text(alphabet="abA ,"), max_size=4))
def test_joining_again_adds_nothing(parts: list[str]) -> None:
    def terms(text: str) -> list[str]:
        return [" ".join(term.split()).casefold() for term in text.split(",") if term.strip()]

    joined = join_terms(*parts)
    assert terms(join_terms(joined, *parts)) == list(dict.fromkeys(terms(joined)))


@given(st.lists(st.text(alphabet="ab ,(){}[]:1."), max_size=4))
def test_joining_loses_no_character_that_means_anything(parts: list[str]) -> None:
    letters = {character for part in parts for character in part} - set(" ,")
    assert letters <= set(join_terms(*parts))


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        ([r"a\, b", "b"], r"a\, b, b"),
        ([r"saber \(fate, hat", "hat"], r"saber \(fate, hat"),
        ([r"saber \(a, b\)", "b"], r"saber \(a, b\), b"),
        ([r"(a \), b:1.2)", "b"], r"(a \), b:1.2), b"),
        ([r"a \\, b", "b"], r"a \\, b"),
        # A backslash at an end is a character: it must not make words of the comma that joins.
        (["a\\", "b", "b"], r"a\\, b"),
        (["a\\ , b", "b"], r"a\\, b"),
    ],
)
def test_a_backslash_takes_the_meaning_of_a_bracket_or_comma(parts: list[str], joined: str) -> None:
    assert join_terms(*parts) == joined


@given(st.lists(st.text(alphabet="ab ,\\"), max_size=4))
def test_joining_what_was_joined_changes_nothing(parts: list[str]) -> None:
    joined = join_terms(*parts)
    assert join_terms(joined) == joined
    assert join_terms(joined, *parts) == joined
