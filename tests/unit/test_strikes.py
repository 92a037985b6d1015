"""Strikes: what they weigh, how long the pauses are, and that time forgives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.safety.strikes import Strike, StrikeRules, strike_rules

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
RULES = StrikeRules(
    forget_after=30 * DAY,
    pauses=(10 * MINUTE, HOUR, DAY, 7 * DAY, 30 * DAY),
    weights={"report": 1, "sexual_minor": 2},
    everywhere=frozenset({"sexual_minor"}),
)


def strikes(*ages: timedelta, weight: int = 1) -> list[Strike]:
    """One for each age, with a decision of its own."""
    return [
        Strike(at=NOW - age, weight=weight, reason="report", decision_id=f"{number:032x}")
        for number, age in enumerate(ages)
    ]


def test_the_rules_that_ship() -> None:
    assert strike_rules() == RULES


@pytest.mark.parametrize(
    ("ages", "left"),
    [
        ([], None),
        ([timedelta(0)], 10 * MINUTE),
        ([9 * MINUTE], MINUTE),
        ([10 * MINUTE], None),
        ([HOUR, timedelta(0)], HOUR),
        ([3 * DAY, 2 * DAY, timedelta(0)], DAY),
        ([4 * DAY, 3 * DAY, 2 * DAY, timedelta(0)], 7 * DAY),
        ([5 * DAY, 4 * DAY, 3 * DAY, 2 * DAY, timedelta(0)], 30 * DAY),
        ([6 * DAY, 5 * DAY, 4 * DAY, 3 * DAY, 2 * DAY, timedelta(0)], 30 * DAY),
        ([30 * DAY, timedelta(0)], 10 * MINUTE),
        ([30 * DAY - MINUTE, timedelta(0)], HOUR),
    ],
)
def test_pauses_grow_and_old_strikes_are_forgotten(ages: list[timedelta], left: timedelta | None) -> None:
    pause = RULES.pause(strikes(*ages), NOW)
    assert (pause.until - NOW if pause is not None else None) == left


def test_a_heavy_reason_counts_for_more() -> None:
    pause = RULES.pause(strikes(timedelta(0), weight=2), NOW)
    assert pause is not None
    assert pause.until == NOW + HOUR


def test_the_pause_names_the_decision_that_it_can_be_appealed_by() -> None:
    first, second = strikes(2 * HOUR, MINUTE)
    pause = RULES.pause([second, first], NOW)
    assert pause is not None
    assert pause.decision_id == second.decision_id


@pytest.mark.parametrize(
    ("reasons", "heaviest"),
    [((), None), (("sexual",), None), (("report", "sexual_minor"), "sexual_minor"), (("report",), "report")],
)
def test_the_heaviest_reason_counts(reasons: tuple[str, ...], heaviest: str | None) -> None:
    assert RULES.heaviest(reasons) == heaviest


HISTORIES = st.lists(
    st.tuples(st.integers(0, 90 * 24 * 60), st.integers(1, 3)), max_size=12, unique_by=lambda pair: pair[0]
)


@given(HISTORIES)
def test_what_was_told_stays_true(history: list[tuple[int, int]]) -> None:
    """The pause that a strike brought ends when it was said to, however many are forgotten meanwhile."""
    start = NOW - 100 * DAY
    given: list[Strike] = []
    told = start
    for minutes, weight in sorted(history):
        at = start + minutes * MINUTE
        given.append(Strike(at=at, weight=weight, reason="report", decision_id=f"{minutes:032x}"))
        # The model: each strike adds a pause by the weight of the last 30 days.
        recent = sum(strike.weight for strike in given if at - 30 * DAY < strike.at <= at)
        told = max(told, at + RULES.pauses[min(recent, 5) - 1])
        pause = RULES.pause(given, at)
        assert pause is not None
        assert pause.until == told
        for later in (told - MINUTE, told):
            running = RULES.pause(given, max(later, at))
            assert (running is not None) == (max(later, at) < told)
            assert running is None or running.until == told


@given(HISTORIES, st.integers(0, 90 * 24 * 60))
def test_strikes_older_than_is_kept_change_nothing(history: list[tuple[int, int]], minute: int) -> None:
    """Upkeep may delete them."""
    now = NOW + minute * MINUTE
    all_of_them = [
        Strike(at=NOW + at * MINUTE, weight=weight, reason="report", decision_id=f"{at:032x}")
        for at, weight in history
    ]
    kept = [strike for strike in all_of_them if strike.at > now - RULES.kept_for]
    assert RULES.pause(kept, now) == RULES.pause(all_of_them, now)
