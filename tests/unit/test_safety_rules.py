"""The logic of the prompt check, with words that mean nothing: what is found, and what it decides."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import OperatorError
from bot.safety.levels import LEVELS, Level
from bot.safety.rules import HostRules, RuleFile, Rules, ServerLists
from bot.safety.screen import MAX_OTHER, MAX_PROMPT, PromptScreen
from engine.worker.prompt_weights import clean

# blarg and its like are sexual, plonk is suggestive, wibble a minor, dweeb youthful, and so on.
RULES = msgspec.toml.decode(
    """
    ordinary = ["bland", "zu per", "flom"]

    [[group]]
    category = "sexual"
    plural = true
    terms = ["blarg", "grumfit", "big frobnitz", "zuper", "floom", "ほげ", "模模"]

    [[group]]
    category = "sexual"
    follows = true
    terms = ["ふが"]

    [[group]]
    category = "sexual"
    terms = ["quux"]
    unless = ["hedgehog"]

    [[group]]
    category = "suggestive"
    terms = ["plonk"]

    [[group]]
    category = "minor"
    terms = ["wibble"]

    [[pattern]]
    category = "minor"
    regex = '(?<!\\d)(?:1[0-7]|[0-9])[\\W_]?zo(?![a-z])'

    [[group]]
    category = "youthful"
    terms = ["dweeb"]

    [[group]]
    category = "person"
    terms = ["xavier nobody"]

    [[group]]
    category = "human"
    terms = ["figurine"]

    [[group]]
    category = "adult"
    terms = ["oldish"]

    [[group]]
    category = "clothing"
    terms = ["garb"]

    [[group]]
    category = "garment"
    terms = ["tunic", "toga", "poncho"]

    [[group]]
    category = "safe"
    terms = ["prim"]

    [[group]]
    category = "benign"
    terms = ["captain blarg", "wibble wobble"]

    [[group]]
    category = "benign"
    before = ["no", "without any"]
    terms = ["blarg"]

    [[group]]
    category = "named"
    terms = ["wibble of oz", "dweeb palace"]

    [[group]]
    category = "disclaimer"
    before = ["no"]
    terms = ["grumfit"]
    """,
    type=RuleFile,
)
SCREEN = PromptScreen(Rules.of([RULES], version="test"))


def reasons(prompt: str, level: Level = "default", *, negative: str = "") -> tuple[str, ...]:
    return SCREEN.check(prompt, level=level, negative=negative).reasons


@pytest.mark.parametrize(
    "written",
    [
        "blarg", "BLARG", "blargs", "a blarg.", "b.l.a.r.g", "b l a r g", "bl4rg",
        "b1arg", "8larg", "blaaarg", "bblaarrgg", "bl(arg:1.3)", "(bl:1.1)(arg:1.2)",
        "bl[ar]g", "bla rg", "bl-arg", "b*arg", "bl**arg", "b***g", "bl●rg", "blаrg",
        "ｂｌａｒｇ", "b\u200blarg", "b̶l̶a̶r̶g̶", "gralb", "blarg_girl", "1blarg", "blarg2",
        "cute*blarg", "grumfitblarg", "bl&#97;rg", "big frobnitz", "bigfrobnitz",
        "big_frobnitz", "b1g fr0bn1tz", "big fro bnitz", "floom",
        "flooom", "flo.om", "f l o o m", "ほげ", "ホゲ", "ﾎｹﾞ", "ほ・げ", "ホ ゲ", "ホーゲー", "模模",
        "大模模的", "模.模", "$blarg$", "bl@rg", "ふが", "木のふが", "きのふがです", "小さなふが",
        "きれいフガ", "きれいなふが", "かわいいふが", "かわいいふがと", "木とふが", "木ふがと", "みたふが",
    ],
)  # fmt: skip
def test_a_word_is_found_however_it_is_written(written: str) -> None:
    assert reasons(written) == ("sexual",)


@pytest.mark.parametrize(
    "written",
    [
        "blargle", "ablarg", "bl arg nothing larg"[3:6], "larg", "bla", "frobnitz", "big, frobnitz",
        "bland", "zu per", "flom", "10 000", "81479", "captain blarg",
        "Captain Blarg's hat", "no blarg", "without any blarg", "no grumfit",
        "quux and hedgehog", "ほ", "すごほげ", "木のほげ",
        "すごふが", "いふがの木", "木のいふが", "木がとふが", "と、いふがの", "模", "", "…", "\u200b",
        "plonk", "dweeb", "xavier nobody", "figurine",
    ],
)  # fmt: skip
def test_other_words_are_not(written: str) -> None:
    assert reasons(written) == ()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("wibble blarg", ("sexual_minor", "sexual")),
        ("wibble plonk", ("sexual_minor",)),
        ("dweeb blarg", ("sexual_minor", "sexual")),
        ("12zo blarg", ("sexual_minor", "sexual")),
        ("captain blarg with a wibble", ("minor",)),
        ("wibble wobble blarg", ("sexual",)),
        ("wibble, no blarg", ("minor",)),
        ("wibble, no grumfit", ("sexual_minor",)),  # formal words only disclaim beside a minor
        ("wibble, quux and hedgehog", ("sexual_minor",)),
        ("wibble", ("minor",)),
        ("wibble of oz, dweeb palace", ()),
        ("wibble of oz, no grumfit, captain blarg", ()),
        ("wibble of oz, quux and hedgehog", ()),
        ("wibble of oz, a wibble", ("minor",)),
        ("wibble of oz blarg", ("sexual_minor", "sexual")),
        ("wibble of oz plonk", ("sexual_minor",)),
        ("dweeb palace blarg", ("sexual_minor", "sexual")),
        ("dweeb palace plonk", ()),
        ("9zo", ("minor",)),
        ("19zo", ()),
        ("dweeb plonk", ()),
        ("xavier nobody blarg", ("real_person_sexual", "sexual")),
        ("xavier nobody plonk", ("real_person_sexual",)),
        ("blarg", ("sexual",)),
    ],
)
def test_what_words_mean_together(level: Level, prompt: str, expected: tuple[str, ...]) -> None:
    if level == "age-restricted":
        expected = tuple(code for code in expected if code != "sexual")
    verdict = SCREEN.check(prompt, level=level)
    assert verdict.reasons == expected
    assert verdict.decision == ("allow" if not expected else "strict" if expected == ("minor",) else "refuse")


@pytest.mark.parametrize(
    ("prompt", "negative", "expected"),
    [
        ("figurine", "blarg, wibble, plonk", ()),
        ("figurine", "garb", ("sexual",)),
        ("teapot", "garb", ()),
        ("figurine", "tunic, toga", ()),
        ("figurine", "tunic, toga, poncho", ("sexual",)),
        ("teapot", "prim", ("sexual",)),
        ("wibble", "garb", ("sexual_minor", "sexual")),
        ("wibble of oz", "blarg", ()),
        ("wibble of oz", "garb", ("sexual_minor", "sexual")),
        ("wibble of oz", "prim", ("sexual_minor", "sexual")),
        ("dweeb palace", "tunic, toga, poncho", ("sexual_minor", "sexual")),
        ("wibble", "g4r.b", ("sexual_minor", "sexual")),
        ("blarg", "oldish", ("sexual_minor", "sexual")),
        ("figurine", "oldish", ()),
        ("xavier nobody", "garb", ("real_person_sexual", "sexual")),
    ],
)
def test_what_a_negative_prompt_means(prompt: str, negative: str, expected: tuple[str, ...]) -> None:
    assert reasons(prompt, negative=negative) == expected


def test_other_texts_are_read_like_the_prompt() -> None:
    assert SCREEN.check("wibble", others=["nothing", "blarg.png"]).reasons == ("sexual_minor", "sexual")
    assert SCREEN.check("nothing", others=["b l a r g"]).reasons == ("sexual",)


def test_lists_of_servers_and_hosts() -> None:
    host = HostRules(block=["Rival Cola", "ホスト"], allow=["life drawing blarg"])
    screen = PromptScreen(Rules.of([RULES], host=host))
    server = ServerLists(block=("gloop", "rival tea"), allow=("blarg sundae", "rival tea party"))
    assert screen.check("r1val c.o.l.a").reasons == ("host_list",)
    assert screen.check("ほすと").reasons == ("host_list",)
    assert screen.check("gl0op", server=server).reasons == ("server_list",)
    assert screen.check("gloop").reasons == ()
    assert screen.check("a rival tea party", server=server).reasons == ()
    assert screen.check("life drawing blarg").reasons == ()
    assert screen.check("life drawing b1arg").reasons == ("sexual",)
    assert screen.check("life drawing blarg, blarg").reasons == ("sexual",)
    assert screen.check("blarg sundae", server=server).reasons == ("server_allowed",)
    assert screen.check("blarg sundae", server=ServerLists()).reasons == ("sexual",)


PLAIN = PromptScreen(Rules.of([]))
"""Without rules: the lists of servers alone count."""


@pytest.mark.parametrize(
    "written",
    [
        "gundams",
        "two Gundams",
        "gund4m",
        "gund4ms",
        "g.u.n.d.a.m",
        "g u n d a m s",
        "g_u_n_d_a_m_s",
        "gun*am",
        "g*nd*m",
        "gundam's",
        "ｇｕｎｄａｍｓ",
        "gundаm",  # a Cyrillic letter
        "rival’s mascots",
        "rival's m4sc0t",
        "berries",
        "b3rries",
        "foxes",
        "ドラゴンたち",
    ],
)
def test_a_blocked_word_is_found_in_its_disguises_and_in_the_plural(written: str) -> None:
    block = ("gundam", "rival's mascot", "berry", "fox", "ドラゴン")
    assert PLAIN.check(f"a drawing, {written}", server=ServerLists(block=block)).reasons == ("server_list",)
    host = PromptScreen(Rules.of([], host=HostRules(block=list(block))))
    assert host.check(f"a drawing, {written}").reasons == ("host_list",)


@pytest.mark.parametrize("word", ["madnug", "gundamium", "category", "catering", "god", "scats"])
def test_other_words_than_the_blocked_ones_are_not(word: str) -> None:
    lists = ServerLists(block=("gundam", "cat", "dog"))
    assert PLAIN.check(f"a drawing of {word}", server=lists).decision == "allow"


def test_nothing_allows_what_is_about_minors() -> None:
    server = ServerLists(allow=("wibble blarg", "blarg", "wibble"))
    for level in LEVELS:
        assert "sexual_minor" in SCREEN.check("wibble blarg", level=level, server=server).reasons


def test_a_server_cannot_allow_more_than_strict_pictures_nor_people() -> None:
    server = ServerLists(allow=("blarg", "famous person"))
    assert SCREEN.check("blarg", server=server).decision == "strict"
    assert SCREEN.check("blarg", server=server).reasons == ("server_allowed",)
    assert SCREEN.check("blarg", level="age-restricted", server=server).decision == "strict"


@given(st.sampled_from(["blarg", "wibble blarg", "a blarg, b"]))
def test_what_the_model_would_repair_is_read_repaired(text: str) -> None:
    wide = "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)
    mojibake = wide.encode().decode("sloppy-windows-1252")
    entities = "".join(f"&amp;#{ord(char)};" for char in text)
    for disguised in (wide, mojibake, entities):
        assert clean(disguised) == clean(text), "the model would draw it"
        assert SCREEN.check(disguised).decision == "refuse"


def test_long_texts_are_refused_unread() -> None:
    assert SCREEN.check("a" * MAX_PROMPT).decision == "allow"
    assert reasons("a" * (MAX_PROMPT + 1)) == ("too_long",)
    assert reasons("a", negative="a" * (MAX_OTHER + 1)) == ("too_long",)
    assert SCREEN.check("a", others=["a" * MAX_OTHER, "b"]).reasons == ("too_long",)


def test_the_version_tells_rules_apart() -> None:
    versions = {
        Rules.of([RULES], version="1").version,
        Rules.of([RULES], version="2").version,
        Rules.of([RULES], version="1", host=HostRules(block=["a"])).version,
        Rules.of([RuleFile()], version="1").version,
    }
    assert len(versions) == 4
    assert Rules.of([RULES], version="1").version in versions
    assert (
        SCREEN.check("a").policy_version == SCREEN.policy_version == Rules.of([RULES], version="test").version
    )


@pytest.mark.parametrize("content", [b"block = 1", b"blocked = []", b"\xff", b"block = ["])
def test_a_wrong_file_of_the_host_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes(content)
    with pytest.raises(OperatorError, match=r"rules\.toml"):
        PromptScreen.load(path)


def test_a_missing_file_of_the_host_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"rules\.toml cannot be read"):
        PromptScreen.load(tmp_path / "rules.toml")


TEXTS = st.lists(
    st.sampled_from(
        ["blarg", "wibble", "b", "l", "arg", "*", " ", ".", "1", "ほげ", "模", "&#97;", "(", ":1.2)", "no "]
    )
    | st.text(max_size=5),
    max_size=40,
).map("".join)


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_any_text_gets_a_verdict(prompt: str, negative: str) -> None:
    for level in LEVELS:
        verdict = SCREEN.check(prompt, negative=negative, level=level)
        assert (verdict.decision == "allow") == (verdict.reasons == ())


@settings(deadline=None)
@given(st.sampled_from(LEVELS), TEXTS)
def test_more_words_never_make_a_minor_presentable(level: Level, more: str) -> None:
    spelled = f"wibble, blarg, {more}"
    decision = SCREEN.check(spelled, level=level).decision
    # Only a name or phrase of the rules around the words could: none of these begins with them.
    assert decision == "refuse"
