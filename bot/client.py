"""The Discord client: the one place in `bot/` that knows discord.py."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import discord
import yarl
from discord import app_commands
from discord.app_commands import locale_str
from discord.ext import commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.admin_errors import ChannelNotKnownYet
from bot.app import Services
from bot.errors import MemberError, OperatorError, UnexpectedError
from bot.i18n import TRANSLATED, translator
from bot.safety.waiting import Waiting
from bot.settings import Settings
from bot.shards import Shards

log = logging.getLogger(__name__)

# This bot never speaks: discord.py need not warn about what is missing for it.
discord.VoiceClient.warn_nacl = False
discord.VoiceClient.warn_dave = False

EXTENSIONS = (
    "cogs.trinart",
    "cogs.quota",
    "cogs.jobs",
    "cogs.preset",
    "cogs.privacy",
    "cogs.terms",
    "cogs.moderation",
    "cogs.admin",
    "cogs.host",
    "cogs.alarm",
)


GoOn = Callable[[discord.Interaction[Any]], Awaitable[None]]
"""What a member asked for, to be done in answer to another interaction: the press of a button."""


class CatalogueTranslator(app_commands.Translator):
    """Names and descriptions of commands from the same catalogues as everything else."""

    async def translate(
        self,
        string: locale_str,
        locale: discord.Locale,
        context: app_commands.TranslationContextTypes,  # noqa: ARG002 — discord.py passes it by position
    ) -> str | None:
        """The string in `locale`; None leaves Discord with the English one."""
        if locale.value.partition("-")[0] not in TRANSLATED:
            return None
        return translator(locale.value)(string.message)


class TrinArtTree(app_commands.CommandTree["TrinArtBot"]):
    """Answers for errors that a cog let through: bad input never ends in silence."""

    async def on_error(
        self, interaction: discord.Interaction[TrinArtBot], error: app_commands.AppCommandError, /
    ) -> None:
        """Tell the member in private; the traceback goes to the log."""
        cause = _cause_of(error)
        if not isinstance(cause, MemberError):
            name = interaction.command.qualified_name if interaction.command else "?"
            log.error("command %s failed", name, exc_info=cause)
            cause = UnexpectedError()
        try:
            await interaction.client.refuse(interaction, cause.text(interaction.locale.value))
        except (discord.HTTPException, aiohttp.ClientError, OSError):
            log.exception("an error could not be told to the member")


def _cause_of(error: app_commands.AppCommandError) -> BaseException:
    """What a cog raised, or what is behind an error of discord.py's own."""
    if (
        isinstance(error, app_commands.TransformerError)
        and error.type is discord.AppCommandOptionType.channel
    ):
        # An option names a channel of a server that is still to come: right after READY, or in an outage.
        return ChannelNotKnownYet(channel=f"<#{error.value.id}>")
    return error.__cause__ or error


class TrinArtBot(commands.AutoShardedBot):
    """The bot as discord.py runs it. Its rules are in `services`, its commands in `cogs/`."""

    def __init__(self, services: Services, settings: Settings) -> None:
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            tree_cls=TrinArtTree,
            intents=discord.Intents(guilds=True),
            # Prompts can contain anything; nobody is ever pinged by one.
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            **_sharding(services.shards),
        )
        self.services = services
        self.service = services.generation
        self.waiting: Waiting[GoOn] = Waiting()
        """Commands of members who have to accept the terms of use first."""
        self._sync_guild = discord.Object(settings.guild_id) if settings.guild_id else None

    async def setup_hook(self) -> None:
        """Load the cogs and tell Discord their commands."""
        await self.tree.set_translator(CatalogueTranslator())
        for extension in EXTENSIONS:
            await self.load_extension(extension)
        if self._sync_guild is not None:
            self.tree.copy_global_to(guild=self._sync_guild)
        await self._sync_commands()
        # Not before: a bot that ends here must not have begun to answer old jobs.
        self.dispatch("commands_synced")

    async def _sync_commands(self) -> None:
        try:
            await self.tree.sync(guild=self._sync_guild)
        except discord.Forbidden as error:
            if self._sync_guild is None:
                raise
            raise OperatorError(
                f"The bot may not set up its commands in server {self._sync_guild.id}: correct "
                f"TRINART_GUILD_ID, or invite the bot with https://discord.com/oauth2/authorize"
                f"?client_id={self.application_id}&scope=bot+applications.commands"
            ) from error

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        """Events that come up while the bot is being closed are dropped: there is no loop to run them."""
        if not self.is_closed():
            super().dispatch(event, *args, **kwargs)

    async def on_ready(self) -> None:
        """Discord may say this more than once."""
        log.info("connected to Discord as %s, in %d servers", self.user, len(self.guilds))

    async def refuse(
        self,
        interaction: discord.Interaction[Any],
        text: str,
        file: discord.File | None = None,
        view: discord.ui.View | None = None,
    ) -> None:
        """An answer that only the member sees; after a public "thinking", which cannot become private,
        the text alone in its place."""
        if _is_private_update(interaction):
            attachments = [file] if file is not None else []
            await interaction.edit_original_response(content=text, attachments=attachments, view=view)
        elif interaction.response.is_done():
            await interaction.edit_original_response(content=text.partition("\n\n")[0])
        else:
            await interaction.response.send_message(
                text,
                file=file if file is not None else discord.utils.MISSING,
                view=view if view is not None else discord.utils.MISSING,
                ephemeral=True,
            )


def _is_private_update(interaction: discord.Interaction[Any]) -> bool:
    """Whether the answer so far is a change of a message that only the member sees."""
    updates = (
        discord.InteractionResponseType.message_update,
        discord.InteractionResponseType.deferred_message_update,
    )
    private = interaction.message is not None and interaction.message.flags.ephemeral
    return private and interaction.response.type in updates


def _sharding(shards: Shards) -> dict[str, Any]:
    """For discord.py; nothing where Discord itself is to say how many shards there are."""
    return {"shard_ids": sorted(shards.ids), "shard_count": shards.count} if shards.ids else {}


def use_endpoints(settings: Settings) -> None:
    """Send discord.py through the host's proxy, if there is one. For the whole process."""
    if settings.discord_api_url:
        Route.BASE = settings.discord_api_url.rstrip("/")
    if settings.discord_gateway_url:
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(settings.discord_gateway_url)


async def run_bot(bot: TrinArtBot, token: str) -> None:
    """Log in and serve until closed.

    Raises:
        OperatorError: Discord refuses the token or the commands, or cannot be reached.
    """
    try:
        await bot.start(token)
    except discord.LoginFailure as error:
        raise OperatorError(
            "Discord refused DISCORD_TOKEN: copy the token again from "
            "https://discord.com/developers/applications (your application → Bot → Reset Token)."
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        raise OperatorError(
            f"Discord cannot be reached: {error}. Check this machine's network.", exit_code=1
        ) from error
    except discord.DiscordException as error:
        raise OperatorError(
            f"Discord sent the bot away: {' '.join(str(error).split())}", exit_code=1
        ) from error
    finally:
        await bot.close()
