"""The answer to one job in Discord: progress by edits, then the pictures, however long Discord is away.

Everything goes through the interaction's webhook token, which the job's row keeps, so that the answer of a
job is the same before and after a restart of the bot.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

import aiohttp
import discord

from bot.client import TrinArtBot
from bot.errors import MemberError
from bot.i18n import translator
from bot.jobs import Job, utc_now
from bot.pictures import Upload, pack_uploads
from bot.reply import Delivery, JobProgress, Undeliverable
from bot.safety.places import Place
from bot.safety.release import Release
from cogs.appeal import appeal_view
from cogs.cancel import CancelView
from cogs.places import look_at
from cogs.render import (
    MAX_CONTENT,
    clip,
    files,
    job_mark,
    preview_files,
    progress_text,
    settings_embed,
    with_cost,
    with_withheld,
)
from cogs.report import report_view

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 2.0
"""Least time between two edits: Discord allows five in five seconds per channel, for everybody together."""

DELIVERY_ATTEMPTS = 6

TOKEN_GONE = {50027, 10015, 10062}
"""Codes for a webhook token that is expired or unknown."""
TOO_LARGE, TOO_MANY_REQUESTS, SERVER_ERROR = 413, 429, 500

NONCE_LENGTH = 25
HISTORY_LIMIT = 1000
CLOCKS_DIFFER = timedelta(minutes=5)
"""How far this machine's clock may be from Discord's."""

SMALLEST_LIMIT = 16 * 1024
FORM_OVERHEAD = 16 * 1024
"""Bytes of a multipart request beside its files: the settings and alt texts."""


def usable(limit: int) -> int:
    """What is left of an upload limit for the files themselves."""
    return max(limit - FORM_OVERHEAD, limit // 2)


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """What was released for one place, as files of a size that it takes."""

    release: Release
    limit: int
    uploads: list[Upload]


class DiscordReply:
    """Implements `bot.reply.Reply` for a job that was asked for in Discord."""

    def __init__(self, bot: TrinArtBot, job: Job) -> None:
        origin = job.origin
        assert origin.application_id is not None
        self._bot = bot
        self._job = job
        self._t = translator(origin.locale)
        self._webhook = (
            discord.Webhook.partial(origin.application_id, origin.interaction_token, client=bot)
            if origin.interaction_token
            else None
        )
        self._progress: JobProgress | None = None
        self._progress_changed = asyncio.Event()
        self._progress_ended = asyncio.Event()
        self._editor: asyncio.Task[None] | None = None
        self._progress_removed = False
        self._parcel: Parcel | None = None
        """The last one: another attempt with the same pictures need not pack and sign them again."""

    # --- progress ---

    def show_progress(self, progress: JobProgress) -> None:
        """Keep the newest state; a task of its own edits the message."""
        self._progress = progress
        self._progress_changed.set()
        if self._editor is None:
            self._editor = asyncio.create_task(self._edit_progress())

    async def _edit_progress(self) -> None:
        while True:
            await self._progress_changed.wait()
            self._progress_changed.clear()
            if self._progress_ended.is_set() or self._progress is None:
                return
            try:
                await self._edit_original(
                    content=with_cost(progress_text(self._progress, self._t), self._job, self._t),
                    view=CancelView(self._job.id, self._t),
                    attachments=preview_files(self._progress.preview),
                )
            except (discord.HTTPException, aiohttp.ClientError, OSError, RuntimeError) as error:
                log.warning("job %s: progress could not be shown: %s", self._job.id, error)
            with suppress(TimeoutError):
                async with asyncio.timeout(PROGRESS_SECONDS):
                    await self._progress_ended.wait()

    async def _stop_progress(self) -> None:
        """Wait for an edit that is on its way: it must not arrive after the answer and cover it."""
        self._progress_ended.set()
        self._progress_changed.set()
        if self._editor is not None:
            await asyncio.gather(self._editor, return_exceptions=True)

    def close(self) -> None:
        """Leave the message as it is: the bot is going away, and the next one takes the job up."""
        if self._editor is not None:
            self._editor.cancel()

    # --- the end ---

    async def fail(self, error: MemberError) -> None:
        """Replace the progress by the reason, in the member's language."""
        await self._stop_progress()
        text = clip(error.text(self._job.origin.locale), MAX_CONTENT)
        try:
            view = appeal_view(error.decision_id, self._t)
            await self._persist(partial(self._say, text, view))
        except Exception as problem:  # the job has ended already, and nobody is left to tell
            log.warning("job %s: its failure could not be shown: %s", self._job.id, problem)

    async def deliver(self, delivery: Delivery) -> None:
        """Upload the pictures, trying again for as long as it makes sense.

        Raises:
            Undeliverable: neither the interaction, the channel nor a direct message takes them, or they
                could not be signed.
            PicturesWithheld: they may not be shown.
        """
        await self._stop_progress()
        limit = self._job.origin.attachment_size_limit
        while True:
            try:
                return await self._persist(partial(self._send, delivery, limit))
            except discord.HTTPException as error:
                if error.status != TOO_LARGE or limit < SMALLEST_LIMIT:
                    raise Undeliverable(str(error), permanent=True) from error
                limit //= 2

    async def _persist(self, send: Callable[[], Awaitable[None]]) -> None:
        """Send, and send again while Discord is away or busy; what it refuses is raised at once.

        Raises:
            discord.HTTPException: a refusal that would be the same the next time.
            Undeliverable: Discord stayed away.
        """
        for attempt in range(DELIVERY_ATTEMPTS):
            try:
                return await send()
            except discord.HTTPException as error:
                if error.status != TOO_MANY_REQUESTS and error.status < SERVER_ERROR:
                    raise
                problem: Exception = error
            except (aiohttp.ClientError, OSError) as error:
                problem = error
            except RuntimeError as error:
                if not self._bot.is_closed():
                    raise
                # discord.py's session is closed: the bot is going away, and the next one answers.
                raise Undeliverable("the bot is closing", permanent=False) from error
            log.warning("job %s: attempt %d to answer: %s", self._job.id, attempt + 1, problem)
            await asyncio.sleep(2.0**attempt / 2)
        raise Undeliverable(f"no success in {DELIVERY_ATTEMPTS} attempts", permanent=False)

    async def _send(self, delivery: Delivery, limit: int) -> None:
        if await self._send_to_result_channel(delivery, limit):
            return
        origin = self._job.origin
        parcel = await self._pack(delivery, await self._look(origin.channel_id), limit)
        if self._webhook is not None:
            try:
                # However often it is done: an edit leaves one message with these pictures.
                await self._edit_original(
                    content=with_withheld("", parcel.release, self._t) or None,
                    view=report_view(self._job, self._t),
                    embeds=[settings_embed(parcel.release, self._t)],
                    attachments=files(parcel.release, parcel.uploads, self._t),
                )
                return
            except discord.HTTPException as error:
                if error.code not in TOKEN_GONE:
                    raise
                # The 15 minutes are over.
                self._webhook = None
        await self._send_without_token(delivery, parcel, limit)

    async def _look(self, channel_id: int | None) -> Place:
        """A channel of the server where the pictures were asked for, as it is now."""
        return await look_at(self._bot, self._job.origin.guild_id, channel_id)

    async def _pack(self, delivery: Delivery, place: Place, limit: int) -> Parcel:
        """What may be shown in a place now, as files that together fit a limit."""
        release = await delivery.release(place)
        if self._parcel is None or (self._parcel.release, self._parcel.limit) != (release, limit):
            uploads = await asyncio.to_thread(
                pack_uploads, release.images, usable(limit), self._bot.services.signer
            )
            self._parcel = Parcel(release=release, limit=limit, uploads=uploads)
        return self._parcel

    async def _send_to_result_channel(self, delivery: Delivery, limit: int) -> bool:
        """Where the server's admins want pictures; False if there is no such place to write in."""
        if delivery.channel_id in (None, self._job.origin.channel_id):
            return False
        place = await self._look(delivery.channel_id)
        if not place.is_known:
            log.warning("job %s: the result channel cannot be seen", self._job.id)
            return False
        assert self._job.origin.channel_id is not None
        if await self._was_answered(self._bot.get_partial_messageable(self._job.origin.channel_id)):
            return True
        channel = self._bot.get_partial_messageable(delivery.channel_id)
        text = self._t("<@{user_id}> your picture is ready.", user_id=self._job.origin.user_id)
        try:
            await self._send_once(channel, text, await self._pack(delivery, place, limit))
        except (discord.Forbidden, discord.NotFound) as error:
            log.warning("job %s: not in the result channel: %s", self._job.id, error)
            return False
        where = self._t("Your picture is in {channel}.", channel=channel.mention)
        with suppress(discord.HTTPException):
            await self._edit_original(content=where, view=None, attachments=[])
        return True

    async def _send_without_token(self, delivery: Delivery, parcel: Parcel, limit: int) -> None:
        """To the channel, or by direct message where the bot cannot write."""
        origin = self._job.origin
        assert origin.channel_id is not None
        assert origin.user_id is not None
        channel = self._bot.get_partial_messageable(origin.channel_id)
        if await self._was_answered(channel):
            return
        text = self._t("<@{user_id}> your picture is ready.", user_id=origin.user_id)
        if not self._progress_removed:
            # The old message would show its bar and button for ever.
            self._progress_removed = True
            with suppress(discord.HTTPException):
                await self._edit_original(content=text, view=None, attachments=[])
        try:
            await self._send_once(channel, text, parcel)
        except (discord.Forbidden, discord.NotFound):
            user = await self._bot.fetch_user(origin.user_id)
            private = user.dm_channel or await user.create_dm()
            await self._send_once(private, text, await self._pack(delivery, Place(), limit))

    async def _was_answered(self, channel: discord.PartialMessageable) -> bool:
        """Whether an earlier attempt, whose success was not recorded, put the pictures into the answer."""
        if self._job.delivery_begun_at is None or self._job.origin.message_id is None:
            return False
        try:
            message = await channel.fetch_message(self._job.origin.message_id)
        except (discord.Forbidden, discord.NotFound):
            return False  # where the bot may not read, it cannot have written without the token either
        return self._is_marked(message)

    async def _send_once(
        self, channel: discord.PartialMessageable | discord.DMChannel, text: str, parcel: Parcel
    ) -> None:
        """Send a new message, unless an attempt whose success was not heard of has sent it."""
        if self._job.delivery_begun_at is not None:
            since = self._job.delivery_begun_at - CLOCKS_DIFFER
            with suppress(discord.Forbidden):
                # The newest first: an attempt that a crash cut off is not long ago, however old the first is.
                async for message in channel.history(limit=HISTORY_LIMIT):
                    if message.created_at < since:
                        break
                    if self._is_marked(message):
                        return
        self._job = replace(self._job, delivery_begun_at=self._job.delivery_begun_at or utc_now())
        await channel.send(
            with_withheld(text, parcel.release, self._t),
            files=files(parcel.release, parcel.uploads, self._t),
            embeds=[settings_embed(parcel.release, self._t)],
            # None is what `send` has by itself.
            view=report_view(self._job, self._t),  # pyright: ignore[reportArgumentType]
            # Discord itself takes a nonce only once within some minutes.
            nonce=self._job.id[:NONCE_LENGTH],
            allowed_mentions=discord.AllowedMentions.none(),
        )

    def _is_marked(self, message: discord.Message) -> bool:
        """Whether a message is the answer to this job: the bot's own, with the job's mark below it."""
        mine = self._bot.user is not None and message.author.id == self._bot.user.id
        return mine and any(job_mark(self._job) in (embed.footer.text or "") for embed in message.embeds)

    async def _say(self, text: str, view: discord.ui.View | None = None) -> None:
        """Put a text where the progress was."""
        try:
            await self._edit_original(content=text, view=view, attachments=[])
        except discord.HTTPException as error:
            if error.code not in TOKEN_GONE or self._webhook is None:
                raise
            self._webhook = None
            await self._edit_original(content=text, view=view, attachments=[])

    async def _edit_original(self, **changes: Any) -> None:
        """Edit the answer through the interaction; after its 15 minutes, as the bot's own message."""
        origin = self._job.origin
        assert origin.channel_id is not None
        assert origin.message_id is not None
        none = discord.AllowedMentions.none()
        if self._webhook is not None:
            await self._webhook.edit_message(origin.message_id, allowed_mentions=none, **changes)
        else:
            channel = self._bot.get_partial_messageable(origin.channel_id)
            message = channel.get_partial_message(origin.message_id)
            await message.edit(allowed_mentions=none, **changes)
