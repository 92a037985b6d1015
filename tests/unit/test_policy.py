"""What is shown where: thresholds, levels of places, and that nothing is shown without a decision."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.errors import OperatorError
from bot.safety.levels import LEVELS, Level, lowest
from bot.safety.places import HOST_PLACE, Place, ServerSafety, effective_level
from bot.safety.policy import RELEASE_DECISIONS, Policy
from bot.safety.release import ReleasedImage, judge_image
from engine.protocol import Image, Verdict
from tests.fixtures.safety import verdict

POLICY = Policy.load()
levels: st.SearchStrategy[Level] = st.sampled_from(LEVELS)
scores = st.floats(0, 1)


def strictness(decision: str) -> int:
    return [*RELEASE_DECISIONS].index(decision)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("level", "score", "decision"),
    [
        ("strict", 0.29, "show"),
        ("strict", 0.3, "withhold"),
        ("default", 0.29, "show"),
        ("default", 0.3, "spoiler"),
        ("default", 0.49, "spoiler"),
        ("default", 0.5, "withhold"),
        ("age-restricted", 0.69, "show"),
        ("age-restricted", 0.7, "spoiler"),
        ("age-restricted", 1.0, "spoiler"),
    ],
)
def test_the_thresholds_that_ship(level: Level, score: float, decision: str) -> None:
    assert POLICY.decide(verdict(score), level) == decision


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, "no_verdict"),
        (verdict(math.nan), "invalid_scores"),
        (verdict(-0.001), "invalid_scores"),
        (verdict(1.001), "invalid_scores"),
        (verdict(math.inf), "invalid_scores"),
        (Verdict(scores={}, model="m"), "invalid_scores"),
        (Verdict(scores={"porn": 0.0}, model="m"), "invalid_scores"),
        (Verdict(scores={"sexual": 0.0, "porn": math.nan}, model="m"), "invalid_scores"),
        (verdict(0.0, blocked="entry 7"), "blocked_hash"),
    ],
)
def test_what_is_missing_or_makes_no_sense_is_withheld(
    level: Level, found: Verdict | None, reason: str
) -> None:
    judgement = POLICY.judge(found, level)
    assert (judgement.decision, judgement.reasons) == ("withhold", (reason,))


@given(scores, scores, levels, levels, st.booleans())
def test_more_is_never_shown_for_a_higher_score_or_at_a_stricter_level(
    one: float, other: float, here: Level, there: Level, is_strict: bool
) -> None:
    low, high = sorted((one, other))
    strict = lowest(here, there)
    loose: Level = there if strict == here else here
    decisions = [
        POLICY.decide(verdict(low), loose),
        POLICY.decide(verdict(high), loose),
        POLICY.decide(verdict(high), strict),
        POLICY.decide(verdict(high), strict, is_strict=is_strict),
    ]
    assert sorted(decisions, key=strictness) == decisions


@given(scores, levels)
def test_a_strict_prompt_is_held_to_the_strictest_threshold_everywhere(score: float, level: Level) -> None:
    assert POLICY.decide(verdict(score), level, is_strict=True) == POLICY.decide(verdict(score), "strict")


# --- the host's own thresholds ---

OWN = """
version = "own"
[levels.strict]
withhold = {strict}
[levels.default]
spoiler = {spoiler}
withhold = {default}
[levels.age-restricted]
"""


def own_policy(folder: Path, strict: str = "0.2", spoiler: str = "0.4", default: str = "0.6") -> Policy:
    file = folder / "policy.toml"
    file.write_text(OWN.format(strict=strict, spoiler=spoiler, default=default))
    return Policy.load(file)


def test_a_host_can_have_other_thresholds(tmp_path: Path) -> None:
    policy = own_policy(tmp_path)
    assert policy.version == "own"
    assert policy.decide(verdict(0.3), "strict") == "withhold"
    assert policy.decide(verdict(0.3), "default") == "show"
    assert policy.decide(verdict(1.0), "age-restricted") == "show"


@pytest.mark.parametrize(
    "changes",
    [{"strict": "nan"}, {"strict": "-0.1"}, {"default": "1.1"}, {"strict": "0.7"}, {"spoiler": '"high"'}],
)
def test_thresholds_that_make_no_sense_end_the_start(tmp_path: Path, changes: dict[str, str]) -> None:
    with pytest.raises(OperatorError, match=r"policy\.toml"):
        own_policy(tmp_path, **changes)


@pytest.mark.parametrize("text", ["", "version = 1", "[levels.strict]\nwithhold = 0.3", "\0"])
def test_a_file_that_is_no_policy_ends_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(OperatorError, match=r"policy\.toml"):
        Policy.load(tmp_path / "policy.toml")
    with pytest.raises(OperatorError, match="No such file"):
        Policy.load(tmp_path / "none.toml")


# --- the level of a place ---

CHANNELS = [0, 7, 8]
places = st.builds(
    Place,
    guild_id=st.sampled_from([0, 5]),
    channel_id=st.sampled_from(CHANNELS),
    is_age_restricted=st.booleans(),
    is_known=st.booleans(),
)
servers = st.builds(
    ServerSafety, level=levels, channels=st.dictionaries(st.sampled_from(CHANNELS), levels, max_size=3)
)


@given(levels, servers, places)
@example("age-restricted", ServerSafety(level="age-restricted"), Place(is_age_restricted=True))
def test_the_level_of_a_place_is_the_lowest_of_all_who_have_a_say(
    cap: Level, server: ServerSafety, place: Place
) -> None:
    level = effective_level(cap, server, place)
    parties: list[Level] = [cap, server.level]
    if not (place.is_age_restricted and place.is_known):
        parties.append("default")
    if place.channel_id in server.channels:
        parties.append(server.channels[place.channel_id])
    assert all(lowest(level, party) == level for party in parties), "above nobody's"
    if place.is_known:
        assert level in parties, "and not lower than the lowest"


def test_a_channel_that_is_not_known_may_be_a_thread_of_any() -> None:
    server = ServerSafety(level="age-restricted", channels={7: "strict"})
    assert effective_level("age-restricted", server, Place(guild_id=5, channel_id=9)) == "default"
    unknown = Place(guild_id=5, channel_id=9, is_known=False)
    assert effective_level("age-restricted", server, unknown) == "strict"


def test_who_chose_nothing_shows_nothing_age_restricted() -> None:
    place = Place(guild_id=5, channel_id=7, is_age_restricted=True)
    assert effective_level("age-restricted", ServerSafety(), place) == "default"
    assert effective_level("age-restricted", ServerSafety(level="age-restricted"), place) == "age-restricted"


@pytest.mark.parametrize("cap", LEVELS)
def test_direct_messages_are_at_most_default_and_the_host_has_the_cap(cap: Level) -> None:
    assert effective_level(cap, ServerSafety(), Place()) == lowest(cap, "default")
    assert effective_level(cap, ServerSafety(), HOST_PLACE) == cap


# --- released pictures ---


def picture(found: Verdict | None) -> Image:
    return Image(png=b"png", seed=1, width=2, height=3, verdict=found)


def test_only_a_decision_releases_a_picture() -> None:
    facts = {"png": b"png", "seed": 1, "width": 2, "height": 3, "is_spoiler": False}
    with pytest.raises(TypeError, match="judge_image"):
        ReleasedImage(**facts)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="judge_image"):
        ReleasedImage(**facts, key=object())  # pyright: ignore[reportArgumentType]


@given(scores, levels, st.booleans())
def test_a_released_picture_is_the_judged_one(score: float, level: Level, is_strict: bool) -> None:
    judgement, released = judge_image(POLICY, picture(verdict(score)), level, is_strict=is_strict)
    assert (released is None) == (judgement.decision == "withhold")
    if released is not None:
        assert (released.png, released.seed) == (b"png", 1)
        assert released.is_spoiler == (judgement.decision == "spoiler")


def test_the_policy_survives_the_wire_of_a_verdict() -> None:
    """A score that is not a number stays one in msgpack, and is withheld behind it."""
    found = msgspec.msgpack.decode(msgspec.msgpack.encode(verdict(math.nan)), type=Verdict)
    assert POLICY.decide(found, "age-restricted") == "withhold"
