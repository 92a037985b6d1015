"""What is a weight in a prompt, and what stays as it was typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.worker.prompt_weights import MAX_WEIGHT, Fragment, clean, escape, parse, read_prompt

SYNTAX = r"()[]{}\:"
ANY_TEXT = st.text() | st.text(alphabet=SYNTAX + ",、ab 1.5青🎨")
PLAIN_TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters=SYNTAX))


def rounded(text: str) -> list[tuple[str, float]]:
    return [(fragment.text, round(fragment.weight, 4)) for fragment in parse(text)]


def words_of(fragments: list[Fragment]) -> str:
    return "".join(fragment.text for fragment in fragments)


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("a (b) c", [("a ", 1), ("b", 1.1), (" c", 1)]),
        ("a {b} c", [("a ", 1), ("b", 1.1), (" c", 1)]),
        ("a [b] c", [("a ", 1), ("b", 0.9091), (" c", 1)]),
        ("a (b:1.2) c", [("a ", 1), ("b", 1.2), (" c", 1)]),
        ("(a, b : .5 )", [("a, b ", 0.5)]),
        ("(a:0)", [("a", 0)]),
        ("(a:1.2:1.3)", [("a:1.2", 1.3)]),
        ("a::1.5 b", [("a", 1.5), (" b", 1)]),
        ("青い髪::1.5メイド", [("青い髪", 1.5), ("メイド", 1)]),
        ("red eyes::1.5 cat ears::0.8 sky", [("red eyes", 1.5), (" cat ears", 0.8), (" sky", 1)]),
        ("a::1.5.", [("a", 1.5), (".", 1)]),
    ],
)
def test_weights(text: str, fragments: list[tuple[str, float]]) -> None:
    assert rounded(text) == fragments


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("((a))", [("a", 1.21)]),
        ("{(a) b}", [("a", 1.21), (" b", 1.1)]),
        ("[(a)]", [("a", 1)]),
        ("(a (b:1.5))", [("a ", 1.1), ("b", 1.65)]),
        ("(" * 14 + "a" + ")" * 14, [("a", MAX_WEIGHT)]),
        ("((a:3):0.1)", [("a", 0.3)]),
        # A term's weight is one more bracket around the term.
        ("(a b::1.5 c)", [("a b", 1.65), (" c", 1.1)]),
        ("(a, b)::1.5 c", [("a, b", 1.65), (" c", 1)]),
        ("(a) b::1.5", [("a", 1.65), (" b", 1.5)]),
        ("x, (a) b::1.5", [("x,", 1), (" ", 1.5), ("a", 1.65), (" b", 1.5)]),
    ],
)
def test_nested_weights_multiply(text: str, fragments: list[tuple[str, float]]) -> None:
    assert rounded(text) == fragments


@pytest.mark.parametrize("comma", [",", "，", "、"])
def test_a_weight_after_a_term_reaches_back_to_the_last_comma(comma: str) -> None:
    text = f"a{comma} b::1.5 c"
    assert rounded(text) == [(f"a{comma}", 1), (" b", 1.5), (" c", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "C++",
        "1.21.5",
        "a::1.21.5",
        "std::vector",
        "std::2nd",
        "fe80::1:2",
        ":: a :: b",
        "::1.5",
        "a, ::1.5",
        "a::4",
        "12:30",
        ":)",
        ":( a :[ b ;{",
        "() [] {}",
        "(:3)",
        "(:1.2)",
        "(a:1.2",
        "a:1.2)",
        "a] b} c)",
        "https://example.com:8080/a?b=1&c=2#d",
        "<lora:name:0.8>",
        "a <!> b",
        "a BREAK b",
        "（青い髪：１．２）",
        "👩‍🎨 🎨️ ｶﾞ \\o/",
    ],
)
def test_what_is_no_weight_is_words(text: str) -> None:
    assert parse(text) == [Fragment(text, 1.0)]


def test_a_number_beyond_the_largest_weight_is_words() -> None:
    assert rounded("(at 12:30)") == [("at 12:30", 1.1)]


def test_a_bracket_without_its_other_half_does_not_tear_another_pair() -> None:
    assert rounded("(a [b) c]") == [("a [b", 1.1), (" c]", 1)]
    assert rounded("((a)") == [("(", 1), ("a", 1.1)]


def test_escaped_syntax_is_words() -> None:
    assert parse(r"saber \(fate\) \[a\] \{b\} c\::1.5 \\ \d") == [
        Fragment(r"saber (fate) [a] {b} c::1.5 \ \d", 1.0)
    ]
    assert rounded(r"(cat \:3)") == [("cat :3", 1.1)]


@pytest.mark.parametrize("comma", [",", "，", "、"])
def test_an_escaped_comma_ends_no_term(comma: str) -> None:
    assert rounded(rf"x, a\{comma} b::1.5 c") == [("x,", 1), (f" a{comma} b", 1.5), (" c", 1)]


@given(PLAIN_TEXT)
def test_text_without_syntax_is_one_fragment(text: str) -> None:
    assert parse(text) == ([Fragment(text, 1.0)] if text else [])


@given(ANY_TEXT)
def test_escaped_text_is_itself(text: str) -> None:
    assert parse(escape(text)) == ([Fragment(text, 1.0)] if text else [])


@given(ANY_TEXT)
@example("((a)::1.5, b")
@example("[a (b] c::2) d")
def test_any_text_has_a_meaning(text: str) -> None:
    fragments = parse(text)
    assert all(0 <= weight <= MAX_WEIGHT and words for words, weight in fragments)
    # Only syntax goes: whatever is left stands in its old order.
    rest = iter(text)
    assert all(character in rest for character in words_of(fragments))
    gone = len(text) - len(words_of(fragments))
    assert gone == 0 or gone <= sum(character in SYNTAX + "0123456789. " for character in text)


@given(st.lists(st.tuples(st.sampled_from("()[]{}"), st.text("ab, ", max_size=3)), max_size=30))
def test_brackets_take_no_word(pieces: list[tuple[str, str]]) -> None:
    text = "".join(bracket + words for bracket, words in pieces)
    kept = words_of(parse(text))
    assert [c for c in kept if c not in "()[]{}"] == [c for c in text if c not in "()[]{}"]


@given(st.lists(st.tuples(st.text("ab 青", min_size=1).filter(str.strip), st.integers(0, 30))))
def test_weighted_terms_keep_their_weights(terms: list[tuple[str, int]]) -> None:
    expected = [Fragment(words, weight / 10) for words, weight in terms]
    assert parse("".join(f"({words}:{weight / 10})" for words, weight in terms)) == expected
    # A letter right after the number would make it none, so each term begins with a space.
    expected = [Fragment(f" {words}", weight / 10) for words, weight in terms]
    assert parse("".join(f" {words}::{weight / 10}" for words, weight in terms)) == expected


GUIDES = [Path(__file__).parents[2] / "docs/how-to" / name for name in ("member.md", "member.ja.md")]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
@pytest.mark.parametrize(
    ("example", "fragments"),
    [
        (r"saber \(fate\)", [("saber (fate)", 1)]),
        (r"red\, white and blue::1.3", [("red, white and blue", 1.3)]),
        ("(青い髪：１．３)", [("青い髪", 1.3)]),
        ("(bad hands:1.5)", [("bad hands", 1.5)]),
    ],
)
def test_what_the_members_guides_say_is_so(
    page: Path, example: str, fragments: list[tuple[str, float]]
) -> None:
    assert example in page.read_text(encoding="utf-8")
    assert [tuple(fragment) for fragment in read_prompt(example)] == fragments


# --- cleaning ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  Blue\t\nHair\u3000", "blue hair"),
        ("cafÃ© ’90s", "café '90s"),
        ("a &amp;amp; b &lt;3", "a & b <3"),
        ("a < b &amp;lt; c", "a < b < c"),
        ("ＡＢＣ　ｶﾞ", "abc ガ"),
        ("青い髪 👩‍🎨 🎨️", "青い髪 👩‍🎨 🎨️"),
    ],
)
def test_text_is_cleaned_as_clip_was_trained(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_full_width_brackets_are_words() -> None:
    assert read_prompt("猫（白い：１．２）") == [Fragment("猫(白い:1.2)", 1.0)]
    # Not even a backslash before one gives it a meaning.
    assert read_prompt(r"\（a＼（b") == [Fragment(r"\(a\(b", 1.0)]


@pytest.mark.parametrize(
    "text", ["(青い髪：1.3)", "(青い髪：１．３)", "(青い髪　：　1.3　)", "(青い髪:１．３)"]
)
def test_a_full_width_colon_before_the_number_of_a_half_width_bracket_is_one(text: str) -> None:
    assert [(words.strip(), weight) for words, weight in read_prompt(text)] == [("青い髪", 1.3)]
    assert read_prompt("((a：1.5) b：２)") == [Fragment("a", 3.0), Fragment(" b", 2.0)]


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("(青い髪：1.3）", [("(青い髪:1.3)", 1)]),
        ("（青い髪：1.3)", [("(青い髪:1.3)", 1)]),
        ("a：1.3", [("a:1.3", 1)]),
        ("a：：1.3", [("a::1.3", 1)]),
        ("(a：：1.3)", [("a::1.3", 1.1)]),
        ("(注：猫)", [("注:猫", 1.1)]),
        ("(時刻 12：30)", [("時刻 12:30", 1.1)]),
        (r"(cat \：3)", [("cat :3", 1.1)]),
    ],
)
def test_any_other_full_width_colon_is_words(text: str, fragments: list[tuple[str, float]]) -> None:
    assert [(words, round(weight, 4)) for words, weight in read_prompt(text)] == fragments


@pytest.mark.parametrize(
    "text",
    [
        "a <|startoftext|> b <|endoftext|>",
        "<|EndOfText|>",
        "<|end<|endoftext|>oftext|>",
        "&lt;|endoftext|&gt; &amp;lt;|endoftext|&amp;gt;",
        "＜｜endoftext｜＞",
        "<|endof(text:1)|> (<|endof)text|> <|endof::1text|>",
        "<|endof\\text|> <|endof()text|>",
    ],
)
def test_no_fragment_has_a_special_token(text: str) -> None:
    fragments = read_prompt(text)
    assert not any(token in text for text, _ in fragments for token in ("<|startoftext|>", "<|endoftext|>"))


@given(st.text(alphabet=st.characters()) | ANY_TEXT)
def test_any_text_can_be_read(text: str) -> None:
    for fragment in read_prompt(text):
        fragment.text.encode()  # lone surrogates included
