"""What refusals by a quota say."""

from __future__ import annotations

import pytest

from bot.quota_errors import MemberQuotaUsedUp


def said(cost: int, left: int) -> str:
    error = MemberQuotaUsedUp(cost=cost, left=left, amount=2800, window="day", whose="yours", when=None)
    return error.text("en-US")


@pytest.mark.parametrize(
    ("cost", "left", "told"),
    [
        (934, 932, "0.934 pictures, and you have 0.932 of 2.8"),
        (934, 930, "0.934 pictures, and you have 0.93 of 2.8"),
        (934, 920, "0.93 pictures, and you have 0.92 of 2.8"),
        (1000, 0, "1 picture, and you have 0 of 2.8"),
    ],
)
def test_what_is_left_never_reads_as_enough(cost: int, left: int, told: str) -> None:
    assert f"This costs {told} left today" in said(cost, left)
