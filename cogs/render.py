"""What members read: progress, settings under a picture, alt text. Pure functions of values."""

from __future__ import annotations

import io
import math
import unicodedata
from collections.abc import Sequence

import discord
from discord.utils import escape_markdown, escape_mentions

from bot.errors import pictures, window_text
from bot.i18n import Translate
from bot.jobs import Job
from bot.pictures import Upload
from bot.reply import JobProgress
from bot.safety.release import Release, ReleasedImage

BAR_LENGTH = 12
LEAST_SECONDS_TOLD = 3.0
MAX_CONTENT, MAX_DESCRIPTION, MAX_FIELD, MAX_ALT_TEXT = 2000, 4096, 1024, 1024
COLOUR = discord.Colour(0xE88BB5)


def progress_text(progress: JobProgress, t: Translate) -> str:
    """One line: the place in the queue, or a bar with the steps done; about how long, if that is known."""
    time = about(progress.seconds_left, t)
    if progress.position:
        if time:
            return t(
                "⏳ Waiting: number {position} in the queue, ready in about {time}",
                position=progress.position,
                time=time,
            )
        return t("⏳ Waiting: number {position} in the queue", position=progress.position)
    if progress.step == 0:
        return t("⏳ Starting …")
    bar = bar_of(progress.step, progress.steps)
    if time:
        return t(
            "🎨 {bar} step {step} of {steps}, about {time} left",
            bar=bar,
            step=progress.step,
            steps=progress.steps,
            time=time,
        )
    return t("🎨 {bar} step {step} of {steps}", bar=bar, step=progress.step, steps=progress.steps)


def bar_of(done: int, of: int) -> str:
    """A bar of text; what is left of nothing is an empty one."""
    filled = BAR_LENGTH * max(min(done, of), 0) // of if of else 0
    return "▰" * filled + "▱" * (BAR_LENGTH - filled)


def with_cost(progress: str, job: Job, t: Translate) -> str:
    """Progress, and under it what the pictures cost and leave."""
    return f"{progress}\n-# {cost_text(job, t)}"


def cost_text(job: Job, t: Translate) -> str:
    """What a job costs; and what it leaves, where there is a limit."""
    if job.left is None:
        return t("costs {cost}", cost=pictures(job.cost))
    return t(
        "costs {cost}, {left} left {window}",
        cost=pictures(job.cost),
        left=pictures(job.left.amount),
        window=window_text(job.left.window, t),
    )


def final_cost(job: Job, t: Translate) -> str:
    """`cost_text` where a heading says already that it is the cost."""
    if job.left is None:
        return pictures(job.cost)
    return t(
        "{cost}, {left} left {window}",
        cost=pictures(job.cost),
        left=pictures(job.left.amount),
        window=window_text(job.left.window, t),
    )


def about(seconds: float | None, t: Translate) -> str:
    """A time as rough as the guess it is, rounded up; empty where there is none worth telling."""
    if seconds is None or seconds < LEAST_SECONDS_TOLD:
        return ""
    if seconds <= 20:
        return t("{seconds} s", seconds=5 * math.ceil(seconds / 5))
    if seconds <= 90:
        return t("{seconds} s", seconds=10 * math.ceil(seconds / 10))
    return t("{minutes} min", minutes=math.ceil(seconds / 60))


def settings_embed(release: Release, t: Translate) -> discord.Embed:
    """Everything that is needed to make the pictures again."""
    request, card = release.job.request, release.card
    size = f"{request.width}×{request.height}"
    if card.view_scale > 1:
        size = t("{size}, enlarged ×{scale} for viewing", size=size, scale=card.view_scale)
    embed = discord.Embed(description=clip(plain(request.prompt), MAX_DESCRIPTION), colour=COLOUR)
    if request.negative_prompt:
        embed.add_field(
            name=t("Negative prompt"), value=clip(plain(request.negative_prompt), MAX_FIELD), inline=False
        )
    seeds = ", ".join(f"`{image.seed}`" for image in release.images)
    fields = {
        t("Preset"): plain(request.labels.get("Preset", "")),
        t("Seed"): seeds,
        t("Steps"): str(request.num_inference_steps),
        t("CFG"): f"{request.guidance_scale:g}",
        t("Sampler"): request.sampler,
        t("Size"): size,
        t("Model"): f"{plain(card.name)} `{card.hash}`",
        t("Time"): t("{seconds} s", seconds=f"{release.seconds:.1f}"),
        t("Cost"): final_cost(release.job, t),
    }
    for name, value in fields.items():
        embed.add_field(name=name, value=value or "—", inline=True)
    return embed.set_footer(text=job_mark(release.job))


def job_mark(job: Job) -> str:
    """What stands below the pictures of a job: the bot knows its own answers again by it."""
    return f"trinart:{job.id[:12]}"


def withheld_text(release: Release, t: Translate) -> str | None:
    """That there are fewer pictures than were asked for; None if there are not."""
    if not release.withheld:
        return None
    return t(
        "{count} of {total} pictures may not be shown here and were deleted. They cost nothing.",
        count=release.withheld,
        total=release.withheld + len(release.images),
    )


def with_withheld(text: str, release: Release, t: Translate) -> str:
    """A text, and under it `withheld_text` if there is any."""
    return "\n".join(filter(None, (text, withheld_text(release, t))))


def alt_text(release: Release, t: Translate) -> str:
    """A description for those who do not see the picture."""
    return clip(t("AI-generated anime picture: {prompt}", prompt=release.job.request.prompt), MAX_ALT_TEXT)


def refusal(text: str, prompt: str, t: Translate) -> tuple[str, discord.File | None]:
    """A refusal that gives the prompt back, so that nobody has to type it again: quoted, or as a file."""
    # What cannot be seen is often what was refused; it does not come back.
    visible = "".join(char for char in prompt if char.isspace() or unicodedata.category(char)[0] != "C")
    visible = " ".join(visible.split())
    if not visible:
        return clip(text, MAX_CONTENT), None
    heading = t("Your prompt was:")
    quote = f"{text}\n\n{heading}\n>>> {plain(visible)}"
    if len(quote) <= MAX_CONTENT:
        return quote, None
    return clip(text, MAX_CONTENT), discord.File(io.BytesIO(visible.encode()), "prompt.txt")


def plain(text: str) -> str:
    """Text as it was typed: no Markdown, mention, timestamp or emoji code takes effect."""
    return escape_mentions(escape_markdown(text).replace("<", "\\<"))


def clip(text: str, limit: int) -> str:
    """Shortened with an ellipsis; the picture's own `parameters` text always has the whole."""
    return text if len(text) <= limit else text[: limit - 2].rstrip("\\") + " …"


def files(release: Release, uploads: Sequence[Upload], t: Translate) -> list[discord.File]:
    """Fresh file objects for one attempt to send."""
    return [
        discord.File(
            io.BytesIO(upload.data),
            upload.file_name,
            spoiler=upload.is_spoiler,
            description=alt_text(release, t),
        )
        for upload in uploads
    ]


def preview_files(preview: ReleasedImage | None) -> list[discord.File]:
    """What a progress message shows of the picture so far."""
    return [discord.File(io.BytesIO(preview.png), "preview.png")] if preview is not None else []
