"""What members read while they wait, in both languages."""

from __future__ import annotations

import pytest

from bot.errors import Phrase, amount_text, window_text
from bot.i18n import N_, translator
from bot.quota_errors import MemberQuotaUsedUp
from bot.reply import JobProgress
from cogs.render import about, progress_text
from engine.protocol import Preview, Progress, Queued

EN, JA = translator("en-US"), translator("ja")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, ""),
        (2.9, ""),
        (3.0, "5 s"),
        (5.1, "10 s"),
        (20.0, "20 s"),
        (33.0, "40 s"),
        (90.0, "90 s"),
        (91.0, "2 min"),
        (3000.0, "50 min"),
    ],
)
def test_times_are_as_rough_as_guesses_are(seconds: float | None, text: str) -> None:
    assert about(seconds, EN) == text


def test_who_waits_reads_the_place_and_about_how_long() -> None:
    progress = JobProgress(steps=28).after(Queued("job", 3))
    assert progress_text(progress, EN) == "⏳ Waiting: number 3 in the queue"
    progress = progress.after(Queued("job", 2, 33.0))
    assert progress_text(progress, EN) == "⏳ Waiting: number 2 in the queue, ready in about 40 s"
    assert progress_text(progress, JA) == "⏳ 順番待ち: 2番目、完成まで約40秒"


def test_a_bar_says_about_how_long_it_takes() -> None:
    progress = JobProgress(steps=4).after(Progress("job", 1, 4))
    assert progress_text(progress, EN) == "🎨 ▰▰▰▱▱▱▱▱▱▱▱▱ step 1 of 4"
    progress = progress.after(Progress("job", 2, 4, 100.0)).after(Preview("job", b""))
    assert progress_text(progress, EN) == "🎨 ▰▰▰▰▰▰▱▱▱▱▱▱ step 2 of 4, about 2 min left"
    assert progress_text(progress, JA) == "🎨 ▰▰▰▰▰▰▱▱▱▱▱▱ ステップ 2/4、残り約2分"


@pytest.mark.parametrize(
    ("thousandths", "english", "japanese"),
    [
        (1000, "1 picture", "1枚分"),
        (1001, "1 picture", "1枚分"),
        (940, "0.94 pictures", "0.94枚分"),
        (2000, "2 pictures", "2枚分"),
        (0, "0 pictures", "0枚分"),
    ],
)
def test_one_picture_is_not_one_pictures(thousandths: int, english: str, japanese: str) -> None:
    assert (amount_text(thousandths, EN), amount_text(thousandths, JA)) == (english, japanese)
    role = Phrase(N_("the quota of your role {role}"), {"role": "<@&4>"})
    refusal = MemberQuotaUsedUp(cost=thousandths, left=0, amount=9000, window="168h", when=None, whose=role)
    assert refusal.text("en-US").startswith(
        f"This costs {english}, and you have 0 of 9 left in 7 days (the quota of your role <@&4>)."
    )
    assert refusal.text("ja").startswith(f"これは{japanese}ですが、あなたのロール<@&4>の枠（7日間で）")


@pytest.mark.parametrize(
    ("window", "english"),
    [
        ("day", "today"),
        ("1h", "in an hour"),
        ("24h", "in 24 hours"),
        ("36h", "in 36 hours"),
        ("168h", "in 7 days"),
        ("720h", "in 30 days"),
    ],
)
def test_windows_are_told_in_the_unit_that_people_use(window: str, english: str) -> None:
    assert window_text(window, EN) == english
