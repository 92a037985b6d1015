"""What a member is told to have left is what can really be drawn: no picture less, and none more."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.allowances import allowance_in
from bot.errors import LimitReached
from bot.limits import Books, Grant, decide
from bot.presets import GenerationOptions, PresetBook
from bot.quota_errors import CostsTooMuch
from bot.quotas import PICTURE, Asker, HostRules, Quota, Rate, ServerRules, cost_of, cost_of_usual, limits_of
from cogs.render import BAR_LENGTH, bar_of
from engine.models import SD1_SIZES
from engine.protocol import ModelCard

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ASKER = Asker(user_id=1, guild_id=2, channel_id=3, role_ids=frozenset({4}))

quotas = st.builds(
    Quota,
    amount=st.none() | st.integers(0, 5_000),
    window=st.sampled_from(["day", "week", "month", "24h", "5h"]),
)
rules = st.builds(
    ServerRules,
    quotas=st.dictionaries(
        st.sampled_from([("default", 0), ("member", 1), ("role", 4), ("channel", 3), ("server", 0)]), quotas
    ),
    exempt_roles=st.sampled_from([frozenset[int](), frozenset({4})]),
)
hosts = st.builds(HostRules, default_quota=quotas, member_cap=quotas, server_cap=quotas)
grant_lists = st.lists(
    st.builds(
        Grant,
        id=st.integers(1, 99),
        left=st.integers(1, 2_000),
        expires_at=st.sampled_from([None, NOW - timedelta(hours=1), NOW + timedelta(hours=1)]),
    ),
    max_size=3,
    unique_by=lambda grant: grant.id,
)


@given(rules, hosts, grant_lists, st.data(), st.integers(100, 2_000))
def test_as_many_pictures_as_are_told_can_be_drawn(
    own: ServerRules, host: HostRules, grants: list[Grant], data: st.DataObject, cost: int
) -> None:
    books = Books(rules={ASKER.guild_id: own}, grants={(ASKER.guild_id, ASKER.user_id): grants})
    limits = limits_of(ASKER, own, host)
    for limit in limits:
        books.used[limit.account, limit.starts_at(NOW)] = data.draw(st.integers(0, 3_000))
    told = allowance_in(books, ASKER, host, None, NOW)
    assert (told.least is None) == (not limits)
    if told.least is None:
        decide(ASKER, 10**9, books, host, NOW)
        return
    for _ in range(told.least.amount // cost):
        books.take(ASKER, decide(ASKER, cost, books, host, NOW), limits, NOW)
    with pytest.raises(LimitReached):
        decide(ASKER, cost, books, host, NOW)


@given(rules, hosts, grant_lists, st.data(), st.integers(1, 9_000))
def test_only_what_is_never_possible_costs_too_much(
    own: ServerRules, host: HostRules, grants: list[Grant], data: st.DataObject, cost: int
) -> None:
    """In a window of which nothing is used, nothing but that is refused; in one that is used, the same."""
    fresh = Books(rules={ASKER.guild_id: own}, grants={(ASKER.guild_id, ASKER.user_id): grants})
    used = Books(rules=fresh.rules, grants=fresh.grants)
    for limit in limits_of(ASKER, own, host):
        used.used[limit.account, limit.starts_at(NOW)] = data.draw(st.integers(0, 3_000))
    assert is_impossible(fresh, host, cost) is not False
    if is_impossible(used, host, cost):
        assert is_impossible(fresh, host, cost)


def is_impossible(books: Books, host: HostRules, cost: int) -> bool | None:
    """Whether waiting does not help either; None if it is not refused."""
    try:
        decide(ASKER, cost, books, host, NOW)
    except LimitReached as error:
        return isinstance(error, CostsTooMuch)
    return None


def test_the_usual_cost_is_that_of_a_request_without_options() -> None:
    card = ModelCard(name="any", sizes=SD1_SIZES)
    request = PresetBook.load().resolve(GenerationOptions(prompt="1girl"), card, random.Random(1))
    assert cost_of_usual(card) == cost_of(request)
    assert cost_of_usual(ModelCard(name="any", sizes=SD1_SIZES, default_steps=30)) == PICTURE


def test_rates_and_jobs_are_told_for_everywhere_and_for_here() -> None:
    own = ServerRules(rate=Rate(count=3, seconds=30), concurrent_jobs=2)
    host = HostRules(rate=Rate(count=10, seconds=60), concurrent_jobs=5)
    books = Books(
        rules={2: own},
        live={(2, 1): 1, (0, 1): 3, (2, 9): 7},
        buckets={(0, 1): NOW + timedelta(seconds=31), (2, 1): NOW - timedelta(days=1)},
    )
    told = allowance_in(books, ASKER, host, None, NOW)
    assert [(rate.left, rate.everywhere) for rate in told.rates] == [(4, True), (3, False)]
    assert [(jobs.live, jobs.most, jobs.everywhere) for jobs in told.jobs] == [(4, 5, True), (1, 2, False)]


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_bar_is_never_longer_than_it_is(done: int, of: int) -> None:
    bar = bar_of(done, of)
    assert len(bar) == BAR_LENGTH
    if of:
        assert bar.count("▰") == min(BAR_LENGTH * done // of, BAR_LENGTH)
