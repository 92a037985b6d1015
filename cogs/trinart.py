"""`/trinart`: step 1 of a request's life, and the way its answer comes back."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

import aiohttp
import discord
from discord import app_commands
from discord.app_commands import Choice, locale_str
from discord.ext import commands

from bot.client import TrinArtBot
from bot.errors import MemberError, TermsNotAccepted
from bot.i18n import N_, translator
from bot.jobs import DuplicateInteraction, Origin
from bot.presets import SAMPLERS, GenerationOptions, find_sizes
from cogs.accept import show_terms
from cogs.appeal import appeal_view
from cogs.asker import asker_of, limits_channel_id, role_ids
from cogs.cancel import CancelButton
from cogs.places import place_now
from cogs.render import refusal
from cogs.reply import DiscordReply

log = logging.getLogger(__name__)

MAX_CHOICES, MAX_CHOICE_NAME = 25, 100
ALREADY_ACKNOWLEDGED, UNKNOWN_INTERACTION = 40060, 10062
DEFER_ATTEMPTS = 2


class TrinArt(commands.Cog):
    """The picture command and what belongs to it."""

    def __init__(self, bot: TrinArtBot) -> None:
        self.bot = bot

    async def cog_load(self) -> None:
        """Make old Cancel buttons work, and let the service know what Discord says of channels."""
        self.bot.add_dynamic_items(CancelButton)
        self.bot.service.screening.place_of = partial(place_now, self.bot)

    @commands.Cog.listener()
    async def on_commands_synced(self) -> None:
        """Take up the jobs that an earlier process left."""
        self.bot.service.reply_to = partial(DiscordReply, self.bot)
        await self.bot.service.take_up()

    # The numbers have no declared minimum and maximum: Discord would refuse them in its own words, where
    # ours say what to change and give the prompt back.
    @app_commands.command(
        name=locale_str(N_("trinart")),
        description=locale_str(N_("Draw anime pictures with the TrinArt model")),
    )
    @app_commands.rename(
        prompt=locale_str(N_("prompt")),
        preset=locale_str(N_("preset")),
        negative=locale_str(N_("negative")),
        size=locale_str(N_("size")),
        steps=locale_str(N_("steps")),
        cfg=locale_str(N_("cfg")),
        seed=locale_str(N_("seed")),
        sampler=locale_str(N_("sampler")),
        images=locale_str(N_("images")),
        anatomy=locale_str(N_("anatomy")),
    )
    @app_commands.describe(
        prompt=locale_str(N_("What to draw, for example: 1girl, blue hair, smile")),
        preset=locale_str(N_("A style: sets of words that the picture keeps away from")),
        negative=locale_str(N_("What should not be in the picture")),
        size=locale_str(N_("Shape of the picture, as the model offers them")),
        steps=locale_str(N_("Denoising steps, 1 to 60: more take longer and add detail")),
        cfg=locale_str(N_("How closely to follow the prompt, 1 to 20")),
        seed=locale_str(N_("A whole number; the same seed and settings give the same picture")),
        sampler=locale_str(N_("The method of denoising")),
        images=locale_str(N_("How many pictures, 1 to 4")),
        anatomy=locale_str(N_("Keep away from bad hands and the like (on unless you switch it off)")),
    )
    @app_commands.choices(sampler=[Choice(name=sampler, value=sampler) for sampler in SAMPLERS])
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def trinart(
        self,
        interaction: discord.Interaction[TrinArtBot],
        prompt: str,
        preset: str | None = None,
        negative: str | None = None,
        size: str | None = None,
        steps: int | None = None,
        cfg: float | None = None,
        seed: str | None = None,
        sampler: str | None = None,
        images: int = 1,
        anatomy: bool = True,
    ) -> None:
        """Check the options, defer, record the job, and let the service bring it to its end."""
        options = GenerationOptions(
            prompt=prompt,
            preset=preset,
            negative=negative,
            size=size,
            steps=steps,
            cfg=cfg,
            seed=seed,
            sampler=sampler,
            images=images,
            anatomy=anatomy,
        )
        await self._go_on(interaction, options)

    async def _take(self, interaction: discord.Interaction[TrinArtBot], options: GenerationOptions) -> None:
        service = self.bot.service
        try:
            request = await service.resolve(options, guild_id=interaction.guild_id)
            await service.check(request, asker_of(interaction), interaction.id)
            origin = await _defer(interaction)
            if origin is None:
                return
            # What everybody reads is in the server's language, if its admins chose one.
            language = await self.bot.services.administration.language(interaction.guild_id)
            job = await service.accept(request, replace(origin, locale=language or origin.locale))
        except DuplicateInteraction:
            return
        except MemberError as error:
            await self._refuse(interaction, options, error)
            return
        service.start(job, DiscordReply(self.bot, job))

    async def _refuse(
        self, interaction: discord.Interaction[TrinArtBot], options: GenerationOptions, error: MemberError
    ) -> None:
        """Say why; who has to accept the terms of use can do so, and the command goes on."""
        if isinstance(error, TermsNotAccepted) and not interaction.response.is_done():
            await show_terms(interaction, partial(self._go_on, options=options), prompt=options.prompt)
            return
        t = translator(interaction.locale.value)
        text, file = refusal(error.text(interaction.locale.value), options.prompt, t)
        await self.bot.refuse(interaction, text, file, appeal_view(error.decision_id, t))

    async def _go_on(self, interaction: discord.Interaction[TrinArtBot], options: GenerationOptions) -> None:
        with self.bot.service.runs.taking():
            await self._take(interaction, options)

    @trinart.autocomplete("preset")
    async def complete_preset(
        self, interaction: discord.Interaction[TrinArtBot], current: str
    ) -> list[Choice[str]]:
        """Names of presets with what they do, the server's own after the others."""
        language = interaction.locale.value.partition("-")[0]
        book = await self.bot.service.presets_in(interaction.guild_id)
        return [
            _choice(
                " — ".join(
                    filter(None, (preset.name, preset.description.get(language, preset.description["en"])))
                ),
                preset.name,
            )
            for preset in book.search(current)
        ][:MAX_CHOICES]

    @trinart.autocomplete("size")
    async def complete_size(
        self, interaction: discord.Interaction[TrinArtBot], current: str
    ) -> list[Choice[str]]:
        """The sizes that the loaded model offers; none while it loads."""
        t = translator(interaction.locale.value)
        try:
            sizes = find_sizes(current, self.bot.service.model_card())
        except MemberError:
            return []
        return [_choice(f"{t(name)} — {width}×{height}", name) for name, (width, height) in sizes.items()]


