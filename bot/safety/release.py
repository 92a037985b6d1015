"""Pictures that may leave the bot. Whatever is uploaded or written for somebody is a `ReleasedImage`, or a
`ReleasedFile` if Discord had it before: a picture that was reported.

There is one way to make each: `judge_image` and `judge_file`, which ask the policy about the picture's
verdict. The rest of the bot takes nothing else, so a picture that nobody judged has no way out.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

from bot.jobs import Job
from bot.safety.kept_files import ShownFile
from bot.safety.levels import Level
from bot.safety.policy import Judgement, Policy
from engine.protocol import Image, ModelCard, Verdict

_KEY = object()
"""What only this module can pass on."""

SPOILER = "SPOILER_"
"""How the names of files begin that Discord shows behind a spoiler."""


@dataclass(frozen=True, kw_only=True)
class ReleasedImage:
    """A picture that may be shown in one place, now."""

    png: bytes = field(repr=False)
    seed: int
    width: int
    height: int
    is_spoiler: bool
    key: InitVar[object] = None

    def __post_init__(self, key: object) -> None:
        if key is not _KEY:
            raise TypeError("a picture is released by judge_image alone")


@dataclass(frozen=True, kw_only=True)
class ReleasedFile:
    """A file that was shown before, and that may be shown in one place, now."""

    name: str
    description: str
    data: bytes = field(repr=False)
    is_spoiler: bool
    key: InitVar[object] = None

    def __post_init__(self, key: object) -> None:
        if key is not _KEY:
            raise TypeError("a file is released by judge_file alone")


@dataclass(frozen=True, kw_only=True)
class Release:
    """Those pictures of a job that may be shown in one place, as it is now."""

    job: Job
    """Its cost is what the member pays: nothing for what is withheld."""
    images: tuple[ReleasedImage, ...]
    withheld: int
    """How many of the job's pictures nobody sees."""
    card: ModelCard
    seconds: float


def judge_image(
    policy: Policy, image: Image, level: Level, *, is_strict: bool
) -> tuple[Judgement, ReleasedImage | None]:
    """Decide on a picture at a level; None if it is withheld."""
    judgement = policy.judge(image.verdict, level, is_strict=is_strict)
    if judgement.decision == "withhold":
        return judgement, None
    released = ReleasedImage(
        png=image.png,
        seed=image.seed,
        width=image.width,
        height=image.height,
        is_spoiler=judgement.decision == "spoiler",
        key=_KEY,
    )
    return judgement, released


def judge_file(
    policy: Policy, file: ShownFile, verdict: Verdict | None, level: Level, *, is_strict: bool
) -> tuple[Judgement, ReleasedFile | None]:
    """Decide once more on what was shown, by what the image check found then; None if it is withheld."""
    judgement = policy.judge(verdict, level, is_strict=is_strict)
    if judgement.decision == "withhold":
        return judgement, None
    released = ReleasedFile(
        name=file.name.removeprefix(SPOILER),
        description=file.description,
        data=file.data,
        is_spoiler=judgement.decision == "spoiler" or file.name.startswith(SPOILER),
        key=_KEY,
    )
    return judgement, released
