"""Every message between the processes, grouped by direction.

Read by all of them, so nothing here may import torch, discord or the other halves. The fields of a
`GenerationRequest` carry diffusers' names; what the member types carries the command's own.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Sampler = Literal[
    "Euler a",
    "Euler",
    "DDIM",
    "DPM++ 2M",
    "DPM++ 2M Karras",
    "DPM++ SDE",
    "UniPC",
    "LMS",
    "PNDM",
    "Heun",
]
"""The denoising solvers on offer. diffusers calls them schedulers; here that word is never used for them."""

FailureCode = Literal[
    "model_unavailable",
    "worker_lost",
    "invalid_request",
    "generation_error",
    "check_failed",
    "queue_full",
    "deadline",
]
"""`check_failed`: the pictures could not be checked, so there are none. The last two are refusals: the job
was never accepted, and can be asked for again later."""


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides a picture: equal requests on one device give equal pictures.

    `height` and `width` are in pixels of the model. Image i of `num_images_per_prompt` is drawn with
    `seed + i` (modulo 2**63), so that each of them can be asked for again on its own. With an `init_image`,
    a PNG of just this size, drawing starts from it and goes through the last `strength` share of the steps,
    as diffusers' img2img does. `labels` are further name/value pairs for the picture's `parameters` text,
    such as the preset's name.
    """

    prompt: str
    negative_prompt: str = ""
    height: int
    width: int
    num_inference_steps: int
    guidance_scale: float
    sampler: Sampler
    seed: int
    num_images_per_prompt: int = 1
    init_image: bytes = b""
    strength: float = 0.75
    labels: dict[str, str] = {}

    def seed_of(self, index: int) -> int:
        """The seed of image `index`, counted from 0."""
        return (self.seed + index) % 2**63


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a member may ask of the loaded model, and how its pictures are named.

    `sizes` maps a name to (width, height) in the model's own pixels. Pictures of a model with small
    sizes are enlarged `view_scale` times for viewing. `hash` is the first ten hex digits of the
    sha256 of the UNet's weights, empty until a worker has read them. The defaults are used where a
    member chose nothing.
    """

    name: str
    sizes: dict[str, tuple[int, int]]
    view_scale: int = 1
    default_steps: int = 28
    default_cfg: float = 7.0
    default_sampler: Sampler = "DPM++ 2M Karras"
    hash: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the image check found in one picture: facts. What may be shown where is the bot's to decide.

    `scores` are in [0, 1]. `sexual` is the one that policies are about: the highest of all classifiers; the
    others say how it came about. `model` names the classifiers by a hash of their weights. `pdq` is the
    picture's PDQ hash as 64 hex digits, and `blocked` the entry of the host's block list that it is too close
    to, empty if there is none.
    """

    scores: dict[str, float]
    model: str
    pdq: str = ""
    blocked: str = ""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """One encoded picture: PNG with its settings in a `parameters` text chunk.

    `width` and `height` are those of the file, after enlargement. A worker sends it without a `verdict`; none
    leaves the engine so.
    """

    png: bytes
    seed: int
    width: int
    height: int
    verdict: Verdict | None = None


# --- bot → engine core ------------------------------------------------------------------------------


class Submit(msgspec.Struct, frozen=True, tag=True):
    """Accept this job. Sent again with the same id after a restart of the engine.

    `user` is whose turn it takes, and `weight` that user's share of the devices when several wait. With
    a `deadline_seconds` it is refused if it is known to take longer. A job that was `accepted` once, by an
    engine that died since, is not refused again.
    """

    job_id: str
    request: GenerationRequest
    user: str = ""
    weight: float = 1.0
    deadline_seconds: float = 0.0
    accepted: bool = False


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Stop working on this job; answered by its terminal event. Also core → worker."""

    job_id: str


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Finish and exit: the bot is going away on purpose. Also core → worker."""


class Ping(msgspec.Struct, frozen=True, tag=True):
    """Answered by `Pong` at once, whatever else there is to do: a core that does not answer hangs."""


# --- engine core → bot ------------------------------------------------------------------------------


class EngineReady(msgspec.Struct, frozen=True, tag=True):
    """A worker has loaded the model. Sent again whenever one comes, goes or is given up.

    `devices` are those that can draw now, one entry per worker; none while all of them are being started
    again. `starting` are those that load the model, and `given_up` says why others never will.
    """

    model: ModelCard
    devices: list[str]
    starting: list[str] = []
    given_up: dict[str, str] = {}


