"""An offline server with a channel, and the real bot in it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import simcord
from rich.console import Console
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle

from bot.app import open_services
from bot.client import TrinArtBot
from bot.errors import OperatorError
from bot.generation import GenerationService
from bot.settings import Settings
from engine.protocol import EngineUnavailable

SETTLE_SECONDS = 60.0
"""Starting a job takes milliseconds; more than this means that something is stuck."""


@dataclass(frozen=True)
class World:
    """A running bot and what is around it."""

    env: simcord.Env
    service: GenerationService
    channel: ChannelHandle
    members: list[MemberActor]


@asynccontextmanager
async def open_world(console: Console, *member_names: str) -> AsyncGenerator[World]:
    """Start engine and bot with the demo model, in a data folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="trinart-offline-") as folder:
        # The host's own settings must not reach the demo: every field that matters is given here.
        settings = Settings(
            data_dir=Path(folder),
            database_url="",
            model="demo",
            devices="auto",
            threads=0,
            max_batch_size=8,
            log_level="ERROR",
            guild_id=None,
            discord_token=None,
            discord_api_url="",
            discord_gateway_url="",
            default_quota="unlimited",
            member_cap="unlimited",
            server_cap="unlimited",
            rate="100/min",
            terms="required",
        )
        async with open_services(settings) as services:
            service = services.generation
            with console.status("Starting the engine: loading torch and the demo model …"):
                status = await service.engine.wait_settled()
            if isinstance(status, EngineUnavailable):
                raise OperatorError(status.reason, exit_code=1)
            async with simcord.run(
                TrinArtBot(services, settings),
                settle_timeout=SETTLE_SECONDS,
                check_errors=False,
                shard_count=1,
            ) as env:
                env.backend.bot_user.name = "TrinArt bot"
                guild = env.create_guild("TrinArt")
                channel = guild.create_text_channel("pictures", topic="/trinart")
                members = [
                    guild.add_member(env.create_user(name.lower(), global_name=name)) for name in member_names
                ]
                for member in members:
                    # As those who have used the bot before; `/terms` shows what they accepted.
                    await services.use_terms.accept(member.id)
                await env.settle()
                yield World(env, service, channel, members)
                await service.runs.idle()