# The names of sizes that SD v1 models and the demo model offer, for the catalogue.
SIZE_NAMES = (N_("square"), N_("portrait"), N_("landscape"), N_("tall"), N_("wide"))


def _choice(name: str, value: str) -> Choice[str]:
    return Choice(name=name[:MAX_CHOICE_NAME], value=value[:MAX_CHOICE_NAME])


async def _defer(interaction: discord.Interaction[TrinArtBot]) -> Origin | None:
    """Show "thinking", after an answer that only the member sees as a message of its own; None when Discord
    waits no longer.

    An answer that says "acknowledged already" can mean that our own acknowledgement arrived and its
    confirmation was lost, so it is no reason to stop: a real second delivery of an interaction is told
    apart by its id when the job is recorded.
    """
    message_id: int | None = None
    if interaction.response.is_done():
        text = translator(interaction.locale.value)("⏳ Starting …")
        none = discord.AllowedMentions.none()
        message_id = (await interaction.followup.send(text, wait=True, allowed_mentions=none)).id
    for _ in range(DEFER_ATTEMPTS if message_id is None else 0):
        try:
            response = await interaction.response.defer(thinking=True)
            message_id = response.message_id if response is not None else None
            break
        except (aiohttp.ClientError, OSError) as error:
            log.warning("interaction %s: %s", interaction.id, error)
        except discord.HTTPException as error:
            if error.code == UNKNOWN_INTERACTION:
                log.warning("interaction %s came too late: %s", interaction.id, error)
                return None
            if error.code != ALREADY_ACKNOWLEDGED:
                raise
            break
    return Origin(
        interaction_id=interaction.id,
        interaction_token=interaction.token,
        application_id=interaction.application_id,
        guild_id=interaction.guild_id,
        channel_id=interaction.channel_id,
        user_id=interaction.user.id,
        message_id=message_id or (await interaction.original_response()).id,
        locale=interaction.locale.value,
        attachment_size_limit=interaction.filesize_limit,
        limits_channel_id=limits_channel_id(interaction),
        role_ids=role_ids(interaction),
    )


async def setup(bot: TrinArtBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(TrinArt(bot))
