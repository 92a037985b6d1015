"""An offline Discord with the real bot in it, and what its tests read from it.

discord.py, the cogs, the service, SQLite and the engine's processes are the real ones; simcord stands in for
Discord's servers. A test speaks as a member (`ask`), waits for what the member would see (`until`), and reads
the message, the requests that the bot made, and the rows it left.

The service runs its jobs in tasks that simcord does not know, so a command returns as soon as its job is
recorded; `World.finish` waits for the rest.
"""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import simcord
import simcord.interactions
from PIL import Image
from simcord.actors import MemberActor
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from bot.app import Services, open_services
from bot.client import TrinArtBot
from bot.database.models import JobRow
from bot.database.session import Database
from bot.generation import GenerationService
from bot.settings import Settings
from engine.models import CARD_NAME, DEMO_FOLDER
from engine.protocol import GenerationRequest, ModelCard
from tests.fixtures.databases import make_tables

PLAIN_WORKER = "tests.fixtures.plain_worker"
PLAIN_CHECKER = "tests.fixtures.plain_checker"
STEPPING_WORKER = "tests.integration.simcord_stepping_worker"
STUCK_WORKER = "tests.integration.simcord_stuck_worker"

STUDIO = ModelCard(
    name="studio",
    sizes={"square": (64, 64), "portrait": (64, 96), "landscape": (96, 64)},
    view_scale=2,
    default_steps=4,
    default_cfg=6.5,
    default_sampler="Euler a",
)
"""The model of the tests that draw with the plain worker: small, quick, and with more than one size."""

PATIENCE_SECONDS = 60.0
"""How long something may take that takes milliseconds; only a broken bot ever waits for it."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A running bot in one server with one channel and two members."""

    env: simcord.Env
    services: Services
    service: GenerationService
    settings: Settings
    database: Database
    guild: simcord.GuildHandle
    channel: simcord.ChannelHandle
    mika: MemberActor
    ren: MemberActor

    async def ask(self, **options: Any) -> simcord.InteractionResult:
        """Mika uses /trinart in the channel; returns when the command was taken, not when it is drawn."""
        return await self.mika.slash(self.channel, "trinart", **options)

    async def finish(self) -> None:
        """Wait until every job has come to its end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.service.runs.idle()
        await self.env.settle()

    async def draw(self, **options: Any) -> simcord.ResponseMessage:
        """Mika asks for pictures and waits for the final message."""
        return await self.answer_to(await self.ask(**options))

    async def answer_to(self, result: simcord.InteractionResult) -> simcord.ResponseMessage:
        """The message that a command's answer has become in the end."""
        await self.finish()
        assert result.response is not None
        return result.response

    async def jobs(self) -> list[JobRow]:
        """All rows of the jobs table with their images, oldest first."""
        async with self.database.session() as session:
            rows = await session.scalars(
                select(JobRow).order_by(JobRow.created_at).options(selectinload(JobRow.images))
            )
            return list(rows)

    async def last_job(self) -> JobRow:
        """The newest row."""
        return (await self.jobs())[-1]

    def picture_files(self) -> list[Path]:
        """What is in the folder of pictures that wait for Discord."""
        return sorted(self.settings.pictures_dir.glob("*"))


