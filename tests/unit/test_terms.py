"""Terms are joined without repeats, and nothing of them is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.presets import PresetBook
from bot.terms import give_way, join_terms
from engine.worker.prompt_weights import Fragment, escape, parse

ANY_TEXT = st.text() | st.text(alphabet="()[]{}\\:,、ab 1.5青🎨")


def words_of(fragments: list[Fragment]) -> str:
    return "".join(fragment.text for fragment in fragments)


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


# --- as the worker reads them ---------------------------------------------------------------------------


def test_a_weight_in_a_members_negative_prompt_leaves_the_presets_words_alone() -> None:
    book = PresetBook.load()
    preset = book.get("2022 Artstyle").negative
    fragments = parse(join_terms(preset, book.anatomy, "text, blurry background::1.5"))
    assert fragments[-1] == Fragment(" blurry background", 1.5)
    assert [weight for _, weight in fragments[:-1]] == [1.0]


def written(term: str, form: str, weight: int) -> str:
    """A term with a weight of tenths, in one of the ways to write it."""
    return {"group": f"({term}:{weight / 10})", "term": f"{term}::{weight / 10}"}[form]


@given(
    st.dictionaries(
        st.sampled_from(PresetBook.load().anatomy.split(", ")),
        st.tuples(st.sampled_from(["group", "term"]), st.integers(0, 30)),
    )
)
def test_a_members_weight_is_the_only_one_that_a_term_has(weights: dict[str, tuple[str, int]]) -> None:
    own = ", ".join(written(term, *weight) for term, weight in weights.items())
    anatomy = PresetBook.load().anatomy
    fragments = parse(join_terms(give_way(anatomy, own), own))
    found = {
        words.strip(): weight
        for fragment, weight in fragments
        for words in fragment.split(",")
        if words.strip()
    }
    assert found == dict.fromkeys(anatomy.split(", "), 1.0) | {
        term: weight / 10 for term, (_, weight) in weights.items()
    }
    assert len("".join(words_of(fragments)).split(",")) == len(found), "each term is there once"


@given(st.lists(ANY_TEXT.filter(str.strip), unique_by=lambda text: " ".join(text.split()).casefold()))
def test_escaped_terms_are_joined_as_they_are(terms: list[str]) -> None:
    joined = join_terms(*map(escape, terms))
    assert words_of(parse(joined)) == ", ".join(term.strip() for term in terms)


def test_a_forgotten_bracket_leaves_the_presets_words_alone() -> None:
    assert [weight for _, weight in parse(join_terms("1girl, (smile", "film grain"))] == [1.0]
