"""Reports in Discord: the button on every picture, hiding, and the moderators' two buttons."""

from __future__ import annotations

import asyncio
import io
import logging
import re
from collections.abc import Sequence
from typing import Any, Self, cast

import aiohttp
import discord

from bot.client import TrinArtBot
from bot.i18n import N_, Translate, translator
from bot.jobs import Job
from bot.safety.errors import PictureNotEdited, QueueNotPrivate
from bot.safety.kept_files import ShownFile
from bot.safety.release import ReleasedFile
from bot.safety.reports import PictureMessage, Reported, Shown
from bot.safety.rulings import PictureRuling, Removed
from cogs.answers import told_beside, whisper
from cogs.appeal import appeal_view
from cogs.places import look_at
from cogs.queue import is_age_restricted, language_of_server, moderator_of, post, tell
from cogs.render import COLOUR, MAX_FIELD, clip, plain

log = logging.getLogger(__name__)

HIDDEN = N_("This picture was reported. It is hidden until a moderator has looked at it.")
REMOVED = N_("A moderator has removed this picture.")


class ReportButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"trinart:report:(?P<job_id>[0-9a-f]{32})",
):
    """Says that the pictures of this message should not be there."""

    def __init__(self, job_id: str, label: str) -> None:
        self._job_id = job_id
        super().__init__(
            discord.ui.Button(
                label=label, style=discord.ButtonStyle.secondary, custom_id=f"trinart:report:{job_id}"
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["job_id"], "")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Count the report, and hide the pictures if it is the last that was needed."""
        bot: TrinArtBot = interaction.client
        assert interaction.message is not None
        async with told_beside(interaction):
            message = PictureMessage(
                message_id=interaction.message.id,
                guild_id=interaction.guild_id or 0,
                channel_id=interaction.channel_id or 0,
                job_id=self._job_id,
            )
            reported = await bot.services.reports.report(
                message, interaction.user.id, is_moderator=moderator_of(interaction).may_manage
            )
            if reported.is_hidden:
                await _hide(interaction, message, reported)
            t = translator(interaction.locale.value)
            await whisper(interaction, t("Thank you. Your report has been counted."))


class PictureRulingButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"trinart:picture:(?P<ruling>restore|remove):(?P<message_id>[0-9]{1,20})",
):
    """What a moderator says to a hidden picture."""

    def __init__(self, ruling: PictureRuling, message_id: int, label: str) -> None:
        self._ruling, self._message_id = ruling, message_id
        style = discord.ButtonStyle.success if ruling == "restore" else discord.ButtonStyle.danger
        super().__init__(
            discord.ui.Button(label=label, style=style, custom_id=f"trinart:picture:{ruling}:{message_id}")
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Rebuild the button that was pressed."""
        return cls(cast("PictureRuling", match["ruling"]), int(match["message_id"]), "")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Do it, and say so where the moderators read."""
        bot: TrinArtBot = interaction.client
        async with told_beside(interaction):
            if self._ruling == "restore":
                text = await self._restore(interaction, bot)
            else:
                text = await self._remove(interaction, bot)
            assert interaction.message is not None
            if interaction.message.id != self._message_id:
                embed = discord.Embed(description=text, colour=COLOUR)
                await interaction.edit_original_response(embed=embed, attachments=[], view=None)

    async def _restore(self, interaction: discord.Interaction[Any], bot: TrinArtBot) -> str:
        rulings = bot.services.rulings
        channel_id = await rulings.channel_of(self._message_id)
        place = await look_at(bot, interaction.guild_id, channel_id)
        restored = await rulings.restore(moderator_of(interaction), self._message_id, place)
        await self._edit(
            interaction,
            restored.message,
            content=restored.content,
            embeds=[discord.Embed.from_dict(embed) for embed in restored.embeds],
            attachments=_files(restored.files),
        )
        await bot.services.reports.forget_files(self._message_id)
        t = await language_of_server(bot, restored.message.guild_id)
        return t("{link}: shown again, by {moderator}", **self._facts(interaction, restored.message))

    async def _remove(self, interaction: discord.Interaction[Any], bot: TrinArtBot) -> str:
        removed = await bot.services.rulings.remove(moderator_of(interaction), self._message_id)
        t = await language_of_server(bot, removed.message.guild_id)
        await self._edit(interaction, removed.message, content=t(REMOVED), embeds=[], attachments=[])
        await _tell_author(bot, removed)
        return t("{link}: removed, by {moderator}", **self._facts(interaction, removed.message))

    async def _edit(
        self, interaction: discord.Interaction[Any], message: PictureMessage, **changes: Any
    ) -> None:
        """Change the message with the picture, from below itself or from the moderators' channel.

        Raises:
            PictureNotEdited: Discord did not take it; the button can be pressed again.
        """
        assert interaction.message is not None
        none = discord.AllowedMentions.none()
        try:
            if interaction.message.id == message.message_id:
                await interaction.edit_original_response(view=None, allowed_mentions=none, **changes)
            else:
                channel = interaction.client.get_partial_messageable(message.channel_id)
                found = channel.get_partial_message(message.message_id)
                await found.edit(view=None, allowed_mentions=none, **changes)
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.warning("message %d could not be changed: %s", message.message_id, error)
            raise PictureNotEdited from error

    def _facts(self, interaction: discord.Interaction[Any], message: PictureMessage) -> dict[str, object]:
        return {"link": link_to(message), "moderator": f"<@{interaction.user.id}>"}


def report_view(job: Job, t: Translate) -> discord.ui.View | None:
    """The button below delivered pictures; None in direct messages, where nobody moderates."""
    if job.origin.guild_id is None:
        return None
    view = discord.ui.View(timeout=None)
    view.add_item(ReportButton(job.id, t("Report")))
    # All that the button knows is in its id: discord.py need not remember one view for each picture.
    view.stop()
    return view


def link_to(message: PictureMessage) -> str:
    """Where the picture is."""
    return f"https://discord.com/channels/{message.guild_id}/{message.channel_id}/{message.message_id}"


async def _hide(interaction: discord.Interaction[Any], message: PictureMessage, reported: Reported) -> None:
    """Bring the pictures to the moderators and take them away here.

    In this order: a bot that ends in between leaves the Report button, and the next press makes up for it.
    """
    bot: TrinArtBot = interaction.client
    assert interaction.message is not None
    t = await language_of_server(bot, message.guild_id)
    restricted = is_age_restricted(bot, message.channel_id) is True
    shown = await _read(interaction.message, is_age_restricted=restricted)
    await bot.services.reports.keep(message.message_id, shown)
    is_posted = reported.is_posted
    if not is_posted:
        queue_message_id = await _post_picture(bot, message, reported, shown, t)
        if queue_message_id is not None:
            await bot.services.reports.posted(message.message_id, queue_message_id)
            is_posted = True
    await interaction.edit_original_response(
        content=t(HIDDEN),
        embeds=[],
        attachments=[],
        # Nowhere else to press: whoever moderates finds the buttons at the place itself.
        view=None if is_posted else _rulings(message, t),
    )


async def _read(message: discord.Message, *, is_age_restricted: bool) -> Shown:
    """What a message shows. What Discord does not give again is lost; the picture is hidden all the same."""
    try:
        data = await asyncio.gather(*(attachment.read() for attachment in message.attachments))
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        log.warning("message %d: its pictures could not be read: %s", message.id, error)
        data = []
    files = [
        ShownFile(name=attachment.filename, description=attachment.description or "", data=content)
        for attachment, content in zip(message.attachments, data, strict=False)
    ]
    embeds = tuple(dict(embed.to_dict()) for embed in message.embeds)
    return Shown(
        content=message.content, embeds=embeds, files=tuple(files), is_age_restricted=is_age_restricted
    )


async def _post_picture(
    bot: TrinArtBot, message: PictureMessage, reported: Reported, shown: Shown, t: Translate
) -> int | None:
    channel_id = await bot.services.administration.moderation.channel_of(message.guild_id)
    if channel_id is None:
        return None
    place = await look_at(bot, message.guild_id, channel_id)
    released = await bot.services.rulings.look(message, shown, place)
    embed = _report_embed(message, reported, shown if released is not None else None, t)
    if released is None:
        text = t(
            "The picture may not be shown here: less is allowed in this channel than in that one. "
            "`/admin safety show` says what counts."
        )
        embed.add_field(name=t("Note"), value=text, inline=False)
    try:
        files = _files(released or (), spoiler=True)
        return await post(bot, message.guild_id, channel_id, embed, _rulings(message, t), files)
    except QueueNotPrivate:
        return None  # then the buttons are at the place itself


def _report_embed(
    message: PictureMessage, reported: Reported, shown: Shown | None, t: Translate
) -> discord.Embed:
    """A reported picture as moderators read of it; None for what may not be shown where they do."""
    embed = discord.Embed(title=t("Reported picture"), description=link_to(message), colour=COLOUR)
    if reported.author_id:
        embed.add_field(name=t("Member"), value=f"<@{reported.author_id}>")
    embed.add_field(name=t("Reports"), value=str(reported.count))
    prompt = shown.embeds[0].get("description", "") if shown is not None and shown.embeds else ""
    if prompt:
        # It stands under the picture like this: escaped already.
        embed.add_field(name=t("Prompt"), value=clip(prompt, MAX_FIELD), inline=False)
    meaning = t(
        "Show again: as it was, and it cannot be reported again.\n"
        "Remove for good: it is deleted and counts against the member, who can appeal.\n"
        "Without a decision it is deleted after a day, and stays hidden."
    )
    return embed.add_field(name=t("What the buttons do"), value=meaning, inline=False)


def _rulings(message: PictureMessage, t: Translate) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    view.add_item(PictureRulingButton("restore", message.message_id, t("Show again")))
    view.add_item(PictureRulingButton("remove", message.message_id, t("Remove for good")))
    return view


def _files(files: Sequence[ReleasedFile], *, spoiler: bool = False) -> list[discord.File]:
    return [
        discord.File(
            io.BytesIO(file.data),
            file.name,
            spoiler=spoiler or file.is_spoiler,
            description=file.description or None,
        )
        for file in files
    ]


async def _tell_author(bot: TrinArtBot, removed: Removed) -> None:
    decision = removed.decision
    if decision is None:
        return
    t = translator(decision.locale)
    guild = bot.get_guild(decision.guild_id)
    text = t(
        "Moderators of {server} have removed a picture of yours that members reported. It counts against you "
        "there: see /appeals.",
        server=plain(guild.name) if guild is not None else str(decision.guild_id),
    )
    await tell(bot, decision.user_id, text, appeal_view(decision.decision_id, t))