class Steps:
    """Lets the steps of the stepping worker end, one by one or all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hold(self) -> None:
        """From the next job on, every step waits."""
        for file in self._folder.iterdir():
            file.unlink()

    def release(self, step: int | str) -> None:
        """Let a step end, whichever job it belongs to; `all` for all that are to come."""
        (self._folder / str(step)).touch()


@asynccontextmanager
async def open_world(
    data_dir: Path,
    *,
    model: Path | str | None = None,
    worker_module: str = PLAIN_WORKER,
    checker_module: str = PLAIN_CHECKER,
    wait_for_engine: bool = True,
    after: World | None = None,
    **changes: Any,
) -> AsyncIterator[World]:
    """Start the engine and the bot, and end both when the block ends.

    `after` is a world of the same folder that has ended: the bot comes back to its server, channel and
    members, as after a restart. `changes` are to the settings. Whatever the bot raises on the way and does
    not handle fails the test.
    """
    settings = settings_for(data_dir, model=make_model(data_dir / "studio") if model is None else model)
    settings = settings.model_copy(update=changes)
    if not settings.database_url:
        await make_tables(data_dir / "trinart.db")
    async with (
        open_services(settings, worker_module=worker_module, checker_module=checker_module) as services,
        Database.connect(settings.resolved_database_url, upgrade=False) as database,
    ):
        service = services.generation
        if wait_for_engine:
            await service.engine.wait_settled()
        bot = TrinArtBot(services, settings)
        env = after.env if after else simcord.Env(bot, settle_timeout=PATIENCE_SECONDS, shard_count=1)
        env.bot = bot
        await env.start()
        try:
            guild = after.guild if after else env.create_guild("TrinArt")
            world = World(
                env=env,
                services=services,
                service=service,
                settings=settings,
                database=database,
                guild=guild,
                channel=after.channel if after else guild.create_text_channel("pictures"),
                mika=after.mika if after else guild.add_member(env.create_user("mika")),
                ren=after.ren if after else guild.add_member(env.create_user("ren")),
            )
            await env.settle()
            yield world
        finally:
            await env.shutdown()
        env.raise_errors()


def settings_for(data_dir: Path, *, model: Path | str) -> Settings:
    """Settings that owe nothing to the environment of whoever runs the tests."""
    return Settings(
        data_dir=data_dir,
        database_url="",
        model=str(model),
        devices="cpu",
        threads=1,
        max_batch_size=4,
        guild_id=None,
        discord_token=None,
        discord_api_url="",
        discord_gateway_url="",
        # A test asks as fast as it can; those about the limits set their own.
        rate="1000/s",
        concurrent_jobs=1000,
        # Those about the terms ask for them.
        terms="off",
    )


def make_model(folder: Path, card: ModelCard = STUDIO) -> Path:
    """A model folder that looks whole to the engine; a plain worker needs only its card."""
    if folder.exists():
        return folder
    shutil.copytree(DEMO_FOLDER, folder, copy_function=_link)
    (folder / CARD_NAME).unlink(missing_ok=True)
    (folder / CARD_NAME).write_bytes(msgspec.json.encode(card))
    return folder


def _link(source: str, target: str) -> None:
    Path(target).symlink_to(source)


# --- what the bot refuses ---


async def refusal(world: World, prompt: str, locale: str, **options: Any) -> str:
    """The text of the one private answer to a command; asserts that there is just that, and no job."""
    first = len(world.env.http_requests)
    seen_by_all = [message.id for message in world.channel.history()]
    jobs = len(await world.jobs())
    with interactions_with(locale=locale):
        result = await world.ask(prompt=prompt, **options)
    await world.finish()

    [answer] = world.env.http_requests[first:]
    assert answer.path.endswith("/callback"), "answered at once, by the only request there is"
    assert answer.json is not None
    assert answer.json["data"]["allowed_mentions"] == {"parse": []}
    assert result.response is not None
    assert result.response.ephemeral, "nobody else needs to read it"
    assert result.followups == []
    assert [message.id for message in world.channel.history()] == seen_by_all
    assert len(await world.jobs()) == jobs, "nothing was queued"
    return result.response.content


# --- what members see ---


async def until(env: simcord.Env, seen: Callable[[], Any]) -> None:
    """Wait until something has happened in Discord; looked at whenever anything has."""
    happened = asyncio.Event()

    def notice(_event: str, _payload: object) -> None:
        happened.set()

    env.backend.subscribers.append(notice)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not seen():
                await happened.wait()
                happened.clear()
    finally:
        env.backend.subscribers.remove(notice)


def buttons(message: simcord.ResponseMessage) -> list[str]:
    """The labels of a message's buttons."""
    return [button["label"] for row in message.components for button in row["components"]]


def shows_button(result: simcord.InteractionResult) -> bool:
    """Whether a command's answer shows progress now, with its Cancel button."""
    return result.response is not None and _can_cancel(result.response.components)


def _can_cancel(components: list[dict[str, Any]]) -> bool:
    ids = [button["custom_id"] for row in components for button in row["components"]]
    return any(custom_id.startswith("trinart:cancel:") for custom_id in ids)


def embed_fields(message: simcord.ResponseMessage) -> dict[str, str]:
    """The fields of the one embed of a message."""
    [embed] = message.embeds
    return {str(field.name): str(field.value) for field in embed.fields}


async def pictures(message: simcord.ResponseMessage) -> list[bytes]:
    """The attached files."""
    return [await attachment.read() for attachment in message.attachments]


async def parameters(message: simcord.ResponseMessage) -> list[str]:
    """The `parameters` text of each attached PNG."""
    return [read_png(png)[0] for png in await pictures(message)]


def read_png(png: bytes) -> tuple[str, tuple[int, int]]:
    """The `parameters` text of a PNG, and its size in pixels."""
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        picture.load()
        return str(picture.info["parameters"]), picture.size


def negative_prompt(parameters_text: str) -> str:
    """The negative prompt in a `parameters` text; empty where there is none."""
    prefix = "Negative prompt: "
    return next(
        (line.removeprefix(prefix) for line in parameters_text.splitlines() if line.startswith(prefix)), ""
    )


# --- what the bot asked of Discord ---


def sent_messages(env: simcord.Env, since: int = 0) -> list[dict[str, Any]]:
    """The body of every message that the bot sent or edited, from request number `since` on."""
    bodies: list[dict[str, Any]] = []
    for request in env.http_requests[since:]:
        if request.path.endswith("/callback"):
            body = (request.json or {}).get("data") or {}
        elif "/messages" in request.path or request.path.startswith("/webhooks/"):
            body = request.json or {}
        else:
            continue
        if any(part in body for part in ("content", "embeds", "attachments")):
            bodies.append(body)
    return bodies


def progress_edits(env: simcord.Env, since: int = 0) -> list[str]:
    """The texts of the edits that showed progress: those with a Cancel button."""
    return [
        body["content"] for body in sent_messages(env, since) if _can_cancel(body.get("components") or [])
    ]


# --- who asks, and from where ---


@contextmanager
def interactions_with(**changes: Any) -> Iterator[None]:
    """Every interaction meanwhile carries these fields, such as `locale="ja"`, instead of simcord's."""
    real = simcord.interactions.base_payload

    def changed(backend: Any, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        record, payload = real(backend, **arguments)
        return record, payload | changes

    simcord.interactions.base_payload = changed
    try:
        yield
    finally:
        simcord.interactions.base_payload = real


def request_of(row: JobRow) -> GenerationRequest:
    """The request that a job's row holds."""
    return msgspec.msgpack.decode(row.request, type=GenerationRequest)


def is_japanese(text: str) -> bool:
    """Whether a text has kana or kanji in it."""
    return any("\u3040" <= character <= "\u30ff" or "\u4e00" <= character <= "\u9fff" for character in text)