class EngineUnavailable(msgspec.Struct, frozen=True, tag=True):
    """No worker can draw, and none will without the operator: `reason` is one sentence for the log."""

    reason: str


class Pong(msgspec.Struct, frozen=True, tag=True):
    """The core lives."""


class Accepted(msgspec.Struct, frozen=True, tag=True):
    """The engine has the job and will end it with exactly one terminal event. A refused job has only that."""

    job_id: str


class Queued(msgspec.Struct, frozen=True, tag=True):
    """The job waits; `position` counts from 1. `eta_seconds` until its pictures, None before it is known."""

    job_id: str
    position: int
    eta_seconds: float | None = None


class Progress(msgspec.Struct, frozen=True, tag=True):
    """Denoising step `step` of `num_steps` is done. Also worker → core; `eta_seconds` is the core's."""

    job_id: str
    step: int
    num_steps: int
    eta_seconds: float | None = None


class Preview(msgspec.Struct, frozen=True, tag=True):
    """A rough look at the first image of a running job, at most once a second. Also worker → core.

    A worker sends it without a `verdict`; none leaves the engine so.
    """

    job_id: str
    png: bytes
    verdict: Verdict | None = None


class Finished(msgspec.Struct, frozen=True, tag=True):
    """Terminal: all images, in the order of their seeds; `seconds` of drawing. Also worker → core."""

    job_id: str
    images: list[Image]
    seconds: float


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Terminal: no picture. `detail` is for the operator's log. Also worker → core."""

    job_id: str
    code: FailureCode
    detail: str


class Cancelled(msgspec.Struct, frozen=True, tag=True):
    """Terminal: stopped because somebody asked. Also worker → core."""

    job_id: str


# --- engine core → worker ---------------------------------------------------------------------------


class Assign(msgspec.Struct, frozen=True, tag=True):
    """Draw this. The worker decides which of its assigned jobs share a batch."""

    job_id: str
    request: GenerationRequest


# --- engine core → checker --------------------------------------------------------------------------


class Check(msgspec.Struct, frozen=True, tag=True):
    """Look at this PNG. The next one is sent when this one was answered."""

    check_id: int
    png: bytes


# --- checker → engine core --------------------------------------------------------------------------


class CheckerReady(msgspec.Struct, frozen=True, tag=True):
    """The classifiers are loaded and passed their self-test; `model` is that of the verdicts to come."""

    model: str


class CheckerUnavailable(msgspec.Struct, frozen=True, tag=True):
    """No picture can be checked: `reason` is one sentence for the log. The process exits after saying so."""

    reason: str


class Checked(msgspec.Struct, frozen=True, tag=True):
    """What was found in a picture."""

    check_id: int
    verdict: Verdict


class CheckFailed(msgspec.Struct, frozen=True, tag=True):
    """A picture could not be checked; `reason` is for the operator's log."""

    check_id: int
    reason: str


# --- worker → engine core ---------------------------------------------------------------------------


class WorkerReady(msgspec.Struct, frozen=True, tag=True):
    """The model is loaded; `max_batch_size` images fit into one denoiser call."""

    model: ModelCard
    max_batch_size: int


class WorkerUnavailable(msgspec.Struct, frozen=True, tag=True):
    """This worker can never draw (no such device, broken weights); it exits after saying so."""

    reason: str


# --- `python -m engine.safety --scan` → bot -----------------------------------------------------------


class ScannedFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of JSON: what was found in a file, or the `error` because of which nothing was.

    Without a `file` the error is of all of them.
    """

    file: str
    verdict: Verdict | None = None
    phash: str = ""
    error: str = ""


BotToEngine = Submit | Cancel | Drain | Ping
TerminalEvent = Finished | Failed | Cancelled
JobEvent = Accepted | Queued | Progress | Preview | Finished | Failed | Cancelled
EngineToBot = EngineReady | EngineUnavailable | Pong | JobEvent
CoreToWorker = Assign | Cancel | Drain
CoreToChecker = Check | Drain
CheckerToCore = CheckerReady | CheckerUnavailable | Checked | CheckFailed
WorkerJobEvent = Progress | Preview | Finished | Failed | Cancelled
WorkerToCore = WorkerReady | WorkerUnavailable | WorkerJobEvent
