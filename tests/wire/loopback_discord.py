"""A small Discord on this machine's loopback, for tests of a bot that runs as a process of its own.

    async with LoopbackDiscord() as server:
        process = await start_bot(env=server.env())
        await server.commands_synced("trinart")
        interaction = await server.slash("trinart", {"prompt": "a lighthouse"}, locale="ja")
        await interaction.wait(lambda i: i.message is not None and i.message["attachments"])

The bot talks to it over real sockets with the library it has in production. That shows what no
simulator inside the process can: multipart uploads, retries after 429 and 5xx, RESUME, expired tokens.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from types import EllipsisType, TracebackType
from typing import Any, Self

from aiohttp import web

from . import people
from .gateway import DropKind, Gateway
from .payloads import JSON, group_channel, guild, member, text_channel, thread
from .people import Place
from .rest import API_PREFIX, Fault, RecordedRequest, Rest
from .answers import InteractionRoutes
from .routes import BotRoutes
from .routing import RouteTable
from .world import DEFAULT_UPLOAD_LIMIT, EPHEMERAL, Interaction, StoredFile, World

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL_SUBMIT = 2, 3, 4, 5
MAX_BODY = 128 * 1024 * 1024


class LoopbackDiscord:
    """The server, and the hands of the people who use the bot through it."""

    def __init__(
        self,
        token: str = "loopback.bot.token",
        guilds: Iterable[JSON] | None = None,
        *,
        callback_window: float = 3.0,
    ) -> None:
        self.world = World(token, list(guilds) if guilds is not None else [guild()])
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.url = f"http://{host}{API_PREFIX}"
        self.gateway_url = f"ws://{host}/gateway"
        self.world.files_url = f"http://{host}/attachments"
        self._gateway = Gateway(self.world, self.gateway_url)
        table = RouteTable()
        BotRoutes(self.world, table, self.gateway_url)
        InteractionRoutes(self.world, table, callback_window)
        self._rest = Rest(self.world, table)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get("/gateway", self._gateway.handle)
        app.router.add_get("/attachments/{channel}/{id}/{name}", self._serve_file)
        app.router.add_route("*", API_PREFIX + "/{tail:.*}", self._rest.handle)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gateway.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        self._socket.close()

    def env(self) -> dict[str, str]:
        """The environment that points a bot process at this server."""
        return {
            "DISCORD_TOKEN": self.world.token,
            "TRINART_DISCORD_API_URL": self.url,
            "TRINART_DISCORD_GATEWAY_URL": self.gateway_url,
        }

    # What happened so far

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every API request, oldest first."""
        return self._rest.requests

    @property
    def unexpected(self) -> list[str]:
        """Requests that the server knows no answer to; a test ends by seeing that there are none."""
        return self._rest.unexpected

    @property
    def identifies(self) -> int:
        """How many times a bot began a session of its own."""
        return len(self._gateway.identify_payloads)

    @property
    def identify_payloads(self) -> list[JSON]:
        """What each IDENTIFY said: intents, shard, properties."""
        return self._gateway.identify_payloads

    @property
    def resumes(self) -> int:
        """How many times a bot took a session up again."""
        return self._gateway.resumes

    @property
    def compressions(self) -> list[str | None]:
        """The transport compression that each gateway connection asked for."""
        return self._gateway.compressions

    def messages(self, channel_id: str, *, include_ephemeral: bool = False) -> list[JSON]:
        """The messages that stand in a channel: those all can see, or the ephemeral ones as well."""
        there = [m for m in self.world.messages.values() if m["channel_id"] == channel_id]
        return [m for m in there if include_ephemeral or not m["flags"] & EPHEMERAL]

    def file(self, attachment: JSON) -> StoredFile:
        """The uploaded file behind a message's attachment: its bytes, its name, its alt text."""
        return self.world.files[attachment["id"]]

    # Waiting

    async def connected(self, timeout: float = 10.0) -> None:
        """Return once a bot has identified itself or resumed."""
        await self.world.pulse.until(lambda: self._gateway.connected, timeout, "the bot's connection")

    async def commands_synced(self, *names: str, guild_id: str | None = None, timeout: float = 10.0) -> list[JSON]:
        """Return the registered commands once all of ``names`` are among them and the bot listens."""

        def synced() -> bool:
            known = {c["name"] for c in self.world.commands.get(guild_id, {}).values()}
            return known.issuperset(names) and self._gateway.connected

        await self.world.pulse.until(synced, timeout, f"the commands {names}")
        return list(self.world.commands.get(guild_id, {}).values())

    async def requested(self, method: str, pattern: str, *, count: int = 1, timeout: float = 5.0) -> RecordedRequest:
        """Return the ``count``-th request that fits ``method`` and ``pattern`` once it was answered."""
        def fitting() -> list[RecordedRequest]:
            return [r for r in self.requests if r.status is not None and r.fits(method, pattern)]

        await self.world.pulse.until(lambda: len(fitting()) >= count, timeout, f"{method} {pattern} × {count}")
        return fitting()[count - 1]

    # Breaking things

    def fail_next(
        self,
        method: str,
        path_pattern: str,
        status: int | None = 503,
        *,
        times: int = 1,
        retry_after: float = 0.1,
        after_body: bool = True,
        apply: bool = False,
        via: bool = True,
        code: int = 0,
        message: str = "Service unavailable",
    ) -> None:
        """Answer the next fitting requests with ``status``, or cut the connection for ``None``.

        ``path_pattern`` is a shell-style pattern for the path below ``/api/v10``. ``apply`` does what was
        asked all the same, so that only the answer is lost. ``via=False`` makes a 429 look like one from the
        proxy before Discord, which clients do not retry.
        """
        fault = Fault(method, path_pattern, status, times, retry_after, after_body, apply, via, code, message)
        self._rest.faults.append(fault)

    async def drop_gateway(self, *, resumable: bool = True, how: DropKind = "abort") -> None:
        """End the bot's gateway connection: cut, closed, by op 7 ("reconnect") or by op 9 ("invalidate")."""
        await self._gateway.drop(resumable=resumable, how=how)

    async def dispatch(self, event: str, data: JSON) -> None:
        """Send the bot any gateway event."""
        await self._gateway.dispatch(event, data)

    # What people do

    async def slash(
        self,
        name: str,
        options: Mapping[str, Any] | None = None,
        *,
        repeat_of: Interaction | None = None,
        **where: Any,
    ) -> Interaction:
        """Run a slash command; see ``_start`` for who, where and in what language.

        ``repeat_of`` delivers that interaction once more, id and token included, as Discord may.
        """
        if repeat_of is not None:
            await self.dispatch("INTERACTION_CREATE", repeat_of.payload)
            return repeat_of
        place = self._place(**where)
        data = people.command_data(self.world, name, options or {}, place.guild_id)
        return await self._start(COMMAND, data, place, **where)
