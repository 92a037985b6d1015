"""When a window that rolls has room again, against a look at every moment at which it could."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.limits import Grant
from bot.quotas import Rate
from bot.rolling import TICK, comes_back, when_affordable, when_free

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WINDOW = timedelta(hours=24)

ages = st.integers(0, 24 * 60).map(lambda minutes: NOW - timedelta(minutes=minutes))
entries = st.lists(st.tuples(ages, st.integers(-20, 100)), max_size=12)
grants = st.lists(
    st.builds(
        lambda left, hours: Grant(
            id=1, left=left, expires_at=None if hours is None else NOW + timedelta(hours=hours)
        ),
        st.integers(1, 60),
        st.none() | st.integers(1, 30),
    ),
    max_size=4,
)


def used_at(moment: datetime, taken: list[tuple[datetime, int]]) -> int:
    """What counts at a moment: all that is not older than the window is long."""
    return sum(used for at, used in taken if at >= moment - WINDOW)


def first_moment(taken: list[tuple[datetime, int]], allowed: int, gifts: list[Grant]) -> datetime | None:
    """The naive answer. Room comes only when an entry leaves, so only those moments are looked at."""
    for moment in sorted({at + WINDOW + TICK for at, _ in taken}):
        paid = sum(grant.left for grant in gifts if grant.expires_at is None or moment < grant.expires_at)
        if used_at(moment, taken) <= allowed + paid:
            return moment
    return None


@given(entries, st.integers(0, 300))
def test_there_is_room_at_the_first_moment_at_which_enough_has_left(
    taken: list[tuple[datetime, int]], allowed: int
) -> None:
    need = used_at(NOW, taken) - allowed
    if need <= 0:  # there is room now, and nobody asks
        return
    assert when_free(taken, need, WINDOW) == first_moment(taken, allowed, [])


@given(entries, st.integers(0, 300))
def test_more_comes_back_when_more_is_left_and_all_when_nothing_is_used(
    taken: list[tuple[datetime, int]], amount: int
) -> None:
    used = used_at(NOW, taken)
    moments = sorted({at + WINDOW + TICK for at, _ in taken})

    def left(moment: datetime) -> int:
        return amount - max(used_at(moment, taken), 0)

    back = comes_back(taken, used=used, amount=amount, window=WINDOW)
    if used <= 0 or not amount:
        assert back is None
        return
    assert back is not None
    assert back.next_at == next(at for at in moments if left(at) > max(left(NOW), 0))
    assert back.all_at == next(at for at in moments if left(at) == amount)


@given(entries, st.integers(0, 300), grants)
def test_grants_help_for_as_long_as_they_are_valid(
    taken: list[tuple[datetime, int]], allowed: int, gifts: list[Grant]
) -> None:
    """The answer is never too early; it is the first one, unless a grant runs out and others come free."""
    used = used_at(NOW, taken)
    if used <= allowed + sum(grant.left for grant in gifts):
        return
    when = when_affordable(taken, need=used - allowed, grants=gifts, window=WINDOW)
    first = first_moment(taken, allowed, gifts)
    if when is None:
        assert first is None or any(grant.expires_at for grant in gifts)
        return
    assert first is not None
    assert first <= when
    paid = sum(grant.left for grant in gifts if grant.expires_at is None or when < grant.expires_at)
    assert used_at(when, taken) <= allowed + paid


def test_an_entry_still_counts_when_it_is_exactly_as_old_as_the_window() -> None:
    when = when_free([(NOW, 5)], 5, WINDOW)
    assert when is not None
    assert when == NOW + WINDOW + TICK
    assert used_at(NOW + WINDOW, [(NOW, 5)]) == 5
    assert used_at(when, [(NOW, 5)]) == 0


def test_what_comes_back_leaves_with_what_was_taken() -> None:
    """A job's reservation and what it did not use count from the same moment."""
    assert when_free([(NOW, 10), (NOW, -8), (NOW + timedelta(hours=1), 3)], 3, WINDOW) == (
        NOW + timedelta(hours=1) + WINDOW + TICK
    )
    assert when_free([(NOW, 10), (NOW, -8)], 3, WINDOW) is None


@given(st.integers(1, 1000), st.integers(1, 86_400), st.integers(0, 1000))
def test_as_many_tokens_are_told_as_can_be_taken(count: int, seconds: int, taken: int) -> None:
    """From a full bucket the whole count, and one less after each."""
    rate = Rate(count=count, seconds=seconds)
    full_at: datetime | None = None
    assert rate.tokens(full_at, NOW) == count
    for number in range(min(taken, count)):
        assert rate.tokens(full_at, NOW) == count - number
        full_at, wait = rate.take(full_at, NOW)
        assert wait is None
    if taken >= count:
        assert rate.tokens(full_at, NOW) == 0
        assert rate.take(full_at, NOW)[1] is not None
