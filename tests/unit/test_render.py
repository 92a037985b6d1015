"""What members read while they wait, in both languages."""

from __future__ import annotations

import pytest

from bot.i18n import translator
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
