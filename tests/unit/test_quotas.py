"""The rules of quotas: costs, windows over clock changes, the token bucket, and which quota applies."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.quotas import (
    Asker,
    HostRules,
    Quota,
    Rate,
    ServerRules,
    cost_of,
    cost_of_steps,
    limits_of,
    member_quota,
)
from engine.protocol import GenerationRequest

REQUEST = GenerationRequest(
    prompt="x",
    width=512,
    height=512,
    num_inference_steps=30,
    guidance_scale=7,
    sampler="Euler a",
    seed=1,
)
NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
ZONES = ["UTC", "Asia/Tokyo", "America/New_York", "America/Havana", "Asia/Kolkata", "Pacific/Apia"]


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        ({}, 1000),
        ({"num_images_per_prompt": 4}, 4000),
        ({"num_inference_steps": 15}, 500),
        ({"width": 768}, 1500),
        ({"width": 128, "height": 128, "num_inference_steps": 20}, 42),
        ({"width": 8, "height": 8, "num_inference_steps": 1}, 1),
        ({"init_image": b"png", "strength": 0.5}, 500),
        ({"init_image": b"png", "strength": 0.001}, 34),
    ],
)
def test_the_cost_is_pixels_by_steps_by_images(changes: dict[str, object], cost: int) -> None:
    assert cost_of(msgspec.structs.replace(REQUEST, **changes)) == cost


@given(cost=st.integers(1, 10**6), steps=st.integers(1, 60), done=st.integers(0, 60))
def test_steps_done_cost_their_share_and_never_more_than_all(cost: int, steps: int, done: int) -> None:
    paid = cost_of_steps(cost, done, steps)
    assert 0 <= paid <= cost
    assert (paid == 0) == (done == 0)
    assert paid >= cost * min(done, steps) / steps


@pytest.mark.parametrize(
    ("text", "amount", "window"),
    [
        ("30/day", 30_000, "day"),
        (" 2.5 / 24h ", 2_500, "24h"),
        ("0/week", 0, "week"),
        ("1000000/MONTH", 10**9, "month"),
        ("unlimited", None, "day"),
    ],
)
def test_a_quota_is_read(text: str, amount: int | None, window: str) -> None:
    quota = Quota.parse(text)
    assert (quota.amount, quota.window) == (amount, window)
    assert Quota.parse(str(quota)) == quota


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "30/year",
        "-1/day",
        "1e3/day",
        "30/0h",
        "30/9999h",
        "1000001/day",
        "３０/day",
        "nan/day",
        "1/²h",
    ],
)
def test_what_is_no_quota_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        Quota.parse(text)


@given(st.text(max_size=12))
def test_reading_a_quota_raises_nothing_else(text: str) -> None:
    for kind in (Quota, Rate):
        with suppress(ValueError):
            assert kind.parse(str(kind.parse(text))) == kind.parse(text)


@given(
    now=st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    zone=st.sampled_from(ZONES),
    window=st.sampled_from(["day", "week", "month"]),
)
def test_windows_follow_each_other_without_a_gap(now: datetime, zone: str, window: str) -> None:
    quota, place = Quota(amount=1, window=window), ZoneInfo(zone)
    start, end = quota.starts_at(now, place), quota.resets_at(now, place)
    assert end is not None
    assert start <= now < end
    assert quota.starts_at(start, place) == start
    assert quota.starts_at(end, place) == end
    assert quota.resets_at(end - timedelta(microseconds=1), place) == end


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", datetime(2026, 3, 8, 12), 23),
        ("America/New_York", datetime(2026, 11, 1, 12), 25),
        ("America/Havana", datetime(2026, 3, 8, 12), 23),  # its midnight does not exist
        ("Asia/Tokyo", datetime(2026, 3, 8, 12), 24),
    ],
)
def test_a_day_on_which_clocks_change_is_one_day(zone: str, day: datetime, hours: int) -> None:
    place = ZoneInfo(zone)
    noon = day.replace(tzinfo=place).astimezone(UTC)
    quota = Quota(amount=1, window="day")
    end = quota.resets_at(noon, place)
    assert end is not None
    assert end - quota.starts_at(noon, place) == timedelta(hours=hours)


def test_a_week_begins_on_monday_and_a_month_on_the_first() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    late = datetime(2026, 11, 29, 16, tzinfo=UTC)  # Monday 01:00 in Tokyo
    assert Quota(amount=1, window="week").starts_at(late, tokyo) == datetime(2026, 11, 29, 15, tzinfo=UTC)
    assert Quota(amount=1, window="month").resets_at(late, tokyo) == datetime(2026, 11, 30, 15, tzinfo=UTC)
    assert Quota(amount=1, window="36h").starts_at(late, tokyo) == late - timedelta(hours=36)
    assert Quota(amount=1, window="36h").resets_at(late, tokyo) is None


# --- the token bucket ---


@given(
    count=st.integers(1, 20),
    seconds=st.integers(1, 3600),
    gaps=st.lists(st.integers(0, 4000), max_size=60),
)
def test_a_bucket_never_gives_more_than_its_rate(count: int, seconds: int, gaps: list[int]) -> None:
    """As many as a bucket that is counted in tokens, in thousandths so that the model is exact."""
    rate = Rate(count=count, seconds=seconds)
    now, full_at, tokens = NOW, None, float(count)
    for gap in gaps:
        now += timedelta(seconds=gap)
        tokens = min(count, tokens + gap * count / seconds)
        full_at, wait = rate.take(full_at, now)
        if abs(tokens - 1) > 1e-6:  # at the very edge rounding may decide either way
            assert (wait is None) == (tokens > 1)
        if wait is None:
            tokens -= 1
        else:
            assert now < wait <= now + timedelta(seconds=seconds)
            assert rate.take(full_at, wait)[1] is None


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    rate = Rate(count=2, seconds=60)
    full_at, _ = rate.take(None, NOW)
    full_at, _ = rate.take(full_at, NOW)
    earlier = NOW - timedelta(days=400)
    _, wait = rate.take(full_at, earlier)
    assert wait is not None
    assert wait <= earlier + timedelta(seconds=60)


# --- which quotas apply ---

TEN, TWENTY, WEEKLY = (Quota.parse(text) for text in ("10/day", "20/day", "100/week"))
ASKER = Asker(user_id=7, guild_id=5, channel_id=9, role_ids=frozenset({1, 2}))


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({}, Quota(amount=None)),
        ({("default", 0): TEN}, TEN),
        ({("default", 0): TEN, ("role", 1): TWENTY}, TWENTY),
        ({("default", 0): TWENTY, ("role", 1): TEN}, TEN),  # a role's quota can be meant as less
        ({("role", 1): TEN, ("role", 2): TWENTY, ("role", 3): Quota(amount=None)}, TWENTY),
        ({("role", 1): TEN, ("role", 2): WEEKLY}, WEEKLY),  # 14.3 a day
        ({("role", 1): TEN, ("role", 2): Quota(amount=None)}, Quota(amount=None)),
        ({("member", 7): TEN, ("role", 1): TWENTY}, TEN),
    ],
)
def test_the_members_own_quota_wins_then_the_best_role(
    quotas: dict[tuple[str, int], Quota], expected: Quota
) -> None:
    assert member_quota(ASKER, ServerRules(quotas=quotas), HostRules()).quota == expected


def test_a_members_quota_says_whose_choice_it_is() -> None:
    quotas = {("default", 0): TEN, ("role", 1): TEN, ("role", 2): TWENTY, ("member", 7): TEN}
    told = [member_quota(ASKER, ServerRules(quotas=quotas), HostRules())]
    for chosen in [("member", 7), ("role", 2), ("role", 1), ("default", 0)]:
        del quotas[chosen]
        told.append(member_quota(ASKER, ServerRules(quotas=quotas), HostRules(default_quota=WEEKLY)))
    assert told == [
        (TEN, "own", 0),
        (TWENTY, "role", 2),
        (TEN, "role", 1),
        (TEN, "server", 0),
        (WEEKLY, "host", 0),
    ]


def test_all_that_apply_are_checked_and_an_exempt_role_leaves_out_the_own() -> None:
    rules = ServerRules(
        quotas={("default", 0): TEN, ("channel", 9): TEN, ("channel", 8): TEN, ("server", 0): TWENTY},
        exempt_roles=frozenset({2}),
    )
    host = HostRules(default_quota=TWENTY, member_cap=TWENTY, server_cap=WEEKLY)
    exempt = [limit.scope for limit in limits_of(ASKER, rules, host)]
    assert exempt == ["channel", "server", "host_server", "host_member"]
    plain = Asker(user_id=7, guild_id=5, channel_id=9, role_ids=frozenset({1}))
    assert [limit.scope for limit in limits_of(plain, rules, host)] == ["member", *exempt]
    private = Asker(user_id=7, channel_id=9)
    assert [limit.scope for limit in limits_of(private, ServerRules(), host)] == ["member", "host_member"]
